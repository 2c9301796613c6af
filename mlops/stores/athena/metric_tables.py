"""Feast's monitoring metrics in tables that only grow: of rows with one key the last counts."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast.monitoring.monitoring_utils import monitoring_table_meta

from mlops.stores.athena import results, saved
from mlops.stores.athena.session import Session
from mlops.stores.athena.sql import literal, name
from mlops.stores.athena.types import arrow_type

KINDS = ("feature", "feature_view", "feature_service", "job")
_WRITTEN = "written_ns"
"""When a row was saved, which Feast's own columns do not say of every kind."""
_TYPES = {
    "timestamp": "computed_at max_event_timestamp started_at completed_at",
    "date": "metric_date",
    "boolean": "is_baseline",
    "bigint": "row_count null_count total_row_count total_features features_with_nulls "
    f"total_feature_views {_WRITTEN}",
    "double": "null_rate avg_null_rate max_null_rate mean stddev min_val max_val p50 p75 p90 p95 "
    "p99",
}
_TYPE_OF = {column: kind for kind, columns in _TYPES.items() for column in columns.split()}


def ensure(session: Session) -> None:
    """Make the tables that are not there."""
    with session.run() as work:
        for kind in KINDS:
            table, columns = _declared(kind)
            saved.create(work, table, columns)


def save(session: Session, kind: str, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Add rows; the table is made at first."""
    if not metrics:
        return
    table, columns = _declared(kind)
    now = time.time_ns()
    rows = [{**metric, _WRITTEN: now} for metric in metrics]
    data = {column: _array([row.get(column) for row in rows], t) for column, t in columns.items()}
    with session.run() as work, tempfile.TemporaryDirectory(prefix="mlops-metrics-") as folder:
        saved.append(work, table, pa.table(data), Path(folder) / f"{kind}.parquet", columns=columns)


def query(
    session: Session,
    kind: str,
    wanted: Mapping[str, Any],
    *,
    first: date | None = None,
    last: date | None = None,
) -> list[dict[str, Any]]:
    """The last rows of each key that have the wanted values (None is any), by date."""
    table, columns = _declared(kind)
    with session.run() as work:
        if saved.find(work, table) is None:
            return []
        relation = f"{name(session.database)}.{name(table)}"
        found = results.read(
            work.run.storage, work.unload(query_sql(kind, relation, wanted, first, last))
        )
    types = {column: arrow_type(kind) for column, kind in columns.items() if column != _WRITTEN}
    if found is None:
        return []
    order = [("metric_date", "ascending"), (monitoring_table_meta(kind)[2][0], "ascending")]
    rows = results.typed(found, types | {"metric_date": pa.date32()}).sort_by(order)
    return [dict(row) for row in rows.to_pylist()]


def query_sql(
    kind: str, relation: str, wanted: Mapping[str, Any], first: date | None, last: date | None
) -> str:
    _, columns, keys = monitoring_table_meta(kind)
    listed = ", ".join(map(name, columns))
    rank = f"row_number() OVER (PARTITION BY {', '.join(map(name, keys))} ORDER BY {_WRITTEN} DESC)"
    conditions = ["place = 1"]
    conditions += [f"{name(c)} = {literal(v)}" for c, v in wanted.items() if v is not None]
    conditions += [] if first is None else [f"metric_date >= {literal(first)}"]
    conditions += [] if last is None else [f"metric_date <= {literal(last)}"]
    inner = f"SELECT {listed}, {rank} AS place\nFROM {relation}"
    return f"SELECT {listed}\nFROM (\n{inner}\n)\nWHERE {' AND '.join(conditions)}"


def _declared(kind: str) -> tuple[str, dict[str, str]]:
    """A table's name, and its columns with Hive's types."""
    table, columns, _ = monitoring_table_meta(kind)
    return table, {column: _TYPE_OF.get(column, "string") for column in [*columns, _WRITTEN]}


def _array(values: Sequence[Any], hive: str) -> pa.Array:
    if hive == "date":
        return pa.array([_as_date(value) for value in values], pa.date32())
    if hive == "timestamp":
        return pa.array([_as_time(value) for value in values], pa.timestamp("us"))
    if hive == "string":
        return pa.array([_as_text(value) for value in values], pa.string())
    return pa.array(values, arrow_type(hive), from_pandas=True)


def _as_date(value: Any) -> date | None:
    if isinstance(value, str):
        return date.fromisoformat(value[:10])
    return value.date() if isinstance(value, datetime) else value


def _as_time(value: Any) -> datetime | None:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
