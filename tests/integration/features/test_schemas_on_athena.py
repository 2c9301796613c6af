"""Schemas evolve on the local Athena, and what does not fit them is never seen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from threading import Barrier
from typing import Any

import pandas as pd
import pytest

from mlops.athena import Athena
from mlops.errors import NotFound
from mlops.feast import feast_errors, open_store
from mlops.objects import S3Documents
from mlops.training_rows import FEAST_TIME
from pipelines.features.build import past_queries
from pipelines.features.buildlog import BuildLog, load_log
from pipelines.features.schemas.evolution import EvolveRequest, evolve_tables
from pipelines.features.tables import CUSTOMER_SPEND, TABLES, FeatureTable

from .conftest import Built, Workplace

pytestmark = pytest.mark.xdist_group("features-on-athena")

DAY = "2025-04-20"
WIDER = replace(CUSTOMER_SPEND, windows=(1, 7, 14, 30))
RENAMED = replace(
    CUSTOMER_SPEND,
    ratio="customer_average_{days}d",
    renamed={f"customer_average_{n}d": f"customer_mean_amount_{n}d" for n in (1, 7, 30)},
)
REBUILD = ("features", "build", "customer_spend", "--from", DAY, "--to", DAY, "--rebuild")


SPEND = {
    f.name: getattr(CUSTOMER_SPEND, f.name) for f in CUSTOMER_SPEND.__dataclass_fields__.values()
}


@pytest.fixture(scope="module")
def place(built: Built) -> Workplace:
    return built.place


@pytest.fixture(scope="module")
def athena(place: Workplace) -> Iterator[Athena]:
    connection = Athena(place.settings, place.aws)
    yield connection
    connection.close()


@pytest.fixture
def declared(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Declares another table as customer_spend; afterwards the schema is what it was before."""

    def declare(table: FeatureTable) -> None:
        monkeypatch.setitem(TABLES, "customer_spend", table)

    yield declare
    back = {f"customer_mean_amount_{n}d": f"customer_average_{n}d" for n in (1, 7, 30)}
    recorded = log_of(place).recorded
    assert recorded is not None
    renamed = {new: old for new, old in back.items() if old in recorded.names}
    declare(replace(CUSTOMER_SPEND, renamed=renamed))
    options = ("--allow-breaking", "--why", "the test is over")
    place.json("features", "schema", "evolve", "customer_spend", *options)


def log_of(place: Workplace) -> BuildLog:
    data = S3Documents(place.aws, place.settings.names.data_bucket)
    return load_log(data, "customer_spend")[0]


def left_behind(place: Workplace) -> tuple[list[str], list[str]]:
    """Files of customer_spend that no build of the log wrote, and scratch tables."""
    names = place.settings.names
    keys = S3Documents(place.aws, names.data_bucket).keys("features/customer_spend/generation")
    known = {f"build={build.id}" for build in log_of(place).builds}
    tables = place.aws.client("glue").get_tables(DatabaseName=names.database)["TableList"]
    return (
        [key for key in keys if key.split("/")[3] not in known],
        [table["Name"] for table in tables if table["Name"].startswith("feast_entity_df_")],
    )


def test_the_first_build_recorded_version_1(place: Workplace) -> None:
    [shown, _] = place.json("features", "schema", "show")
    assert shown["history"][0]["why"] == "the first build"
    assert shown["columns"][0] == {
        "name": "customer_id",
        "type": "string",
        "rule": "required",
        "stored": "customer_id",
        "description": "Whom it describes.",
    }
    assert place.run("features", "schema", "diff", "--detailed-exitcode").code == 0
    assert place.run("features", "schema", "show", "--version", "99").code == 4
    told = place.run("features", "schema", "show", "customer_spend", "--version", "1").stdout
    assert "customer_spend: version 1" in told
    assert "mlops-local-jenkins/" in told


def test_a_new_column_is_free_reads_as_null_and_is_filled_by_a_rebuild(
    place: Workplace, declared: Any, athena: Athena
) -> None:
    declared(WIDER)
    refused = place.run("features", "build")
    assert refused.code == 5
    assert "mlops features schema evolve customer_spend" in refused.stderr
    assert place.run("features", "schema", "diff", "--detailed-exitcode").code == 10
    dry = place.run("features", "schema", "evolve", "--dry-run").stdout
    assert "+ added customer_count_14d: bigint, required, >= 0" in dry
    assert "Nothing was changed" in dry
    [report, other] = place.json("features", "schema", "evolve")
    assert (report["state"], other["state"]) == ("evolved", "as declared")
    days = (DAY, str(date.fromisoformat(DAY) + timedelta(days=1)))
    count = (
        'SELECT "day", count(*), count(customer_count_14d) FROM customer_spend '
        f"WHERE \"day\" BETWEEN '{days[0]}' AND '{days[1]}' GROUP BY 1 ORDER BY 1"
    )
    assert [filled for _, _, filled in athena.rows(count)] == [0, 0]
    place.json(*REBUILD)
    (_, rows, filled), (_, _, later) = athena.rows(count)
    assert (filled, later) == (rows, 0)
    assert log_of(place).builds[-1].schema_version == report["version"]


def test_what_breaks_readers_names_them_and_needs_a_flag(
    place: Workplace, declared: Any, athena: Athena
) -> None:
    declared(RENAMED)
    before = log_of(place)
    assert place.run("features", "schema", "diff", "--detailed-exitcode").code == 11
    refused = place.run("features", "schema", "evolve")
    assert refused.code == 5
    for reader in (
        "feature view customer_spend",
        "on-demand view payment_context",
        "feature service fraud_v1",
        "model settings fraud",
    ):
        assert reader in refused.stderr
    assert place.run("features", "schema", "evolve", "--allow-breaking").code == 2
    assert log_of(place) == before
    [(mean,)] = athena.rows(
        f"SELECT sum(customer_mean_amount_7d) FROM customer_spend WHERE \"day\" = '{DAY}'"
    )
    allowed = ("evolve", "customer_spend", "--allow-breaking", "--why", "shorter")
    place.json("features", "schema", *allowed)
    [(renamed,)] = athena.rows(
        f"SELECT sum(customer_average_7d) FROM customer_spend WHERE \"day\" = '{DAY}'"
    )
    assert renamed == mean
    planned = place.run("features", "plan")
    assert "asks for column 'customer_mean_amount_7d'" in planned.stderr


def test_the_past_is_joined_in_the_schema_of_its_time(
    place: Workplace, declared: Any, athena: Athena
) -> None:
    before = datetime.now(UTC)
    keys = athena.rows(
        f"SELECT customer_id, customer_mean_amount_7d FROM customer_spend WHERE \"day\" = '{DAY}' "
        "ORDER BY customer_id LIMIT 3"
    )
    declared(RENAMED)
    options = ("--allow-breaking", "--why", "shorter")
    place.json("features", "schema", "evolve", "customer_spend", *options)
    place.json(*REBUILD)
    rows = pd.DataFrame(
        {"customer_id": [k for k, _ in keys], FEAST_TIME: [pd.Timestamp(DAY, tz="UTC")] * len(keys)}
    )
    store = open_store(place.settings, place.aws)
    job = store.get_historical_features(
        entity_df=rows, features=["customer_spend:customer_mean_amount_7d"]
    )
    data = S3Documents(place.aws, place.settings.names.data_bucket)
    past = past_queries(data, place.settings.names.database, before)
    found = job.as_of(before, past).to_df()["customer_mean_amount_7d"]
    assert found.tolist() == [mean for _, mean in keys]
    with pytest.raises(NotFound, match="customer_mean_amount_7d"), feast_errors("Joining"):
        job.to_df()


def test_a_dataset_is_built_again_byte_by_byte_after_the_schema_changed(
    place: Workplace, declared: Any
) -> None:
    query = (
        "SELECT payment_id, customer_id, terminal_id, amount, event_time FROM payments "
        f"WHERE \"day\" = '{DAY}'"
    )
    options = ("--service", "fraud_v1", "--query", query)
    place.json("datasets", "build", "before-renaming", *options)
    declared(RENAMED)
    allowed = ("--allow-breaking", "--why", "shorter")
    [report] = place.json("features", "schema", "evolve", "customer_spend", *allowed)
    assert "before-renaming@1" in {consumer["name"] for consumer in report["consumers"]}
    place.json(*REBUILD)
    again = place.json("datasets", "rebuild", "before-renaming@1")
    assert again["same_bytes"], again


def test_two_that_evolve_at_once_record_one_version(place: Workplace, declared: Any) -> None:
    declared(WIDER)
    before = log_of(place)
    names = place.settings.names
    request = EvolveRequest(now=datetime.now(UTC), by="arn:someone", why="at once")
    start = Barrier(2)

    def evolve(_: int) -> str:
        queries = Athena(place.settings, place.aws)
        start.wait()
        [report] = evolve_tables(
            [WIDER],
            request,
            names=names,
            queries=queries,
            documents=S3Documents(place.aws, names.data_bucket),
            find=lambda *_: (),
        )
        queries.close()
        return report.state

    with ThreadPoolExecutor(2) as pool:
        states = set(pool.map(evolve, range(2)))
    assert states <= {"evolved", "as declared", "finished"}
    after = log_of(place)
    assert len(after.schemas) == len(before.schemas) + 1
    assert after.is_published
    assert place.json("features", "schema", "diff", "customer_spend")[0]["state"] == "as declared"


def test_a_build_that_is_overtaken_by_a_new_schema_is_taken_back(
    place: Workplace, declared: Any, athena: Athena
) -> None:
    @dataclass(frozen=True)
    class Overtaken(FeatureTable):
        """customer_spend, whose schema evolves while it is built."""

        def snapshots(self, first: date, last: date, *, created: str, database: str) -> str:
            declared(WIDER)
            place.json("features", "schema", "evolve", "customer_spend")
            return super().snapshots(first, last, created=created, database=database)

    before = log_of(place)
    declared(Overtaken(**SPEND))
    overtaken = place.run(*REBUILD)
    assert overtaken.code == 6, overtaken.stderr
    after = log_of(place)
    assert (after.builds, len(after.schemas)) == (before.builds, len(before.schemas) + 1)
    assert left_behind(place) == ([], [])
    [(filled,)] = athena.rows("SELECT count(customer_count_14d) FROM customer_spend")
    assert filled == 0, "readers see the column that no build has filled"


# What does not fit


@dataclass(frozen=True)
class Faulty(FeatureTable):
    """customer_spend with a fault in its SQL."""

    fault: str = ""

    def snapshots(self, first: date, last: date, *, created: str, database: str) -> str:
        return self.fault.format(super().snapshots(first, last, created=created, database=database))


NAMES = ", ".join(column.name for column in CUSTOMER_SPEND.schema)


def changed(column: str, expression: str) -> str:
    return f'SELECT {NAMES.replace(column, f"{expression} AS {column}")}, "day" FROM ({{}})'


FAULTS = {
    "negative": (
        changed("customer_count_1d", "-1 - customer_count_1d"),
        "customer_count_1d is below 0 in",
    ),
    "another type": (
        changed("customer_count_1d", "CAST(customer_count_1d AS double)"),
        "customer_count_1d was written as double and is bigint",
    ),
    "divided by nothing": (
        changed("customer_mean_amount_1d", "customer_mean_amount_1d / 0.0E0"),
        "customer_mean_amount_1d is not finite in",
    ),
    "nobody": (
        changed("customer_id", "CASE WHEN customer_count_1d > 0 THEN customer_id END"),
        "customer_id is null in",
    ),
    "another day": (
        changed("event_time", "date_add('hour', 24, event_time)"),
        "not of its partition's day in",
    ),
    "twice": (
        "SELECT * FROM ({0}) UNION ALL SELECT * FROM ({0})",
        "(customer_id, event_time) is there more than once in",
    ),
    "nothing": (
        "SELECT * FROM ({}) WHERE false",
        f"days without a row, though there are payments before them: {DAY}",
    ),
}


@pytest.mark.parametrize(("fault", "complaint"), FAULTS.values(), ids=FAULTS)
def test_rows_that_do_not_fit_are_refused_before_anybody_sees_them(
    place: Workplace,
    athena: Athena,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    complaint: str,
) -> None:
    monkeypatch.setitem(TABLES, "customer_spend", Faulty(**SPEND, fault=fault))
    before = log_of(place)
    refused = place.run(*REBUILD)
    assert (refused.code, "and was removed" in refused.stderr) == (5, True), refused.stderr
    assert complaint in refused.stderr
    assert log_of(place) == before
    assert left_behind(place) == ([], [])
