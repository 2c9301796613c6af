"""A column in few numbers: what a dataset's record says of it, and a manifest of its inputs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlops.manifest import QUANTILES, Distribution

TOP = 10
_CATEGORIES = 1_000
"""A column with more values than that, most of them in one row, holds names: none is frequent."""
_LONGEST = 100
"""Characters that are kept of a frequent text."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frequent(_Frozen):
    """A value that is in many rows."""

    value: str | bool
    rows: int


class Statistics(_Frozen):
    """What a column holds; what does not apply to its type is absent."""

    missing: int
    """Rows without a value."""
    distinct: int | None = None
    infinite: int = 0
    """Rows that hold an infinity; the distribution is that of the others."""
    distribution: Distribution | None = None
    """Of numbers, and of booleans as 0 and 1."""
    first: datetime | None = None
    last: datetime | None = None
    top: tuple[Frequent, ...] = ()
    """Of texts and booleans, most frequent first; never of personal data."""


def describe(values: NDArray[np.floating]) -> Distribution:
    """A column in few numbers, by which drift is seen later."""
    present = values[~np.isnan(values)].astype(np.float64)
    if not len(present):
        return Distribution(mean=0.0, std=0.0, missing=1.0, quantiles=(0.0,) * len(QUANTILES))
    return Distribution(
        mean=float(present.mean()),
        std=float(present.std()),
        missing=1.0 - len(present) / len(values),
        quantiles=tuple(float(q) for q in np.quantile(present, QUANTILES)),
    )


def column_statistics(column: pa.ChunkedArray, *, pii: bool = False) -> Statistics:
    """What a column holds; exact, with the column in memory."""
    kind, missing = column.type, column.null_count
    if pa.types.is_nested(kind):
        return Statistics(missing=missing)
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    named = distinct > max(_CATEGORIES, (len(column) - missing) / 2)
    top = () if pii or named else _frequent(column)
    if pa.types.is_timestamp(kind):
        span = pc.min_max(column.cast(pa.timestamp("us", tz=kind.tz or "UTC"))).as_py()
        return Statistics(missing=missing, distinct=distinct, first=span["min"], last=span["max"])
    if not _is_number(kind):
        return Statistics(missing=missing, distinct=distinct, top=top)
    values = as_numbers(column)
    infinite = np.isinf(values)
    return Statistics(
        missing=missing,
        distinct=distinct,
        infinite=int(infinite.sum()),
        distribution=describe(values[~infinite]),
        top=top,
    )


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column of this type has a distribution."""
    return _is_number(kind)


def as_numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers or booleans as float64, NaN where there is none."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    found: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def _frequent(column: pa.ChunkedArray) -> tuple[Frequent, ...]:
    """The values that most rows have, each in more than one."""
    kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or pa.types.is_boolean(kind)):
        return ()
    counted = column.drop_null().value_counts()
    often = counted.filter(pc.greater(counted.field("counts"), 1)).to_pylist()
    chosen = sorted(often, key=lambda entry: (-entry["counts"], entry["values"]))[:TOP]
    return tuple(Frequent(value=_cut(e["values"]), rows=e["counts"]) for e in chosen)


def _cut(value: Any) -> str | bool:
    return value[:_LONGEST] if isinstance(value, str) else bool(value)
