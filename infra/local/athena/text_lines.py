"""Lines of text with quotes or escapes, split into fields as Hive's SerDes split them."""

from __future__ import annotations

import re
from functools import lru_cache


def csv_fields(line: str, separator: str, quotation: str, escape: str) -> list[str]:
    """A line's fields as opencsv 2.3 finds them, which Hive's OpenCSVSerde uses.

    Inside quotes an escape or a quote before a quote means the quote itself; an escape before
    anything else is dropped. A field whose quote is never closed is lost.
    """
    if escape not in line:
        between = f"{quotation}{separator}{quotation}"
        parts = line[1:-1].split(between)
        if line[:1] == line[-1:] == quotation and line.count(quotation) == 2 * len(parts):
            return parts
        if _plain_grammar(separator, quotation).fullmatch(line):
            found = _plain_field(separator, quotation).findall(line)
            return [quoted or plain for quoted, plain in found]
    return _each_character(line, separator, quotation, escape)


@lru_cache(maxsize=64)
def _plain_grammar(separator: str, quotation: str) -> re.Pattern[str]:
    """Lines whose fields are quoted as a whole or not at all."""
    s, q = re.escape(separator), re.escape(quotation)
    field = f"(?:{q}[^{q}]*{q}|[^{s}{q}]*)"
    return re.compile(f"{field}(?:{s}{field})*", re.DOTALL)


@lru_cache(maxsize=64)
def _plain_field(separator: str, quotation: str) -> re.Pattern[str]:
    s, q = re.escape(separator), re.escape(quotation)
    return re.compile(f"(?:^|{s})(?:{q}([^{q}]*){q}|([^{s}{q}]*))", re.DOTALL)


def _each_character(line: str, separator: str, quotation: str, escape: str) -> list[str]:
    fields: list[str] = []
    found: list[str] = []
    quoted = inside = False
    index, length = 0, len(line)
    while index < length:
        character = line[index]
        following = line[index + 1] if index + 1 < length else ""
        if character == escape:
            if (quoted or inside) and following and following in {quotation, escape}:
                found.append(following)
                index += 1
        elif character == quotation:
            if (quoted or inside) and following == quotation:
                found.append(following)
                index += 1
            else:
                if _is_embedded(line, index, separator):
                    _keep(found, character)
                quoted = not quoted
            inside = not inside
        elif character == separator and not quoted:
            fields.append("".join(found))
            found, inside = [], False
        else:
            found.append(character)
            inside = True
        index += 1
    return fields if quoted else [*fields, "".join(found)]


def _is_embedded(line: str, index: int, separator: str) -> bool:
    """Whether a quote stands in the middle of a field, where it is text: a,b"c"d,e."""
    return (
        index > 2
        and line[index - 1] != separator
        and index + 1 < len(line)
        and line[index + 1] != separator
    )


def _keep(found: list[str], quotation: str) -> None:
    """Blanks before a quote go; after anything else the quote stays."""
    if found and not "".join(found).strip():
        found.clear()
    else:
        found.append(quotation)


def delimited_fields(line: str, delimiter: str, escape: str, null: str) -> list[str | None]:
    """A line's fields as LazySimpleSerDe finds them under ESCAPED BY."""
    fields: list[str | None] = []
    start = index = 0
    while index <= len(line):
        if index == len(line) or line[index] == delimiter:
            written = line[start:index]
            fields.append(None if written == null else _unescaped(written, escape))
            start = index + 1
        elif line[index] == escape and index + 1 < len(line):
            index += 1
        index += 1
    return fields


def _unescaped(written: str, escape: str) -> str:
    found: list[str] = []
    index = 0
    while index < len(written):
        if written[index] == escape and index + 1 < len(written):
            index += 1
            found.append({"r": "\r", "n": "\n"}.get(written[index], written[index]))
        else:
            found.append(written[index])
        index += 1
    return "".join(found)


_TEXT_OR_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?', re.DOTALL)


def lower_keys(document: str) -> str:
    """A JSON document with its keys in lower case, and every value as it is written."""

    def one(found: re.Match[str]) -> str:
        return f'"{found[1].lower()}"{found[2]}' if found[2] else found[0]

    return _TEXT_OR_KEY.sub(one, document)
