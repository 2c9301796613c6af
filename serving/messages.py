"""Protobuf messages from a table in Python: no generated code, and a descriptor pool of their own.

A pool of its own, because clients of the same protocol in the same process bring messages of the
same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_SCALARS = ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")


@dataclass(frozen=True)
class MessageField:
    """A field: a scalar, or a message by its name within the package."""

    number: int
    type: str
    label: str = ""
    """'repeated', 'map' (of texts to the type), or nothing."""
    oneof: str = ""


Table = Mapping[str, Mapping[str, MessageField]]
"""Fields by message; a message within another is called 'Outer.Inner' and stands behind it."""


def read_fields(text: str) -> dict[str, MessageField]:
    """Fields as 'repeated string name = 1; map Type other = 2; oneof choice bool flag = 3'."""
    return dict(map(_read_field, filter(None, (part.strip() for part in text.split(";")))))


def _read_field(text: str) -> tuple[str, MessageField]:
    left, number = text.split("=")
    *label, kind, name = left.split()
    if label[:1] == ["oneof"]:
        return name, MessageField(int(number), kind, oneof=label[1])
    return name, MessageField(int(number), kind, "".join(label))


def build_messages(package: str, table: Table) -> dict[str, type[Any]]:
    """The classes of all messages, by their names in the table."""
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for name, fields in table.items():
        outer, _, inner = name.rpartition(".")
        message = made[outer].nested_type.add() if outer else file.message_type.add()
        message.name = inner
        made[name] = message
        for field_name, field in fields.items():
            _add_field(message, f"{package}.{name}", package, field_name, field)
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in table
    }


def _add_field(
    message: DescriptorProto, path: str, package: str, name: str, field: MessageField
) -> None:
    made = message.field.add(name=name, number=field.number)
    made.label = (
        FieldDescriptorProto.LABEL_REPEATED if field.label else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if field.label == "map":
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, f"{path}.{entry.name}", package, "key", MessageField(1, "string"))
        _add_field(entry, f"{path}.{entry.name}", package, "value", MessageField(2, field.type))
        made.type, made.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{path}.{entry.name}"
    elif field.type in _SCALARS:
        made.type = FieldDescriptorProto.Type.Value(f"TYPE_{field.type.upper()}")
    else:
        made.type = FieldDescriptorProto.TYPE_MESSAGE
        made.type_name = f".{package}.{field.type}"
    if field.oneof:
        made.oneof_index = _oneof(message, field.oneof)


def _oneof(message: DescriptorProto, name: str) -> int:
    names = [one.name for one in message.oneof_decl]
    if name not in names:
        message.oneof_decl.add(name=name)
        names.append(name)
    return names.index(name)
