"""Trino's JSON: the type, which the engine keeps as text, its casts, and SQL's JSON functions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from infra.local.athena.documents import extraction_path, read_path
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import Expressions, writes
from infra.local.athena.functions import special
from infra.local.athena.operators import Typed, as_text, cast, together
from infra.local.athena.scope import position
from infra.local.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    JSON,
    UNKNOWN,
    VARCHAR,
    Type,
    duck,
    from_sqlglot,
    quote,
    row_names,
    text,
)

_INEXACT = r"'[0-9]\.[0-9]*0([^0-9]|$)|[0-9][eE][+-]?[0-9]|[0-9]{17}'"
"""Numbers whose digits the engine does not keep."""


# Extraction


def _path(arguments: Sequence[Typed], name: str, where: str) -> tuple[str, str]:
    fits = len(arguments) == 2 and all(
        a.type.is_text or a.type in (JSON, UNKNOWN) for a in arguments
    )
    if not fits:
        given = ", ".join(str(a.type) for a in arguments)
        raise QueryFailed(
            "TYPE_MISMATCH", f"{where}Unexpected parameters ({given}) for function {name}"
        )
    if arguments[1].literal is None:
        raise unsupported(f"{name} with a path that is no literal", where)
    try:
        return arguments[0].sql, text(extraction_path(arguments[1].literal))
    except ValueError as exc:
        code, _, message = str(exc).partition(": ")
        raise QueryFailed(code, message) from exc


@special("json_extract")
def _extract(arguments: Sequence[Typed], where: str) -> Typed:
    """NULL for a text that is no JSON, too."""
    value, path = _path(arguments, "json_extract", where)
    return Typed(f"CAST(TRY(json_extract({value}, {path})) AS VARCHAR)", JSON)


@special("json_extract_scalar")
def _extract_scalar(arguments: Sequence[Typed], where: str) -> Typed:
    value, path = _path(arguments, "json_extract_scalar", where)
    kind = f"TRY(json_type({value}, {path}))"
    plain = f"json_extract_string({value}, {path})"
    exact = f"athena_json_exact({value}, {path})[1]"
    chosen = f"CASE WHEN regexp_matches({value}, {_INEXACT}) THEN {exact} ELSE {plain} END"
    return Typed(f"CASE WHEN {kind} NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN {chosen} END", VARCHAR)


@special("json_size")
def _size(arguments: Sequence[Typed], where: str) -> Typed:
    value, path = _path(arguments, "json_size", where)
    found = f"TRY(json_extract({value}, {path}))"
    sql = (
        f"CASE json_type({found}) WHEN 'ARRAY' THEN json_array_length({found}) "
        f"WHEN 'OBJECT' THEN len(json_keys({found})) WHEN 'NULL' THEN 0 "
        f"ELSE CASE WHEN {found} IS NOT NULL THEN 0 END END"
    )
    return Typed(f"CAST({sql} AS BIGINT)", BIGINT)


@writes(exp.ParseJSON)
def _literal(writer: Expressions, node: exp.ParseJSON) -> Typed:
    """JSON '…': parsed, and in the canonical form."""
    return Typed(f"athena_json_parse({writer.write(node.this).sql})", JSON)


# Casts


def cast_json(value: Typed, target: Type, where: str) -> Typed:
    """CAST from and to JSON, which the engine keeps as text."""
    if target == JSON:
        return Typed(f"CAST(to_json({_embeddable(value, where)}) AS VARCHAR)", target)
    if target.args:
        return Typed(_from_document(value.sql, target), target)
    scalar = Typed(_scalar(value.sql), VARCHAR)
    if target.is_text or target.is_number or target in (BOOLEAN, DATE):
        return cast(scalar, target, where)
    raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot cast json to {target}")


def _scalar(sql: str) -> str:
    complaint = f"error('INVALID_CAST_ARGUMENT: Cannot cast ''' || {sql} || ''' to a scalar')"
    return (
        f"CASE WHEN json_type({sql}) IN ('OBJECT', 'ARRAY') THEN {complaint} "
        f"ELSE json_extract_string({sql}, '$') END"
    )


def _embeddable(value: Typed, where: str) -> str:
    """SQL of which to_json makes what Trino makes: JSON inside stays JSON, times are texts."""
    kind, sql = value.type, value.sql
    if kind == JSON:
        return f"CAST({sql} AS JSON)"
    if kind.name == "array":
        inner = _embeddable(Typed("x", kind.args[0]), where)
        return sql if inner == "x" else f"list_transform({sql}, lambda x: {inner})"
    if kind.name == "row":
        parts = [
            f"{text(name)}: {_embeddable(Typed(f'({sql}).{quote(name)}', arg), where)}"
            for name, arg in zip(row_names(kind), kind.args, strict=True)
        ]
        return f"CASE WHEN {sql} IS NOT NULL THEN {{{', '.join(parts)}}} END"
    if kind.name == "map" and any(arg == JSON for arg in kind.args):
        pair = "{'k': x.key, 'v': CAST(x.value AS JSON)}"
        return f"map_from_entries(list_transform(map_entries({sql}), lambda x: {pair}))"
    if kind.name.startswith("timestamp"):
        return as_text(value)
    if kind.name in {"varbinary", "time"} or kind.name.startswith("interval"):
        raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot cast {kind} to json")
    return sql


def _from_document(sql: str, target: Type) -> str:
    """A row is read from an object, or from an array by position."""
    found = f"CAST(from_json({sql}, {text(shape(target))}) AS {duck(target)})"
    if target.name != "row":
        return found
    parts = ", ".join(
        f"{text(name)}: {_item(f'''json_extract({sql}, '$[{index}]')''', arg)}"
        for index, (name, arg) in enumerate(zip(row_names(target), target.args, strict=True))
    )
    return f"CASE WHEN json_type({sql}) = 'ARRAY' THEN {{{parts}}} ELSE {found} END"


def _item(sql: str, kind: Type) -> str:
    if kind.args:
        return _from_document(f"CAST({sql} AS VARCHAR)", kind)
    return f"CAST({sql} AS VARCHAR)" if kind == JSON else f"CAST({sql} ->> '$' AS {duck(kind)})"


def shape(kind: Type) -> str:
    """A type as from_json takes it. Raises NOT_SUPPORTED for bytes, which JSON has not."""
    if kind.name == "array":
        return f"[{shape(kind.args[0])}]"
    if kind.name == "row":
        pairs = zip(row_names(kind), kind.args, strict=True)
        return "{" + ",".join(f'"{name}":{shape(arg)}' for name, arg in pairs) + "}"
    if kind.name == "map":
        value = "JSON" if kind.args[1] == JSON else duck(kind.args[1])
        return f'"MAP({duck(kind.args[0])}, {value})"'
    if kind.name == "varbinary":
        raise unsupported("varbinary inside JSON")
    return '"JSON"' if kind == JSON else f'"{duck(kind)}"'


# SQL's own JSON functions


def _items(writer: Expressions, value: exp.Expr, path: exp.Expr) -> tuple[str, str]:
    """SQL of the document, and of the items that a path finds in it."""
    where = position(path)
    document, found = writer.write(value), writer.write(path)
    if found.literal is None:
        raise unsupported("a JSON path that is no literal", where)
    try:
        read_path(found.literal)
    except ValueError as exc:
        code, _, message = str(exc).partition(": ")
        raise QueryFailed(code, f"{where}{message}") from exc
    return document.sql, f"athena_json_path({document.sql}, {found.sql})"


@writes(exp.JSONExists)
def _exists(writer: Expressions, node: exp.JSONExists) -> Typed:
    document, items = _items(writer, node.this, node.args["path"])
    on_error = str(node.args.get("on_condition") or "FALSE ON ERROR").removesuffix(" ON ERROR")
    otherwise = {"FALSE": "FALSE", "TRUE": "TRUE", "UNKNOWN": "NULL"}.get(on_error)
    if otherwise is None:
        raise unsupported(f"JSON_EXISTS with {on_error} ON ERROR", position(node))
    sql = f"CASE WHEN {document} IS NOT NULL THEN coalesce(len({items}) > 0, {otherwise}) END"
    return Typed(sql, BOOLEAN)


@writes(exp.JSONValue)
def _value(writer: Expressions, node: exp.JSONValue) -> Typed:
    document, items = _items(writer, node.this, node.args["path"])
    returning = node.args.get("returning")
    kind = from_sqlglot(returning) if isinstance(returning, exp.DataType) else VARCHAR
    empty, error = _conditions(writer, node.args.get("on_condition"), position(node))
    one = f"{items}[1]"
    scalar = cast(Typed(f"json_extract_string({one}, '$')", VARCHAR), kind, position(node))
    values = together([scalar, empty, error], f"{position(node)}{{0}} and {{1}} do not fit")
    bad = f"{items} IS NULL OR len({items}) > 1 OR json_type({one}) IN ('OBJECT', 'ARRAY')"
    sql = (
        f"CASE WHEN {document} IS NULL THEN NULL WHEN {bad} THEN {values[2].sql} "
        f"WHEN len({items}) = 0 THEN {values[1].sql} ELSE {values[0].sql} END"
    )
    return Typed(sql, kind)


def _conditions(
    writer: Expressions, node: exp.OnCondition | None, where: str
) -> tuple[Typed, Typed]:
    """What ON EMPTY and ON ERROR give; NULL where nothing is said."""

    def one(name: str) -> Typed:
        given = node.args.get(name) if node is not None else None
        if given is None or str(given).upper().startswith("NULL"):
            return Typed("NULL", UNKNOWN)
        if isinstance(given, exp.Expr):
            return writer.write(given)
        raise unsupported(f"{given} of a JSON function", where)

    return one("empty"), one("error")


@writes(exp.JSONExtract)
def _query(writer: Expressions, node: exp.JSONExtract) -> Typed:
    if not node.args.get("json_query"):
        raise unsupported(node.sql("trino"), position(node))
    if node.args.get("quote") or node.args.get("on_condition"):
        raise unsupported("QUOTES, ON EMPTY and ON ERROR of JSON_QUERY", position(node))
    _, items = _items(writer, node.this, node.expression)
    wrapper = str(node.args.get("option") or "WITHOUT WRAPPER").upper()
    wrapped = f"('[' || array_to_string({items}, ',') || ']')"
    single = f"CASE WHEN len({items}) = 1 THEN {items}[1] END"
    if wrapper.startswith("WITHOUT"):
        return Typed(single, VARCHAR)
    if "CONDITIONAL" in wrapper and "UNCONDITIONAL" not in wrapper:
        lone = f"len({items}) = 1 AND json_type({items}[1]) IN ('OBJECT', 'ARRAY')"
        wrapped = f"CASE WHEN {lone} THEN {items}[1] ELSE {wrapped} END"
    return Typed(f"CASE WHEN len({items}) > 0 THEN {wrapped} END", VARCHAR)


_MADE_OF_JSON = (exp.JSONObject, exp.JSONArray, exp.JSONExtract)


def _member(writer: Expressions, node: exp.Expr) -> str:
    """A value as JSON text, JSON null for NULL; another JSON function's result is JSON already."""
    if isinstance(node, exp.FormatJson):
        raise unsupported("FORMAT JSON", position(node))
    value = writer.write(node)
    if isinstance(node, _MADE_OF_JSON) or value.type == JSON:
        return f"coalesce({value.sql}, 'null')"
    kind = value.type
    plain = kind.is_number or kind.is_text or kind in (BOOLEAN, UNKNOWN)
    sql = value.sql if plain else as_text(value)
    return f"coalesce(CAST(to_json({sql}) AS VARCHAR), 'null')"


def _joined(parts: Sequence[str], brackets: str) -> str:
    items = f"array_to_string(list_filter([{', '.join(parts)}], lambda x: x IS NOT NULL), ',')"
    return f"('{brackets[0]}' || {items} || '{brackets[1]}')"


@writes(exp.JSONObject)
def _object(writer: Expressions, node: exp.JSONObject) -> Typed:
    for clause in ("unique_keys", "return_type", "encoding"):
        if node.args.get(clause):
            raise unsupported(f"the clause {clause.upper()} of JSON_OBJECT", position(node))
    absent = str(node.args.get("null_handling") or "").upper().startswith("ABSENT")
    if not node.expressions:
        return Typed("'{}'", VARCHAR)
    parts = []
    for pair in node.expressions:
        if not isinstance(pair, exp.JSONKeyValue):
            raise unsupported(f"JSON_OBJECT of {pair.sql('trino')}", position(node))
        key, member = writer.write(pair.this).sql, _member(writer, pair.expression)
        entry = f"CAST(to_json({key}) AS VARCHAR) || ':' || {member}"
        none = f"{writer.write(pair.expression).sql} IS NULL"
        parts.append(f"CASE WHEN NOT ({none}) THEN {entry} END" if absent else entry)
    return Typed(_joined(parts, "{}"), VARCHAR)


@writes(exp.JSONArray)
def _array(writer: Expressions, node: exp.JSONArray) -> Typed:
    keep = str(node.args.get("null_handling") or "").upper().startswith("NULL")
    if not node.expressions:
        return Typed("'[]'", VARCHAR)
    parts = []
    for item in node.expressions:
        member = _member(writer, item)
        none = f"{writer.write(item).sql} IS NULL"
        parts.append(member if keep else f"CASE WHEN NOT ({none}) THEN {member} END")
    return Typed(_joined(parts, "[]"), VARCHAR)
