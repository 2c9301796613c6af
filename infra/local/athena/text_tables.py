"""Tables of text: lines split into fields, each field as its column's type says.

Two SerDes read them. LazySimpleSerDe (Hive's own) takes delimited fields without quotes and yields
NULL for what does not parse. OpenCSVSerde takes quotes and escapes, hands on texts, and fails on
what Athena cannot make a value of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.local.athena.catalog import Column, Table
from infra.local.athena.errors import unsupported
from infra.local.athena.files import Part, reading
from infra.local.athena.scope import Leaf
from infra.local.athena.types import BIGINT, BOOLEAN, DATE, INTEGER, PATH, Type, duck, quote, text

LINE, FIELDS = quote("$line"), quote("$fields")
_NO_DELIMITER = "\x1e\x1f\x1d\x1c"
_DEFAULT_DELIMITERS = [chr(n) for n in range(1, 9)]
_WHOLE = r"[+-]?[0-9]+"
_CUT_WHOLE = r"[+-]?[0-9]+(\.[0-9]*)?"
_REAL = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|NaN|[+-]?Infinity"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIMESTAMP = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2} [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?"


def lines(leaf: Leaf, parts: Sequence[Part], value: str, name: str) -> str:
    """SQL of a value made of every line (NULL for an empty one), and the partition columns."""
    skipped = header_lines(leaf.table)
    options = [
        f"columns = {{{text('$line')}: 'VARCHAR'}}",
        f"delim = {text(_NO_DELIMITER)}",
        "quote = ''",
        "escape = ''",
        "header = false",
        "auto_detect = false",
        f"skip = {skipped}",
    ]
    source, keys = reading(leaf, parts, "read_csv", options)
    return f"SELECT {', '.join([f'{value} AS {name}', *keys])} FROM {source}"


def header_lines(table: Table) -> int:
    """skip.header.line.count. Raises NOT_SUPPORTED for lines left out at the end."""
    if int(table.parameters.get("skip.footer.line.count", "0")):
        raise unsupported("skip.footer.line.count")
    return int(table.parameters.get("skip.header.line.count", "0"))


def rows(leaf: Leaf, inner: str, items: Sequence[str]) -> str:
    """SQL of the columns that are made of lines, and those that the lines come with."""
    keys = [quote(key.name) for key in leaf.table.partition_keys]
    keys += [quote(PATH)] if PATH in leaf.used else []
    return f"SELECT {', '.join([*items, *keys])} FROM ({inner})"


# LazySimpleSerDe


def delimited(leaf: Leaf, parts: Sequence[Part]) -> str:
    """Fields as Hive's LazySimpleSerDe reads them."""
    serde = _Delimited(leaf.table)
    inner = lines(leaf, parts, serde.fields(), FIELDS)
    items = [
        f"{serde.value(f'{FIELDS}[{index}]', column.type, 1)} AS {quote(column.name)}"
        for index, column in enumerate(leaf.table.columns, start=1)
    ]
    return rows(leaf, inner, items)


class _Delimited:
    """LazySimpleSerDe's properties, and the SQL that they mean."""

    def __init__(self, table: Table) -> None:
        given = table.serde_parameters
        _refuse(given, "timestamp.formats", "serialization.last.column.takes.rest")
        if given.get("serialization.encoding", "UTF-8").upper() not in {"UTF-8", "UTF8"}:
            raise unsupported(f"serialization.encoding {given['serialization.encoding']}")
        self.null = given.get("serialization.null.format", "\\N")
        self.escape = given.get("escape.delim", "")
        field = given.get("field.delim", given.get("serialization.format", "\x01"))
        items = given.get("colelction.delim", given.get("collection.delim", "\x02"))
        keys = given.get("mapkey.delim", "\x03")
        known = [_delimiter(one) for one in (field, items, keys)]
        self.delimiters = [*known, *_DEFAULT_DELIMITERS[3:]]
        nested = [column.name for column in table.columns if column.type.args]
        if self.escape and nested:
            raise unsupported(f"ESCAPED BY with the nested column {nested[0]}")

    def fields(self) -> str:
        delimiter = text(self.delimiters[0])
        line = f"coalesce({LINE}, '')"
        plain = f"string_split({line}, {delimiter})"
        if not self.escape:
            return plain
        escape, null = text(_delimiter(self.escape)), text(self.null)
        escaped = f"athena_delimited_fields({line}, {delimiter}, {escape}, {null})"
        plain = f"list_transform({plain}, lambda x: nullif(x, {null}))"
        return f"CASE WHEN contains({line}, {escape}) THEN {escaped} ELSE {plain} END"

    def value(self, field: str, kind: Type, level: int) -> str:
        """A field's text as a value; NULL for what does not parse, and for the NULL format."""
        # NULL is what is written as the NULL format, not what an escape makes equal to it.
        sql = field if self.escape else f"nullif({field}, {text(self.null)})"
        return self._nested(sql, kind, level) if kind.args else _scalar(sql, kind)

    def _nested(self, sql: str, kind: Type, level: int) -> str:
        if level + (kind.name == "map") >= len(self.delimiters):
            raise unsupported(f"text nested as deep as {kind}")
        parts = f"string_split({sql}, {text(self.delimiters[level])})"
        name = f"x{level}"
        if kind.name == "array":
            item = self.value(name, kind.args[0], level + 1)
            some = f"list_transform({parts}, lambda {name}: {item})"
            return f"CASE WHEN {sql} = '' THEN CAST([] AS {duck(kind)}) ELSE {some} END"
        if kind.name == "map":
            return self._map(sql, parts, name, kind, level)
        items = [
            f"{text(field or f'field{i}')}: {self.value(f'({parts})[{i + 1}]', arg, level + 1)}"
            for i, (field, arg) in enumerate(zip(kind.fields, kind.args, strict=True))
        ]
        return f"CASE WHEN {sql} IS NOT NULL THEN {{{', '.join(items)}}} END"

    def _map(self, sql: str, parts: str, name: str, kind: Type, level: int) -> str:
        """The first of equal keys counts; an entry without a key is left out."""
        between = text(self.delimiters[level + 1])
        entry = f"string_split({name}, {between})"
        key = self.value(f"({entry})[1]", kind.args[0], level + 2)
        item = self.value(f"({entry})[2]", kind.args[1], level + 2)
        pairs = f"list_transform({parts}, lambda {name}: {{'k': {key}, 'v': {item}}})"
        keyed = f"list_filter({pairs}, lambda y: y.k IS NOT NULL)"
        keys = f"list_transform({keyed}, lambda y: y.k)"
        first = f"list_filter({keyed}, lambda y, i: list_position({keys}, y.k) = i)"
        empty = f"CAST(MAP {{}} AS {duck(kind)})"
        return f"CASE WHEN {sql} = '' THEN {empty} ELSE map_from_entries({first}) END"


def _scalar(sql: str, kind: Type) -> str:
    """A text as a value, or NULL."""
    if kind.is_text:
        return f"substr({sql}, 1, {kind.precision})" if kind.precision else sql
    if kind.is_integer:
        # Hive takes the whole part of a decimal here.
        return _parsed(f"split_part({sql}, '.', 1)", _CUT_WHOLE, sql, kind)
    if kind.name == "timestamp":
        parsed = _parsed(sql, _TIMESTAMP, sql, kind)
        return f"CAST(CAST({parsed} AS TIMESTAMP_MS) AS TIMESTAMP)"
    if kind == BOOLEAN:
        return f"CASE lower({sql}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if kind.name == "varbinary":
        return f"TRY(from_base64({sql}))"
    if kind.is_number or kind == DATE:
        return _parsed(sql, _DATE if kind == DATE else _REAL, sql, kind)
    raise unsupported(f"a text column of type {kind}")


def _parsed(value: str, pattern: str, given: str, kind: Type) -> str:
    guarded = f"CASE WHEN regexp_full_match({given}, {text(pattern)}) THEN {value} END"
    return f"TRY_CAST({guarded} AS {duck(kind)})"


# OpenCSVSerde


def quoted(leaf: Leaf, parts: Sequence[Part]) -> str:
    """Fields as OpenCSVSerde reads them: texts, which Athena turns into a few other types."""
    table = leaf.table
    given = table.serde_parameters
    separator, quotation, escape = (
        text(_one_character(given.get(name, default)))
        for name, default in (("separatorChar", ","), ("quoteChar", '"'), ("escapeChar", "\\"))
    )
    plain = f"string_split({LINE}, {separator})"
    parsed = f"athena_csv_fields({LINE}, {separator}, {quotation}, {escape})"
    special = f"contains({LINE}, {quotation}) OR contains({LINE}, {escape})"
    fields = f"CASE WHEN {special} THEN {parsed} ELSE {plain} END"
    lenient = table.parameters.get("use.null.for.invalid.data", "").lower() == "true"
    items = [
        f"{_csv_value(column, index, lenient=lenient)} AS {quote(column.name)}"
        for index, column in enumerate(table.columns)
    ]
    return rows(leaf, lines(leaf, parts, fields, FIELDS), items)


def _csv_value(column: Column, index: int, *, lenient: bool) -> str:
    field, kind = f"{FIELDS}[{index + 1}]", column.type
    if kind.is_text:
        return f"substr({field}, 1, {kind.precision})" if kind.precision else field
    parsed = _csv_parsed(field, column)
    return parsed if lenient else f"athena_csv_value({field}, {parsed}, {index})"


def _csv_parsed(field: str, column: Column) -> str:
    kind = column.type
    if kind in {INTEGER, BIGINT}:
        return _parsed(field, _WHOLE, field, kind)
    if kind.name == "double":
        return _parsed(field, _REAL, field, kind)
    if kind == BOOLEAN:
        return _scalar(field, kind)
    if kind == DATE:
        return f"(DATE '1970-01-01' + {_parsed(field, _WHOLE, field, INTEGER)})"
    if kind.name == "timestamp":
        return f"make_timestamp({_parsed(field, _WHOLE, field, BIGINT)} * 1000)"
    raise unsupported(
        f"the type {column.hive} of column {column.name} by OpenCSVSerde; it reads string, "
        "boolean, int, bigint, double, date and timestamp: declare it string, and CAST it in a view"
    )


def _delimiter(given: str) -> str:
    """A character, or its number in decimal digits, as Hive takes it."""
    return chr(int(given)) if given.isdigit() else _one_character(given)


def _one_character(given: str) -> str:
    if len(given) != 1:
        raise unsupported(f"the delimiter {given!r}: it must be one character")
    return given


def _refuse(given: Mapping[str, str], *names: str) -> None:
    for name in names:
        if given.get(name, "false").lower() not in {"", "false"}:
            raise unsupported(f"the SerDe property {name}")
