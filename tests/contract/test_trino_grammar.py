"""Every statement of the Athena store is Trino's SQL, by a grammar that is not ours."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops.stores.athena import entities, metric_tables
from mlops.stores.athena.entities import read_entity_rows
from mlops.stores.athena.join import Carried, Feature, Join, Key, View, join_sql
from mlops.stores.athena.metrics import Rows, compute, last_time
from mlops.stores.athena.pull import Pull, all_sql, latest_sql
from mlops.stores.athena.sql import DayColumn, TimeColumn, Window, to_microseconds
from pipelines.features.buildlog import BuildLog
from pipelines.features.catalog import view_query
from pipelines.features.schemas.columns import Column, first_version
from pipelines.features.schemas.differences import next_version
from pipelines.features.tables import CUSTOMER_SPEND
from pipelines.features.verification import counts_sql, examples_sql, stored_of, twice_sql
from tests.npm import NODE, npm

PACKAGE = "dt-sql-parser@4.5.1"
HURRY = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"]
"""Of npm, whose own pauses last a minute where no registry can be reached."""
SCRIPT = Path(__file__).with_name("trino_grammar.mjs")
WHEN = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = Window(
    to_microseconds(datetime(2024, 1, 1, tzinfo=UTC)),
    to_microseconds(datetime(2024, 2, 1, 3, 4, 5, 678901, tzinfo=UTC)),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grammar")
    done = npm(
        *("install", "--no-audit", "--no-fund", *HURRY, PACKAGE),
        cwd=folder,
        capture_output=True,
        timeout=120,
    )
    if done.returncode:
        pytest.skip(
            f"{PACKAGE} cannot be installed; it needs an npm registry: {done.stderr[-200:]}"
        )
    return folder


def complaints(package: Path, statements: list[str]) -> list[list[str]]:
    file = package / "statements.json"
    file.write_text(json.dumps(statements))
    done = subprocess.run(
        [NODE / "bin" / "node", SCRIPT, package, file], capture_output=True, text=True, check=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found


def views() -> Iterator[View]:
    times = ("timestamp", "timestamp(6)", "timestamp(3) with time zone", "date", "bigint")
    keys = (Key('quo"ted', "int", "varchar", "key0"), Key("k", "string", "varchar", "key1"))
    features = (Feature("select", "double", "a b"), Feature("list", "array<string>", "words"))
    for time, created, day in itertools.product(times, (None, *times), ("string", "date", None)):
        yield View(
            title="v",
            relation='"awsdatacatalog"."d"."t"',
            keys=keys,
            features=features,
            event_time=TimeColumn("at", time),
            created=None if created is None else TimeColumn("made", created),
            day=None if day is None else DayColumn("day", day),
            ttl=5,
            delay=7,
        )


def joins() -> Iterator[str]:
    for view in views():
        join = Join((view, replace(view, keys=())), "entities", WINDOW, as_of=1, by_created=True)
        yield join_sql(join, [Carried("c0", "Who")], ordinal=False)
        yield join_sql(replace(join, views=(view,), by_created=False), sparse=True)


def pulls() -> Iterator[str]:
    for view in views():
        columns = (view.event_time, view.created, TimeColumn("us", "bigint"), view.day)
        pull = Pull(view.relation, ("k",), view.features, *columns)
        yield from (latest_sql(pull, WINDOW, as_of=3), all_sql(pull, WINDOW))


class Recorder:
    """Stands for Athena: answers any first row, and keeps the query."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def first_row(self, sql: str) -> list[str]:
        self.asked.append(sql)
        if "array_agg" in sql:
            return ["[]", "[]", "0", "0"]
        if "count(*)" in sql:
            return [str(n) for n in range(2, 13)]
        return ["{}"] if "histogram" in sql else ["5"]


def monitoring() -> Iterator[str]:
    work: Any = Recorder()
    for kind in ("numeric", "categorical"):
        rows = Rows("t", TimeColumn("at", "timestamp"), DayColumn("day", "string"), WINDOW)
        compute(work, rows, [('quo"ted', kind)], bins=3, top=2)
    last_time(work, "t", TimeColumn("at", "timestamp"))
    yield from work.asked
    for table in metric_tables.KINDS:
        wanted = {"project_id": "O'Neil", "is_baseline": True}
        yield metric_tables.query_sql(table, "t", wanted, date(2024, 1, 1), date(2024, 2, 1))


def entity_queries() -> Iterator[str]:
    columns = {"id": "bigint", "event_timestamp": "timestamp(3) with time zone", "m": "map"}
    keys = {"key0": ("id", "varchar")}
    yield entities.numbered_sql("SELECT * FROM t;", columns, keys)[0]
    frame = pd.DataFrame(
        {
            "id": ["O'Neil", None],
            "x": [0.5, 1e300],
            "event_timestamp": [pd.Timestamp(0, tz="UTC")] * 2,
        }
    )
    data, types, _ = entities.carried_rows(read_entity_rows(frame, ["id"]))
    yield entities.values_sql(data, types)
    for view in views():
        yield entities.range_sql([view], {"v": ["who", "k"]}, WINDOW)


def schema_checks() -> Iterator[str]:
    """What a build is checked by, and the view after columns were widened and renamed."""
    columns = [
        Column(name="key", type="string", required=True, values=("it's", "b")),
        Column(name="event_time", type="timestamp", required=True),
        Column(name="share", type="float", minimum=0.25, maximum=1e-7),
    ]
    first = first_version(columns, at=WHEN, by="me")
    wider = [
        columns[0].model_copy(update={"name": "who", "formerly": "key"}),
        columns[1],
        columns[2].model_copy(update={"type": "double"}),
    ]
    version = next_version([first], wider, at=WHEN, by="me", why="")
    stored = stored_of(version, "who")
    yield counts_sql('"d"."t"', stored)
    yield twice_sql('"d"."t"', stored)
    for rule in stored.rules:
        yield examples_sql('"d"."t"', stored, rule)
    log = BuildLog(table="customer_spend", schemas=(first, version))
    yield view_query(CUSTOMER_SPEND, log, "d")


def test_every_statement_is_in_the_grammar(package: Path) -> None:
    statements = [*joins(), *pulls(), *entity_queries(), *monitoring(), *schema_checks()]
    against = dict(zip(statements, complaints(package, statements), strict=True))
    assert {sql: said for sql, said in against.items() if said} == {}


def test_the_grammar_refuses_what_is_wrong(package: Path) -> None:
    [said] = complaints(package, ["SELECT first_value(x) IGNORING NULLS OVER (ORDER BY) FROM t"])
    assert said
