"""Whether rows fit the table that they are written to, before one of them is written. Pure.

A table's types are Glue's. What a value must be besides is declared by tags of the feature view's
fields: `required`, `min`, `max`, `values`. Everything that is wrong is told at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlops.errors import InputError
from mlops.stores.athena.types import arrow_type

_EXAMPLES = 3
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_NARROW = {"tinyint": pa.int8(), "smallint": pa.int16(), "date": pa.date32()}
"""What is read as a larger type, but must be written as this one."""
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Rule:
    """What a field's values must be; bounds are included."""

    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()


def field_rule(tags: Mapping[str, str], *, title: str) -> Rule:
    """What a field's tags declare. Raises InputError for what cannot be read."""
    return Rule(
        required=_flag(tags, title),
        minimum=_bound(tags, "min", title),
        maximum=_bound(tags, "max", title),
        values=tuple(v.strip() for v in tags["values"].split(",")) if "values" in tags else (),
    )


def _flag(tags: Mapping[str, str], title: str) -> bool:
    given = tags.get("required", "false").strip().lower()
    if given not in {*_TRUE, *_FALSE}:
        raise InputError(f"{title}: tag 'required' is '{given}'. Write it as 'true' or 'false'.")
    return given in _TRUE


def _bound(tags: Mapping[str, str], name: str, title: str) -> float | None:
    if name not in tags:
        return None
    try:
        found = float(tags[name])
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(
            f"{title}: tag '{name}' is '{tags[name]}'. Write a number, as '0' or '0.5'."
        )
    return found


@dataclass(frozen=True)
class Target:
    """What rows are held against; columns by their lower-case names in the table."""

    title: str
    columns: Mapping[str, str]
    """Hive's types, those of the partitions included, in the table's order."""
    keys: tuple[str, ...]
    event_time: str
    created: str | None = None
    day: str | None = None
    """The partition of the event time's UTC day; filled in where the rows lack it."""
    partitions: tuple[str, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Feast's names of columns that the table calls otherwise."""
    latest: datetime | None = None
    """No time may be after this one."""


def fit(rows: pa.Table, target: Target) -> pa.Table:
    """The rows with the target's columns, in its order and types.

    Raises InputError with every fault, how many rows it is about, and examples.
    """
    given = {target.renamed.get(n, n).lower(): rows[n] for n in rows.column_names}
    _check_names(given, target)
    fitted, faults = _cast(given, target)
    if not faults:
        faults = list(_faults(fitted, target))
    if faults:
        raise InputError(
            f"{rows.num_rows:,} rows do not fit {target.title}, and none was written: "
            f"{'; '.join(faults)}. Correct the rows, or the view's fields in feature_repo/."
        )
    return fitted


def _check_names(given: Mapping[str, Any], target: Target) -> None:
    missing = sorted(target.columns.keys() - given - {target.day})
    extra = sorted(given.keys() - target.columns)
    if missing or extra:
        raise InputError(
            f"The rows do not fit {target.title}, and none was written: missing "
            f"{', '.join(missing) or 'nothing'}, unknown {', '.join(extra) or 'nothing'}."
        )


def _cast(given: Mapping[str, pa.ChunkedArray], target: Target) -> tuple[pa.Table, list[str]]:
    columns: dict[str, pa.ChunkedArray] = {}
    faults: list[str] = []
    # The day comes from the time as it is stored: in UTC.
    for name in sorted(target.columns, key=lambda column: column == target.day):
        hive = target.columns[name]
        try:
            values = given[name] if name in given else _days(columns[target.event_time])
            columns[name] = _as_stored(values, hive)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
            faults.append(f"'{name}' does not fit {hive} ({exc})")
        except KeyError:
            continue  # the time of which the day is made is told already
    return pa.table({name: columns[name] for name in target.columns if name in columns}), faults


def _as_stored(values: pa.ChunkedArray, hive: str) -> pa.ChunkedArray:
    kind = _stored_type(hive)
    if kind is None:
        return values
    return values.cast(kind, safe=not pa.types.is_timestamp(kind))


def _stored_type(hive: str) -> pa.DataType | None:
    """The Arrow type whose values are those of Hive's; None for maps and rows."""
    sized = _DECIMAL.fullmatch(hive.replace(" ", ""))
    if sized:
        return pa.decimal128(int(sized[1]), int(sized[2]))
    return _NARROW.get(hive) or arrow_type(hive)


def _faults(rows: pa.Table, target: Target) -> Iterator[str]:
    for name, (words, wrong) in _wrong(rows, target):
        found = pc.fill_null(wrong, False)
        count = pc.sum(found).as_py() or 0
        if count:
            shown = _examples(rows.filter(found).slice(0, _EXAMPLES), name, target)
            yield f"'{name}' {words} in {count:,} rows ({shown})"


def _wrong(rows: pa.Table, target: Target) -> Iterator[tuple[str, tuple[str, Any]]]:
    """By column: a rule's words, and which rows break it."""
    times = [t for t in (target.event_time, target.created) if t]
    required = {*target.keys, *times, *target.partitions}
    required |= {name for name, rule in target.rules.items() if rule.required}
    for name in target.columns:
        values = rows[name]
        if name in required:
            yield name, ("is null", pc.is_null(values))
        if name in times and target.latest is not None:
            words = f"is after {target.latest:%Y-%m-%d %H:%M:%S} UTC"
            yield name, (words, _compared(pc.greater, values, target.latest))
        if pa.types.is_floating(values.type):
            yield name, ("is not finite", pc.invert(pc.is_finite(values)))
        for found in _broken(name, values, target.rules.get(name, Rule())):
            yield name, found
    if target.day:
        misplaced = pc.not_equal(_days(rows[target.event_time]), _texts(rows[target.day]))
        yield target.day, (f"is not the UTC day of '{target.event_time}'", misplaced)


def _broken(name: str, values: pa.ChunkedArray, rule: Rule) -> Iterator[tuple[str, Any]]:
    _check_rule(name, values.type, rule)
    if rule.minimum is not None:
        yield f"is below {rule.minimum:g}", _compared(pc.less, values, rule.minimum)
    if rule.maximum is not None:
        yield f"is above {rule.maximum:g}", _compared(pc.greater, values, rule.maximum)
    if rule.values:
        allowed = pc.is_in(values, value_set=pa.array(rule.values))
        unlike = pc.and_(pc.invert(allowed), pc.is_valid(values))
        yield f"is none of {', '.join(rule.values)}", unlike


def _check_rule(name: str, kind: pa.DataType, rule: Rule) -> None:
    bounded = rule.minimum is not None or rule.maximum is not None
    if (bounded and not _is_number(kind)) or (rule.values and not pa.types.is_string(kind)):
        raise InputError(
            f"Field '{name}' is stored as {kind}: tags 'min' and 'max' go with numbers, 'values' "
            "with text. Correct its tags in feature_repo/."
        )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _compared(compare: Callable[..., Any], values: pa.ChunkedArray, bound: Any) -> Any:
    if pa.types.is_timestamp(values.type):
        return compare(values, pa.scalar(bound, pa.timestamp("us", tz="UTC")))
    return compare(values.cast(pa.float64(), safe=False), pa.scalar(float(bound)))


def _days(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.strftime(times, "%Y-%m-%d")


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(pa.string())


def _examples(rows: pa.Table, column: str, target: Target) -> str:
    """'customer_id c1, event_time …: value' of a few rows."""
    told = []
    for row in rows.to_pylist():
        who: Sequence[str] = [f"{name} {row[name]}" for name in (*target.keys, target.event_time)]
        told.append(f"{', '.join(who)}: {row[column]}")
    return "; ".join(told)
