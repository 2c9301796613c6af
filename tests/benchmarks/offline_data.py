"""The data that offline joins are measured on, seeded: feature rows with ties, and entity rows."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

FEATURES = ("a", "b", "c", "d", "e")
KEYS = 5_000
DAYS = 180
TTL_DAYS = 30
"""Feast's join forms a pair for every feature row within it, so that its time grows with it."""
OTHER_TTL_DAYS = (45, 3)
_START = 1_522_540_800_000
"""2018-04-01, in milliseconds."""
FEATURE_TYPES = {
    "k": "bigint",
    "event_time": "timestamp",
    "created": "timestamp",
    **dict.fromkeys(FEATURES, "double"),
}


@dataclass(frozen=True)
class Data:
    """features: k, event_time, created, a … e. entities: row, k, event_timestamp (naive, UTC)."""

    features: pa.Table
    entities: pa.Table


def make(feature_rows: int, entity_rows: int, *, seed: int = 7) -> Data:
    """Times over 180 days of 5,000 keys; one feature row in 50 is written again an hour later."""
    rng = np.random.default_rng(seed)
    again = feature_rows // 50
    first = feature_rows - again
    keys = rng.integers(0, KEYS, first)
    moments = _moments(rng, first)
    twice = rng.choice(first, again, replace=False)
    created = np.concatenate([moments + 3_600_000, moments[twice] + 7_200_000])
    columns = {
        "k": np.concatenate([keys, keys[twice]]),
        "event_time": _times(np.concatenate([moments, moments[twice]])),
        "created": _times(created),
        **{name: rng.random(feature_rows) for name in FEATURES},
    }
    entities = {
        "row": np.arange(entity_rows),
        "k": rng.integers(0, KEYS, entity_rows),
        "event_timestamp": _times(_moments(rng, entity_rows)),
    }
    return Data(pa.table(columns), pa.table(entities))


def _moments(rng: np.random.Generator, rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return rng.integers(_START, _START + DAYS * 86_400_000, rows)


def _times(milliseconds: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    return pa.array(milliseconds, pa.timestamp("ms"))


def asof(ttl_days: int) -> str:
    """DuckDB's own join: the floor. It takes any of the feature rows that tie."""
    alive = f"e.event_timestamp - f.event_time <= INTERVAL {ttl_days} DAY"
    columns = ", ".join(f"CASE WHEN {alive} THEN f.{name} END AS {name}" for name in FEATURES)
    return (
        f'SELECT e."row", {columns} FROM entities e ASOF LEFT JOIN features f '
        "ON e.k = f.k AND e.event_timestamp >= f.event_time"
    )


def untied(connection: duckdb.DuckDBPyConnection) -> set[int]:
    """Entity rows whose latest feature row has its time for itself."""
    rows = connection.execute(
        """SELECT e."row" FROM entities e ASOF LEFT JOIN
        (SELECT k, event_time, count(*) AS n FROM features GROUP BY ALL) f
        ON e.k = f.k AND e.event_timestamp >= f.event_time WHERE coalesce(f.n, 1) = 1"""
    ).fetchall()
    return {row for (row,) in rows}
