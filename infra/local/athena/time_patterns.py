"""Patterns of times: MySQL's, Joda's and Java's, as strftime's of the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from infra.local.athena.errors import unsupported

_MYSQL = {
    "%a": "%a", "%b": "%b", "%c": "%-m", "%d": "%d", "%e": "%-d", "%f": "%f", "%H": "%H",
    "%h": "%I", "%I": "%I", "%i": "%M", "%j": "%j", "%k": "%-H", "%l": "%-I", "%M": "%B",
    "%m": "%m", "%p": "%p", "%r": "%I:%M:%S %p", "%S": "%S", "%s": "%S", "%T": "%H:%M:%S",
    "%v": "%V", "%W": "%A", "%x": "%G", "%Y": "%Y", "%y": "%y", "%%": "%%",
}  # fmt: skip
_JODA = {
    "yyyy": "%Y", "y": "%Y", "YYYY": "%Y", "yy": "%y", "xxxx": "%G", "MM": "%m", "M": "%-m",
    "MMM": "%b", "MMMM": "%B", "dd": "%d", "d": "%-d", "DDD": "%j", "D": "%-j", "HH": "%H",
    "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S",
    "SSS": "%g", "SSSSSS": "%f", "EEE": "%a", "E": "%a", "EEEE": "%A", "a": "%p", "e": "%u",
    "ww": "%V", "w": "%-V",
}  # fmt: skip
_JAVA = {
    **{name: _JODA[name] for name in ("yy", "yyyy", "MM", "M", "MMM", "MMMM", "dd", "d", "DDD")},
    **{name: _JODA[name] for name in ("HH", "H", "hh", "h", "mm", "m", "ss", "s", "SSS", "a")},
    "uuuu": "%Y",
    "y": "%Y",
    "u": "%Y",
}
_JODA_TOKEN = re.compile(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|(.)", re.DOTALL)


def mysql_pattern(pattern: str, where: str) -> str:
    def one(match: re.Match[str]) -> str:
        return _known(_MYSQL, match[0], "date_format", where)

    return re.sub(r"%.", one, pattern)


def joda_pattern(pattern: str, where: str) -> str:
    return _lettered(pattern, _JODA, "format_datetime", where)


def java_pattern(pattern: str, name: str) -> str:
    """A pattern of java.time's DateTimeFormatter; name: what it is, for messages."""
    return _lettered(pattern, _JAVA, name, "")


def _lettered(pattern: str, known: Mapping[str, str], name: str, where: str) -> str:
    def one(match: re.Match[str]) -> str:
        quoted, letters, _, other = match.groups()
        if letters:
            return _known(known, letters, name, where)
        plain = other if quoted is None else quoted.replace("''", "'") or "'"
        return plain.replace("%", "%%")

    return _JODA_TOKEN.sub(one, pattern)


def _known(known: Mapping[str, str], letter: str, name: str, where: str) -> str:
    if letter not in known:
        raise unsupported(f"'{letter}' in a pattern of {name}", where)
    return known[letter]
