"""The SQL of both stores for one view, on tables in the memory of one DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.contrib.athena_offline_store.athena import (
    MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
)
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext

from mlops.stores.athena.join import AT, ROW, Feature, Join, Key, View, join_sql
from mlops.stores.athena.sql import TimeColumn, Window, to_microseconds
from tests.athena_engine import MemoryAthena
from tests.benchmarks.offline_data import (
    DAYS,
    FEATURE_TYPES,
    FEATURES,
    TTL_DAYS,
    Data,
    untied,
)

_ZONED_LAST = datetime(2018, 4, 1, tzinfo=UTC) + timedelta(days=DAYS)
_FIRST = datetime(2018, 4, 1, tzinfo=UTC)


@contextmanager
def loaded(data: Data) -> Iterator[MemoryAthena]:
    """Both sides as tables in memory, as each store's SQL wants them."""
    engine = MemoryAthena()
    engine.add("features", data.features, FEATURE_TYPES)
    kinds = {"row": "bigint", "k": "bigint", "event_timestamp": "timestamp"}
    engine.add("entities", data.entities, kinds)
    engine.connection.execute(
        f'CREATE TABLE staged AS SELECT "row" AS {ROW}, epoch_us(event_timestamp) AS {AT}, '
        "k AS key0 FROM entities"
    )
    engine.declare("staged", {ROW: "bigint", AT: "bigint", "key0": "bigint"})
    try:
        yield engine
    finally:
        engine.connection.close()


def our_sql(engine: MemoryAthena, ttl_days: int = TTL_DAYS) -> str:
    view = View(
        title="v",
        relation="features",
        keys=(Key("k", "bigint", "bigint", "key0"),),
        features=tuple(Feature(name, "double", name) for name in FEATURES),
        event_time=TimeColumn("event_time", "timestamp"),
        created=TimeColumn("created", "timestamp"),
        ttl=ttl_days * 86_400_000_000,
    )
    window = Window(to_microseconds(_FIRST), to_microseconds(_ZONED_LAST))
    # The store knows a dataframe's keys, like its times, before it asks.
    ends = engine.connection.execute("SELECT min(key0), max(key0) FROM staged").fetchall()[0]
    join = Join((view,), "staged", window, reach={"key0": ends})
    return join_sql(join, sparse=True)


def feast_sql(ttl_days: int = TTL_DAYS) -> str:
    """What Feast's store runs for the same view, by its own template."""
    context = FeatureViewQueryContext(
        name="v",
        ttl=ttl_days * 86_400,
        entities=["k"],
        features=list(FEATURES),
        field_mapping={},
        timestamp_field="event_time",
        created_timestamp_column="created",
        table_subquery="features",
        entity_selections=["k AS k"],
        min_event_timestamp=(_FIRST - timedelta(days=ttl_days)).replace(tzinfo=None).isoformat(),
        max_event_timestamp=_ZONED_LAST.replace(tzinfo=None).isoformat(),
        date_partition_column=None,
        timestamp_field_type=None,
    )
    sql: str = offline_utils.build_point_in_time_query(
        [context],
        left_table_query_string="entities",
        entity_df_event_timestamp_col="event_timestamp",
        entity_df_columns={"row": 0, "k": 0, "event_timestamp": 0}.keys(),
        query_template=MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
    )
    return sql.replace("SELECT row,", 'SELECT "row",')


def check(engine: MemoryAthena, ours: str, feasts: str, floor: str) -> None:
    """Our answers equal Feast's where Feast gives one, and ASOF's where nothing ties."""
    mine = _answers(engine.connection.execute(ours).to_arrow_table(), ROW)
    rows = engine.connection.execute("SELECT count(*) FROM entities").fetchall()[0][0]
    assert len(mine) == rows, "an entity row is not answered"
    theirs: dict[int, list[Any]] = {}
    for row, values in _rows(engine.connection.execute(feasts).to_arrow_table(), "row"):
        theirs.setdefault(row, []).append(values)
    alone = {row: found[0] for row, found in theirs.items() if len(found) == 1}
    assert all(mine[row] == values for row, values in alone.items()), "Feast answers otherwise"
    lowest = _answers(engine.connection.execute(floor).to_arrow_table(), "row")
    for row in untied(engine.connection):
        assert mine[row] == lowest[row], "ASOF answers otherwise"


def _answers(table: pa.Table, row: str) -> dict[int, tuple[float | None, ...]]:
    return dict(_rows(table, row))


def _rows(table: pa.Table, row: str) -> Iterator[tuple[int, tuple[float | None, ...]]]:
    values = zip(*(table[name].to_pylist() for name in FEATURES), strict=True)
    return zip(table[row].to_pylist(), values, strict=True)
