"""From Arrow columns to cells and times: what fits a feature's type, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops.errors import InputError
from mlops.plan import PlannedField
from mlops.stores.redis.bodies import NO_TIME, pack_list
from mlops.stores.redis.encoding import Cells, Times
from mlops.stores.redis.keys import KEY_TYPES, EntityKeys
from mlops.stores.redis.schema import NO_CREATED, SLOTS, Column, Storage, element_of

_TARGETS = {
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "UnixTimestamp": pa.timestamp("s"),
}
_MICROSECONDS = pa.timestamp("us")


def column_cells(column: Column, batch: pa.RecordBatch) -> Cells:
    """Cells of a feature. NaN is no value, as in Feast.

    Raises InputError where the batch has no such column, or one whose values do not fit.
    """
    array = take_column(batch, column.name)
    if not _fits(column, array.type):
        raise InputError(f"Feature '{column.name}' is {column.dtype}; the rows have {array.type}.")
    try:
        return _CELLS[column.storage](column, array)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, AssertionError) as exc:
        raise InputError(
            f"Feature '{column.name}' is {column.dtype}; a value does not fit: {exc}"
        ) from exc


def take_column(batch: pa.RecordBatch, name: str) -> Any:
    """The column, with dictionaries decoded. Raises InputError where there is none."""
    place = batch.schema.get_field_index(name)
    if place < 0:
        raise InputError(f"The rows have no '{name}'; they have {', '.join(batch.schema.names)}.")
    array = batch.column(place)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def event_times(batch: pa.RecordBatch, name: str) -> tuple[Times, Any]:
    """Microseconds since 1970, and a mask of the rows that have no time (theirs are 0).

    A column of whole numbers holds microseconds already; a time without a zone is UTC.
    Raises InputError where it is no column of times.
    """
    array = take_column(batch, name)
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        array = array.cast(_MICROSECONDS, safe=False)
    elif not pa.types.is_int64(array.type):
        raise InputError(f"'{name}' must be times, or microseconds as int64; it is {array.type}.")
    missing = array.is_null().to_numpy(zero_copy_only=False)
    return array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), missing


def created_times(batch: pa.RecordBatch, name: str) -> Times:
    """As `event_times`; a row without one was created before all others."""
    times, missing = event_times(batch, name)
    return np.where(missing, NO_CREATED, times)


def row_keys(keys: EntityKeys, batch: pa.RecordBatch) -> list[bytes | None]:
    """The Redis key of each row; None where a join key has no value.

    Raises InputError where a column is missing or of another type.
    """
    if not keys.fields:
        return [keys.prefix] * batch.num_rows
    return keys.from_texts([_key_texts(field, batch) for field in keys.fields])


def _key_texts(field: PlannedField, batch: pa.RecordBatch) -> list[bytes | None]:
    array = take_column(batch, field.name)
    if not any(check(array.type) for check in _KEY_CHECKS[field.dtype]):
        raise InputError(
            f"Join key '{field.name}' must be {KEY_TYPES[field.dtype]}, not {array.type}."
        )
    if field.dtype not in ("String", "Bytes"):
        try:
            array = _whole(field.dtype, array)
        except pa.ArrowInvalid as exc:
            raise InputError(f"Join key '{field.name}' is {field.dtype}: {exc}") from exc
    texts: list[bytes | None] = _encoded(array).to_pylist()
    return texts


def _whole(dtype: str, array: Any) -> Any:
    return _seconds(array) if dtype == "UnixTimestamp" else array.cast(_TARGETS[dtype])


def _fits(column: Column, arrow: pa.DataType) -> bool:
    if pa.types.is_null(arrow) or column.storage is Storage.NESTED:
        return True
    if column.storage in (Storage.FIXED_LIST, Storage.TEXT_LIST, Storage.BYTES_LIST):
        return _is_list(arrow) and _value_fits(element_of(column.dtype), arrow.value_type)
    return _value_fits(column.dtype, arrow)


def _is_list(arrow: pa.DataType) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(arrow) for check in checks)


def _value_fits(dtype: str, arrow: pa.DataType) -> bool:
    if pa.types.is_null(arrow):
        return True
    if dtype in ("Float32", "Float64"):
        return bool(_is_number(arrow) or pa.types.is_decimal(arrow))
    if dtype in ("Int32", "Int64"):
        return _is_number(arrow)
    return any(check(arrow) for check in _CHECKS.get(dtype, (_is_text,)))


def _is_number(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_integer(arrow) or pa.types.is_floating(arrow))


def _is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


def _is_bytes(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow))


_CHECKS: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "Bool": (pa.types.is_boolean,),
    "UnixTimestamp": (pa.types.is_timestamp, pa.types.is_date, pa.types.is_integer),
    "ZonedTimestamp": (pa.types.is_timestamp,),
    **dict.fromkeys(("Bytes", "PdfBytes", "ImageBytes"), (_is_bytes,)),
    "Decimal": (_is_text, pa.types.is_decimal),
}


_KEY_CHECKS: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "String": (_is_text,),
    "Bytes": (_is_bytes,),
    "Int32": (pa.types.is_integer,),
    "Int64": (pa.types.is_integer,),
    "UnixTimestamp": _CHECKS["UnixTimestamp"],
}


def _fixed(column: Column, array: Any) -> Cells:
    values = _numbers(column.dtype, array)
    if column.dtype in ("Float32", "Float64"):
        nulls = np.isnan(values)
        return Cells(nulls, slots=np.where(nulls, 0, values))
    return Cells(array.is_null().to_numpy(zero_copy_only=False), slots=values)


def _numbers(dtype: str, array: Any) -> Any:
    """Values of a type with slots as NumPy; floats are NaN and others 0 where there is none."""
    if dtype == "UnixTimestamp":
        return _seconds(array).fill_null(0).to_numpy(zero_copy_only=False)
    array = array.cast(_TARGETS[dtype], safe=dtype not in ("Float32", "Float64"))
    if dtype in ("Float32", "Float64"):
        return array.to_numpy(zero_copy_only=False)
    return array.fill_null(False if dtype == "Bool" else 0).to_numpy(zero_copy_only=False)


def _seconds(array: Any) -> Any:
    """Whole seconds, rounded down."""
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64())
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_null(array.type):
        return array.cast(pa.int64())
    return (
        pc.floor_temporal(array, unit="second")
        .cast(pa.timestamp("s", array.type.tz))
        .cast(pa.int64())
    )


def _texts(_: Column, array: Any) -> Cells:
    return _bodies(array, _encoded(array).to_pylist())


def _encoded(array: Any) -> Any:
    if not _is_text(array.type) and not _is_bytes(array.type):
        array = array.cast(pa.string())
    return array.cast(pa.large_binary())


def _bodies(array: Any, bodies: Sequence[bytes | None]) -> Cells:
    nulls = array.is_null().to_numpy(zero_copy_only=False)
    return Cells(nulls, bodies=[body or b"" for body in bodies])


def _fixed_list(column: Column, array: Any) -> Cells:
    if pa.types.is_null(array.type):
        return _bodies(array, [None] * len(array))
    element = element_of(column.dtype)
    slot = np.dtype(SLOTS[element][1])
    values = _elements(element, array.flatten()).astype(slot).tobytes()
    sizes = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    ends = (np.cumsum(sizes) * slot.itemsize).tolist()
    return _bodies(array, [values[s:e] for s, e in zip([0, *ends[:-1]], ends, strict=False)])


def _elements(dtype: str, values: Any) -> Any:
    """Elements as NumPy; one that is missing becomes what Feast puts there."""
    if dtype == "UnixTimestamp":
        return _seconds(values).fill_null(NO_TIME).to_numpy(zero_copy_only=False)
    return _numbers(dtype, values.fill_null(0) if dtype.startswith("Float") else values)


def _list(_: Column, array: Any) -> Cells:
    if pa.types.is_null(array.type):
        return _bodies(array, [None] * len(array))
    items = _encoded(array.flatten()).fill_null(b"").to_pylist()
    sizes = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(sizes).tolist()
    valid = array.is_valid().to_pylist()
    bounds = zip([0, *ends[:-1]], ends, valid, strict=False)
    return _bodies(
        array, [pack_list(items[s:e]) if is_valid else None for s, e, is_valid in bounds]
    )


def _zoned(_: Column, array: Any) -> Cells:
    zone = (getattr(array.type, "tz", None) or "").encode()
    seconds = _seconds(array).fill_null(0).to_pylist()
    valid = array.is_valid().to_pylist()
    pairs = zip(seconds, valid, strict=True)
    return _bodies(
        array, [s.to_bytes(8, "little", signed=True) + zone if v else None for s, v in pairs]
    )


def _nested(column: Column, array: Any) -> Cells:
    """By Feast's own rules of what a Python value is, so that both ways in give the same bytes."""
    # Only these need Feast, which takes long to import.
    from mlops.stores.redis.values import nested_cells  # noqa: PLC0415

    return nested_cells(column, array.to_pylist())


_CELLS: dict[Storage, Callable[[Column, Any], Cells]] = {
    Storage.FIXED: _fixed,
    Storage.TEXT: _texts,
    Storage.BYTES: _texts,
    Storage.FIXED_LIST: _fixed_list,
    Storage.TEXT_LIST: _list,
    Storage.BYTES_LIST: _list,
    Storage.ZONED: _zoned,
    Storage.NESTED: _nested,
}
