"""What was served is held against what was trained on, column by column."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.manifest import Distribution, Manifest, ModelInput
from mlops.registry.drift.measure import LEAST_ROWS, Check, check_drift, served_sql, watched_columns
from pipelines.datasets.statistics import describe
from tests.approvals import manifest_of

SINCE = datetime(2025, 5, 1, tzinfo=UTC)
_RANDOM = np.random.default_rng(5)
TRAINED = {name: describe(_RANDOM.normal(size=4000)) for name in ("spent", "seen", "score")}


def manifest(reference: dict[str, Distribution] | None = None) -> Manifest:
    """Reads a column of each of two views: one refused where missing, one with a default."""
    inputs = (
        ModelInput(name="amount", origin="request", source="amount"),
        ModelInput(name="spent", origin="feature", source="customers:spent_7d"),
        ModelInput(
            name="seen", origin="feature", source="shops:seen_7d", on_missing="default", default=0.0
        ),
    )
    known = TRAINED if reference is None else reference
    return manifest_of("fraud", 3, graph=b"g", inputs=inputs, reference=known)


class Served:
    """What was served, in DuckDB, which reads these statements as Athena does."""

    def __init__(self, spent: NDArray[Any], seen: NDArray[Any], *, version: int = 3) -> None:
        self._db = duckdb.connect()
        for view, column, values in (("customers", "spent_7d", spent), ("shops", "seen_7d", seen)):
            self._db.execute(
                f"CREATE TABLE {view}_served (model VARCHAR, model_version BIGINT, day VARCHAR, "
                f"event_time TIMESTAMP, {column} DOUBLE, score DOUBLE)"
            )
            score = _RANDOM.normal(size=len(values))
            rows = [
                ("fraud", version, "2025-05-02", "2025-05-02", None if v != v else float(v), s)
                for v, s in zip(values, score.tolist(), strict=True)
            ]
            self._db.executemany(f"INSERT INTO {view}_served VALUES (?, ?, ?, ?, ?, ?)", rows)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._db.execute(sql).fetchall()


def check(served: Served, found: Manifest | None = None) -> Check:
    found = found or manifest()
    return check_drift(served, found, watched_columns(found), version=3, since=SINCE)


def distances(found: Check) -> dict[str, float | None]:
    return {moved.name: moved.distance for moved in found.columns}


def test_the_features_that_are_stored_and_the_score_are_watched() -> None:
    names = {
        view: [c.name for c in columns] for view, columns in watched_columns(manifest()).items()
    }
    assert names == {"customers": ["spent", "score"], "shops": ["seen"]}


def test_what_is_distributed_as_in_training_has_not_drifted() -> None:
    found = check(Served(_RANDOM.normal(size=2000), _RANDOM.normal(size=2000)))
    assert max(d for d in distances(found).values() if d is not None) < 0.06
    assert found.beyond(0.1) == []


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_the_distance_is_that_of_kolmogorov_and_smirnov_at_the_quantiles(shift: float) -> None:
    served = _RANDOM.normal(shift, size=2000)
    found = distances(check(Served(served, _RANDOM.normal(size=2000))))
    levels = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
    at = TRAINED["spent"].quantiles
    wanted = max(abs((served <= q).mean() - p) for q, p in zip(at, levels, strict=True))
    assert found["spent"] == pytest.approx(wanted, abs=1e-9)
    assert found["seen"] is not None
    assert found["seen"] < 0.1


def test_the_farthest_comes_first_and_is_what_drifted() -> None:
    found = check(Served(_RANDOM.normal(2, size=1000), _RANDOM.normal(0.1, size=1000)))
    assert [moved.name for moved in found.beyond(0.2)] == ["spent"]
    assert found.columns[0].name == "spent"


def test_values_that_are_missing_now_are_drift() -> None:
    spent = _RANDOM.normal(size=2000)
    spent[:600] = np.nan
    [moved] = check(Served(spent, _RANDOM.normal(size=2000))).beyond(0.2)
    assert (moved.name, moved.missing, moved.missing_before) == ("spent", 0.3, 0.0)


def test_where_the_model_reads_a_default_that_is_what_is_held_against_training() -> None:
    reference = TRAINED | {"seen": describe(np.zeros(1000))}
    unknown = np.full(1000, np.nan)
    found = check(Served(_RANDOM.normal(size=1000), unknown), manifest(reference))
    seen = next(moved for moved in found.columns if moved.name == "seen")
    assert (seen.distance, seen.missing) == (0.0, 0.0)


def test_few_rows_are_no_drift_and_are_named() -> None:
    few = LEAST_ROWS - 1
    found = check(Served(_RANDOM.normal(9, size=few), _RANDOM.normal(9, size=few)))
    assert found.beyond(0.0) == []
    assert set(found.too_few) == {"spent", "seen", "score"}


def test_what_other_versions_were_served_does_not_count() -> None:
    found = check(Served(np.ones(1000), np.ones(1000), version=2))
    assert {moved.rows for moved in found.columns} == {0}
    assert found.beyond(0.0) == []


def test_a_column_that_training_never_saw_is_not_watched() -> None:
    reference = {"spent": describe(np.full(10, np.nan)), "seen": TRAINED["seen"]}
    assert list(watched_columns(manifest(reference))) == ["shops"]


def test_the_query_reads_the_days_that_it_needs_alone() -> None:
    views = watched_columns(manifest())
    sql = served_sql("shops", views["shops"], model="fraud", version=3, since=SINCE)
    assert re.search(r"FROM shops_served WHERE model = 'fraud' AND model_version = 3", sql)
    assert "day >= '2025-05-01' AND event_time >= TIMESTAMP '2025-05-01 00:00:00'" in sql
