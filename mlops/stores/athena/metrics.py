"""What Feast's monitoring wants to know of columns: two scans for all, one for each of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feast.monitoring.monitoring_utils import (
    empty_categorical_metric,
    empty_numeric_metric,
    opt_float,
)

from mlops.stores.athena.session import Work
from mlops.stores.athena.sql import DayColumn, TimeColumn, Window, literal, name, to_instant

_SHARES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_NUMERIC = ("mean", "stddev", "min_val", "max_val", *_SHARES)
Metric = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """Some rows of a source."""

    relation: str
    time: TimeColumn
    day: DayColumn | None
    window: Window

    def select(self, columns: Sequence[str], *, more: str = "", tail: str = "") -> str:
        conditions = [*self.window.conditions(self.time, self.day), *([more] if more else [])]
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(columns)}\nFROM {self.relation}{where}{tail}"


def compute(
    work: Work, rows: Rows, columns: Sequence[tuple[str, str]], *, bins: int, top: int
) -> list[Metric]:
    """A metric of each (column, "numeric" or "categorical"), in Feast's form and this order."""
    known = [(column, kind) for column, kind in columns if kind in {"numeric", "categorical"}]
    metrics = _statistics(work, rows, known)
    numeric = [m for m in metrics if m["feature_type"] == "numeric" and m["min_val"] is not None]
    _count_in_bins(work, rows, numeric, bins)
    for metric in metrics:
        if metric["feature_type"] == "categorical" and metric["row_count"] > metric["null_count"]:
            metric["histogram"] = _most_frequent(work, rows, metric, top)
    return metrics


def last_time(work: Work, relation: str, time: TimeColumn) -> datetime | None:
    """The latest value of a column of times."""
    [found] = work.first_row(f"SELECT max({time.microseconds()})\nFROM {relation}")
    return None if found is None else to_instant(int(found))


def _statistics(work: Work, rows: Rows, columns: Sequence[tuple[str, str]]) -> list[Metric]:
    wanted = ["count(*)"]
    for column, kind in columns:
        wanted.append(f"count({name(column)})")
        wanted += _moments(column) if kind == "numeric" else []
    found = iter(work.first_row(rows.select(wanted)))
    total = int(next(found) or 0)
    return [_metric(column, kind, total, found) for column, kind in columns]


def _moments(column: str) -> list[str]:
    value = _number(column)
    shares = [f"approx_percentile({value}, {share})" for share in _SHARES.values()]
    return [f"{f}({value})" for f in ("avg", "stddev_samp", "min", "max")] + shares


def _number(column: str) -> str:
    """Without what is no number: it would be the mean and the maximum of all."""
    value = f"CAST({name(column)} AS double)"
    return f"CASE WHEN is_finite({value}) THEN {value} END"


def _metric(column: str, kind: str, total: int, found: Iterator[str | None]) -> Metric:
    numeric = kind == "numeric"
    metric: Metric = empty_numeric_metric(column) if numeric else empty_categorical_metric(column)
    missing = total - int(next(found) or 0)
    metric |= {"row_count": total, "null_count": missing}
    metric["null_rate"] = missing / total if total else 0.0
    if numeric:
        metric |= {of: opt_float(next(found)) for of in _NUMERIC}
    return metric


def _count_in_bins(work: Work, rows: Rows, metrics: Sequence[Metric], bins: int) -> None:
    """The counts of equally wide bins between each column's least and largest value."""
    if not metrics:
        return
    wanted = [f"json_format(CAST(histogram({_bin(metric, bins)}) AS json))" for metric in metrics]
    for metric, written in zip(metrics, work.first_row(rows.select(wanted)), strict=True):
        counts = json.loads(written or "{}")
        low, high = metric["min_val"], metric["max_val"]
        width = (high - low) / bins if high > low else 0.0
        edges = [low + place * width for place in range(bins)] if width else [low]
        metric["histogram"] = {
            "bins": [*edges, high],
            "counts": [counts.get(str(place + 1), 0) for place in range(len(edges))],
            "bin_width": width,
        }


def _bin(metric: Metric, bins: int) -> str:
    low, high = metric["min_val"], metric["max_val"]
    value = _number(metric["feature_name"])
    if low == high:
        return f"CASE WHEN {value} IS NOT NULL THEN 1 END"
    return f"least(width_bucket({value}, {literal(low)}, {literal(high)}, {bins}), {bins})"


def _most_frequent(work: Work, rows: Rows, metric: Metric, top: int) -> Metric:
    column = name(metric["feature_name"])
    counted = rows.select(
        [f"CAST({column} AS varchar) AS value", "count(*) AS n"],
        more=f"{column} IS NOT NULL",
        tail="\nGROUP BY 1",
    )
    ranked = (
        "SELECT value, n, count(*) OVER () AS kinds, sum(n) OVER () AS rows_, "
        f"row_number() OVER (ORDER BY n DESC, value) AS place\nFROM (\n{counted}\n)"
    )
    sql = (
        "SELECT json_format(CAST(array_agg(value ORDER BY place) AS json)), "
        "json_format(CAST(array_agg(n ORDER BY place) AS json)), max(kinds), max(rows_)\n"
        f"FROM (\n{ranked}\n)\nWHERE place <= {int(top)}"
    )
    values, counts, kinds, total = work.first_row(sql)
    shown = list(zip(json.loads(values or "[]"), json.loads(counts or "[]"), strict=True))
    return {
        "values": [{"value": value, "count": count} for value, count in shown],
        "other_count": int(total or 0) - sum(count for _, count in shown),
        "unique_count": int(kinds or 0),
    }
