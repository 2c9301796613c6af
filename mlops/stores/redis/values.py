"""Between `feast.types.Value` and stored forms: what Feast hands over, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from feast.protos.feast.types.Value_pb2 import MapKey, Value, ZonedTimestamp
from feast.type_map import python_values_to_proto_values
from feast.types import (
    Array,
    FeastType,
    Map,
    ScalarMap,
    Set,
    String,
    Struct,
)

from mlops.errors import InputError
from mlops.stores.redis import nested
from mlops.stores.redis.bodies import NO_TIME
from mlops.stores.redis.encoding import Cells, values_cells
from mlops.stores.redis.nested import Tagged
from mlops.stores.redis.schema import Column, Storage

_SCALARS = {
    "Bool": "bool_val",
    "Int32": "int32_val",
    "Int64": "int64_val",
    "Float32": "float_val",
    "Float64": "double_val",
    "UnixTimestamp": "unix_timestamp_val",
    "String": "string_val",
    "Json": "json_val",
    "Uuid": "uuid_val",
    "TimeUuid": "time_uuid_val",
    "Decimal": "decimal_val",
    "Bytes": "bytes_val",
    "PdfBytes": "bytes_val",
    "ImageBytes": "bytes_val",
    "ZonedTimestamp": "zoned_timestamp_val",
    "Map": "map_val",
    "ScalarMap": "scalar_map_val",
}
_ALIASES = {
    "unix_timestamp_list_val": ("int64_list_val",),
    **{f"{kind}_val": ("string_val",) for kind in ("uuid", "time_uuid", "decimal", "json")},
}
"""What Feast itself writes for a type in some of its ways in."""
_NUMBERS = {field.name: field.number for field in Value.DESCRIPTOR.fields}
_MEMBERS = {number: name for name, number in _NUMBERS.items()}


def member_of(dtype: str) -> str:
    """The member of `feast.types.Value` that holds values of a Feast type."""
    if dtype in _SCALARS:
        return _SCALARS[dtype]
    outer, _, inner = dtype.partition("(")
    if outer == "Struct":
        return "struct_val"
    suffix = "list" if outer == "Array" else "set"
    if inner.startswith(("Array(", "Set(")):
        return f"{suffix}_val"
    if inner.startswith("Struct("):
        return "struct_list_val"
    return f"{_SCALARS[inner[:-1]].removesuffix('_val')}_{suffix}_val"


def message_cells(column: Column, values: Sequence[Any]) -> Cells:
    """Cells of one feature's messages; None and an unset message are no value.

    Raises InputError where a message holds another type.
    """
    member = member_of(column.dtype)
    accepted = (member, *_ALIASES.get(member, ()))
    take = _TAKE.get(column.storage, _take_scalar)
    stored: list[Any] = []
    for value in values:
        kind = None if value is None else value.WhichOneof("val")
        if kind is None or kind == "null_val":
            stored.append(None)
        elif kind in accepted:
            stored.append(take(value, kind))
        else:
            raise InputError(f"Feature '{column.name}' is {column.dtype}, not {kind}.")
    if column.dtype == "UnixTimestamp":
        stored = [None if value == NO_TIME else value for value in stored]
    return values_cells(column, stored)


def messages(column_dtype: str, storage: Storage, stored: Sequence[Any]) -> list[Any]:
    """A message per stored form; an unset one for None."""
    member = member_of(column_dtype)
    empty = Value()
    make = _MAKE.get(storage)
    if make is None:
        return [empty if v is None else Value(**{member: v}) for v in stored]
    return [empty if value is None else make(member, value) for value in stored]


def nested_cells(column: Column, values: Sequence[Any]) -> Cells:
    """Cells of Python values (maps, lists of lists), taken as Feast takes them."""
    as_dicts = [_dicts(value) for value in values]
    if all(value is None for value in as_dicts):
        return values_cells(column, as_dicts)
    kind = _nested_type(column.dtype).to_value_type()
    return message_cells(column, python_values_to_proto_values(as_dicts, kind))


def _dicts(value: Any) -> Any:
    """Arrow's maps are lists of pairs."""
    if not isinstance(value, list):
        return value
    if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
        return {key: _dicts(item) for key, item in value}
    return [_dicts(item) for item in value]


def _nested_type(dtype: str) -> FeastType:
    """A Feast type of the same value type; what a struct holds makes no difference there."""
    simple = {
        "map_val": Map,
        "map_list_val": Array(Map),
        "scalar_map_val": ScalarMap,
        "struct_val": Struct({"_": String}),
        "struct_list_val": Array(Struct({"_": String})),
        "list_val": Array(Array(String)),
        "set_val": Set(Array(String)),
    }
    return simple[member_of(dtype)]


def _take_scalar(value: Any, kind: str) -> Any:
    return getattr(value, kind)


def _take_list(value: Any, kind: str) -> Any:
    return list(getattr(value, kind).val)


def _take_zoned(value: Any, kind: str) -> tuple[int, str]:
    zoned = getattr(value, kind)
    return zoned.unix_timestamp, zoned.zone


def _take_nested(value: Any, _: str) -> Tagged:
    return to_tagged(value)


_TAKE: dict[Storage, Callable[[Any, str], Any]] = {
    Storage.FIXED_LIST: _take_list,
    Storage.TEXT_LIST: _take_list,
    Storage.BYTES_LIST: _take_list,
    Storage.ZONED: _take_zoned,
    Storage.NESTED: _take_nested,
}


def _make_list(member: str, items: Any) -> Any:
    message = Value()
    target = getattr(message, member)
    target.SetInParent()  # an empty list is a value, too
    target.val.extend(items)
    return message


def _make_zoned(member: str, value: Any) -> Any:
    return Value(**{member: ZonedTimestamp(unix_timestamp=value[0], zone=value[1])})


_MAKE: dict[Storage, Callable[[str, Any], Any]] = {
    Storage.FIXED_LIST: _make_list,
    Storage.TEXT_LIST: _make_list,
    Storage.BYTES_LIST: _make_list,
    Storage.ZONED: _make_zoned,
    Storage.NESTED: lambda _, value: from_tagged(value),
}


def to_tagged(value: Any) -> Tagged:
    """A message as a nested value; maps in the order of their keys, so that bytes are the same."""
    member = value.WhichOneof("val")
    if member is None:
        return nested.UNSET, None
    number, content = _NUMBERS[member], getattr(value, member)
    return number, _content(number, content)


def _content(number: int, content: Any) -> Any:
    if number == nested.NULL:
        return None
    if number in nested.ELEMENTS:
        return list(content.val)
    if number in (nested.MAP, nested.STRUCT):
        return _pairs(content)
    if number in (nested.MAP_LIST, nested.STRUCT_LIST):
        return [_pairs(item) for item in content.val]
    if number in (nested.LIST, nested.SET):
        return [to_tagged(item) for item in content.val]
    if number == nested.SCALAR_MAP:
        return [(_key(entry.key), to_tagged(entry.value)) for entry in content.val]
    if number == nested.ZONED:
        return content.unix_timestamp, content.zone
    return content


def _pairs(message: Any) -> list[tuple[str, Tagged]]:
    return [(name, to_tagged(message.val[name])) for name in sorted(message.val)]


def _key(key: Any) -> Tagged:
    member = key.WhichOneof("key")
    if member is None:
        return nested.UNSET, None
    return _NUMBERS[member.removesuffix("key") + "val"], getattr(key, member)


def from_tagged(value: Tagged) -> Any:
    """The message of a nested value."""
    message = Value()
    number, content = value
    if number != nested.UNSET:
        _fill(message, number, content)
    return message


def _fill(message: Any, number: int, content: Any) -> None:
    member = _MEMBERS[number]
    fill = _extend if number in nested.ELEMENTS else _FILL.get(number)
    if fill is None:
        setattr(message, member, 0 if number == nested.NULL else content)
    else:
        target = getattr(message, member)
        target.SetInParent()  # an empty list is a value, too
        fill(target, content)


def _extend(target: Any, items: Sequence[Any]) -> None:
    target.val.extend(items)


def _fill_map(target: Any, pairs: Sequence[tuple[str, Tagged]]) -> None:
    for name, item in pairs:
        target.val[name].CopyFrom(from_tagged(item))


def _fill_maps(target: Any, maps: Sequence[Any]) -> None:
    for pairs in maps:
        _fill_map(target.val.add(), pairs)


def _fill_values(target: Any, items: Sequence[Tagged]) -> None:
    target.val.extend([from_tagged(item) for item in items])


def _fill_scalar_map(target: Any, pairs: Sequence[tuple[Tagged, Tagged]]) -> None:
    for key, item in pairs:
        target.val.add(key=_map_key(key), value=from_tagged(item))


def _fill_zoned(target: Any, zoned: tuple[int, str]) -> None:
    target.unix_timestamp, target.zone = zoned


_FILL: dict[int, Callable[[Any, Any], None]] = {
    nested.MAP: _fill_map,
    nested.STRUCT: _fill_map,
    nested.MAP_LIST: _fill_maps,
    nested.STRUCT_LIST: _fill_maps,
    nested.LIST: _fill_values,
    nested.SET: _fill_values,
    nested.SCALAR_MAP: _fill_scalar_map,
    nested.ZONED: _fill_zoned,
}


def _map_key(key: Tagged) -> Any:
    number, content = key
    return MapKey() if number == nested.UNSET else MapKey(**{_key_member(number): content})


def _key_member(number: int) -> str:
    member: str = _MEMBERS[number]
    return member.removesuffix("val") + "key"
