"""The properties of CTAS and UNLOAD: what WITH (…) may say."""

from __future__ import annotations

from infra.local.athena.encodings import Encoding, codec
from infra.local.athena.errors import QueryFailed, no_iceberg, unsupported
from infra.local.athena.formats import TEXT, by_property
from infra.local.athena.statements import Properties

_KNOWN_PROPERTIES = {
    "external_location",
    "format",
    "partitioned_by",
    "write_compression",
    "parquet_compression",
    "compression",
    "table_type",
    "is_external",
    "field_delimiter",
    "orc_compression",
}


def check_created(properties: Properties) -> None:
    if text_of(properties, "table_type").upper() == "ICEBERG":
        raise no_iceberg("CREATE TABLE AS with table_type")
    for name in properties:
        if name not in _KNOWN_PROPERTIES:
            raise unsupported(f"the table property {name}")
    if text_of(properties, "table_type").upper() not in {"", "HIVE"}:
        raise unsupported(f"table_type {text_of(properties, 'table_type')}")


def text_of(properties: Properties, name: str) -> str:
    found = properties.get(name, "")
    return found if isinstance(found, str) else ""


def texts_of(properties: Properties, name: str) -> list[str]:
    found = properties.get(name, ())
    return [found.lower()] if isinstance(found, str) else [item.lower() for item in found]


_UNLOAD_PROPERTIES = {"format", "compression", "field_delimiter", "partitioned_by"}


def check_unloaded(properties: Properties) -> None:
    for name in properties:
        if name not in _UNLOAD_PROPERTIES:
            raise unsupported(f"the property {name} of UNLOAD")
    if "format" not in properties:
        raise QueryFailed("INVALID_TABLE_PROPERTY", "UNLOAD needs the property format")


def encoding_of(properties: Properties, *, what: str) -> Encoding:
    form = by_property(text_of(properties, "format") or "PARQUET", what=what)
    own = f"{form.name.lower()}_compression"
    names = ("write_compression", own, "compression")
    wanted = next((text_of(properties, name) for name in names if name in properties), "")
    delimiter = text_of(properties, "field_delimiter")
    if delimiter and form != TEXT:
        raise QueryFailed(
            "INVALID_TABLE_PROPERTY", f"field_delimiter is of TEXTFILE, not of {form.name}"
        )
    parameters = {"field.delim": delimiter} if delimiter else {}
    return Encoding(form, codec(form, wanted), parameters)
