"""How two datasets differ: columns, rows by key, values, distributions, price."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipelines.datasets.dataset import Dataset
from pipelines.datasets.record import DatasetRecord
from pipelines.datasets.statistics import as_numbers, is_numeric

_BINS = 10
_LEAST_SHARE = 1e-4
"""Stands for an empty bin, whose logarithm there is none of."""
_CATEGORIES = 1_000
"""Texts with more values than that are names, and have no distribution."""
OTHER = "\x00other"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pair(_Frozen):
    """A fact of both datasets, on which they differ."""

    what: str
    first: str | None
    second: str | None


class Shift(_Frozen):
    """How far one column's distribution moved."""

    column: str
    psi: float | None
    """Population stability index: below 0.1 stable, above 0.25 another population."""
    ks: float | None
    """Kolmogorov-Smirnov: the largest distance of the two distribution functions, 0 to 1."""
    missing: tuple[float, float]
    """Shares without a value."""
    changed: int
    """Rows in both whose value differs."""


class Difference(_Frozen):
    """From the first dataset to the second."""

    first: str
    second: str
    identical: bool
    facts: tuple[Pair, ...]
    columns: tuple[Pair, ...]
    """Columns that only one has, or that have another type."""
    rows: tuple[int, int]
    key: tuple[str, ...]
    added: int
    removed: int
    shifts: tuple[Shift, ...]
    """Of the columns that both have, the largest first."""


def compare(first: Dataset, second: Dataset) -> Difference:
    """Read both, a few columns at a time."""
    one, two = first.record, second.record
    key = _key(one, two)
    identical = one.sha256 == two.sha256
    matched = _match(first.to_pandas(key), second.to_pandas(key), key)
    shared = [c.name for c in one.columns if _types(two).get(c.name) == c.type]
    shifts = (
        []
        if identical
        else [
            _shift(name, first.to_arrow([name])[0], second.to_arrow([name])[0], matched)
            for name in shared
            if name not in key
        ]
    )
    return Difference(
        first=one.reference,
        second=two.reference,
        identical=identical,
        facts=tuple(_differing(_facts(one), _facts(two))),
        columns=tuple(_differing(_types(one), _types(two))),
        rows=(one.rows, two.rows),
        key=tuple(key),
        added=two.rows - len(matched.second),
        removed=one.rows - len(matched.first),
        shifts=tuple(sorted(shifts, key=_size, reverse=True)),
    )


class _Matched:
    """Places of the rows that both datasets have, pair by pair."""

    def __init__(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        self.first = first
        self.second = second


def _key(one: DatasetRecord, two: DatasetRecord) -> list[str]:
    """What tells rows apart in both: the time and the join keys."""
    both = set(_types(one).items()) & set(_types(two).items())
    names = [c.name for c in one.columns if c.role in {"time", "key"}]
    return [name for name in names if any(name == found for found, _ in both)]


def _match(first: pd.DataFrame, second: pd.DataFrame, key: list[str]) -> _Matched:
    """Rows with the same key belong together, the n-th with the n-th."""
    if not key:
        nothing = np.array([], dtype=np.int64)
        return _Matched(nothing, nothing)
    sides = [_numbered(frame, key) for frame in (first, second)]
    both = sides[0].merge(sides[1], on=[*key, "n"], suffixes=("_first", "_second"))
    return _Matched(both["row_first"].to_numpy(), both["row_second"].to_numpy())


def _numbered(frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    numbers = frame.groupby(key, dropna=False, sort=False).cumcount()
    return frame.assign(n=numbers, row=np.arange(len(frame)))


def _shift(name: str, first: pa.ChunkedArray, second: pa.ChunkedArray, matched: _Matched) -> Shift:
    missing = (first.null_count / max(len(first), 1), second.null_count / max(len(second), 1))
    changed = count_changed(first.take(matched.first), second.take(matched.second))
    psi, ks = None, None
    if is_numeric(first.type):
        a, b = (_present(as_numbers(column)) for column in (first, second))
        psi, ks = numeric_psi(a, b), ks_distance(a, b)
    elif pa.types.is_string(first.type) and pc.count_distinct(first).as_py() <= _CATEGORIES:
        psi = category_psi(first.drop_null().to_pandas(), second.drop_null().to_pandas())
    return Shift(column=name, psi=psi, ks=ks, missing=missing, changed=changed)


def count_changed(first: pa.ChunkedArray, second: pa.ChunkedArray) -> int:
    """Places at which two columns differ; no value and no value are the same."""
    one, two = first.to_pandas(), second.to_pandas()
    same = (one.eq(two)) | (one.isna() & two.isna())
    return int((~same).sum())


def numeric_psi(
    first: NDArray[np.float64], second: NDArray[np.float64], *, bins: int = _BINS
) -> float | None:
    """Population stability index over the first one's quantiles; None where one has no values."""
    if not len(first) or not len(second):
        return None
    inner = np.unique(np.quantile(first, np.linspace(0, 1, bins + 1)[1:-1]))
    return _psi(_shares(first, inner), _shares(second, inner))


def _shares(values: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the values lies in each bin; a bin ends with its upper edge."""
    places = np.searchsorted(inner, values, side="left")
    return np.bincount(places, minlength=len(inner) + 1) / len(values)


def category_psi(first: pd.Series, second: pd.Series, *, kept: int = 50) -> float | None:
    """The same over the first one's most frequent values, with all others as one."""
    if not len(first) or not len(second):
        return None
    known = first.value_counts().index[:kept]
    shares = [v.where(v.isin(known), OTHER).value_counts(normalize=True) for v in (first, second)]
    names = sorted(set(shares[0].index) | set(shares[1].index))
    one, two = (share.reindex(names, fill_value=0.0).to_numpy(float) for share in shares)
    return _psi(one, two)


def ks_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """The largest distance of the empirical distribution functions; None where one is empty."""
    if not len(first) or not len(second):
        return None
    points = np.concatenate([first, second])
    one, two = (
        np.searchsorted(np.sort(values), points, side="right") / len(values)
        for values in (first, second)
    )
    return float(np.abs(one - two).max())


def _psi(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    one, two = np.maximum(first, _LEAST_SHARE), np.maximum(second, _LEAST_SHARE)
    return float(((two - one) * np.log(two / one)).sum())


def _present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values[np.isfinite(values)]
    return found


def _size(shift: Shift) -> tuple[float, int]:
    return (shift.psi or shift.ks or 0.0, shift.changed)


def _types(record: DatasetRecord) -> dict[str, str]:
    return {column.name: column.type for column in record.columns}


def _facts(record: DatasetRecord) -> dict[str, str]:
    read = {
        f"generations of {table.table}": ", ".join(table.generations) or "not kept"
        for table in record.tables
    }
    return {
        "service": record.service,
        "plan": record.plan_sha256[:12],
        "as of": record.as_of.isoformat() if record.as_of else "then",
        "rows": str(record.rows),
        "price": f"{record.cost.price:.6f} {record.cost.currency}",
        "scanned bytes": str(record.cost.scanned_bytes),
        "snapshot": record.snapshot,
        "created": f"{record.created:%Y-%m-%d %H:%M:%S}",
        "created by": record.created_by,
        **read,
    }


def _differing(first: dict[str, str], second: dict[str, str]) -> list[Pair]:
    return [
        Pair(what=what, first=first.get(what), second=second.get(what))
        for what in dict.fromkeys([*first, *second])
        if first.get(what) != second.get(what)
    ]
