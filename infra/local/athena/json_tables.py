"""Tables of JSON documents, one a line: a column is the document's key of its name."""

from __future__ import annotations

from collections.abc import Sequence

from infra.local.athena.catalog import Column
from infra.local.athena.errors import unsupported
from infra.local.athena.files import Part
from infra.local.athena.formats import OPENX, format_of
from infra.local.athena.json_functions import shape
from infra.local.athena.scope import Leaf
from infra.local.athena.text_tables import LINE, lines, rows
from infra.local.athena.types import Type, duck, quote, text

_DOCUMENT = quote("$document")
_MAPPING = "mapping."


def documents(leaf: Leaf, parts: Sequence[Part]) -> str:
    """Rows as the OpenX and the Hive JSON SerDe read them; keys meet columns in lower case."""
    table = leaf.table
    given = table.serde_parameters
    for name in ("dots.in.keys", "timestamp.formats"):
        if given.get(name, "false").lower() != "false":
            raise unsupported(f"the SerDe property {name}")
    exact = given.get("case.insensitive", "true").lower() == "false"
    keys = {
        name.removeprefix(_MAPPING): key if exact else key.lower()
        for name, key in given.items()
        if name.startswith(_MAPPING) and format_of(table) == OPENX
    }
    lenient = given.get("ignore.malformed.json", "false").lower() == "true"
    document = f"athena_json_document({LINE}, {str(lenient).upper()})"
    if not exact:
        document = f"athena_lower_keys({document})"
    items = [_item(column, keys.get(column.name, column.name)) for column in table.columns]
    return rows(leaf, lines(leaf, parts, document, _DOCUMENT), items)


def _item(column: Column, key: str) -> str:
    path = '$."' + key.replace('"', '\\"') + '"'
    found = f"json_extract({_DOCUMENT}, {text(path)})"
    return f"{_value(found, column.type)} AS {quote(column.name)}"


def _value(found: str, kind: Type) -> str:
    """A JSON value as a value of a type; NULL for what does not fit."""
    scalar = f"json_extract_string({found}, '$')"
    if kind.is_text:
        return f"substr({scalar}, 1, {kind.precision})" if kind.precision else scalar
    if kind.name == "timestamp":
        return f"CAST(CAST(TRY_CAST({scalar} AS TIMESTAMP) AS TIMESTAMP_MS) AS TIMESTAMP)"
    if kind.name == "varbinary":
        return f"TRY(from_base64({scalar}))"
    if not kind.args:
        return f"TRY_CAST({scalar} AS {duck(kind)})"
    return f"CAST(json_transform({found}, {text(shape(kind))}) AS {duck(kind)})"
