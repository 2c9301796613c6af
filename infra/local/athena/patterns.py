"""Regular expressions of Java's that the engine's own (RE2) cannot do, or answers otherwise."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from infra.local.athena.formatting import invalid

_BEYOND_RE2 = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9]|[*+?}]\+|\\[zZGhHR]|&&")
_OPTIONAL_GROUP = re.compile(r"\)[?*{]|\|")


def needs_python(pattern: str, *, groups: bool) -> bool:
    """Whether a pattern has what RE2 lacks, or a group asked for may take no part in a match."""
    return bool(_BEYOND_RE2.search(pattern) or (groups and _OPTIONAL_GROUP.search(pattern)))


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Java's pattern as Python's. Raises INVALID_FUNCTION_ARGUMENT."""
    written = re.sub(r"\(\?<([A-Za-z]\w*)>", r"(?P<\1>", pattern).replace(r"\z", r"\Z")
    if unknown := re.search(r"\\[pPhHRGQEX]", written):
        raise ValueError(
            f"NOT_SUPPORTED: The local Athena does not support {unknown[0]} in a regular "
            f"expression with lookarounds or optional groups: {pattern}"
        )
    try:
        # Letters of a class are ASCII's in Java, unless case is ignored: there all are.
        flags = 0 if re.match(r"\(\?[a-z]*i", written) else re.ASCII
        return re.compile(written, flags)
    except re.error as exc:
        raise invalid(f"Invalid regular expression '{pattern}': {exc}") from exc


def _group(pattern: str, group: int) -> int:
    known = compiled(pattern).groups
    if not 0 <= group <= known:
        raise invalid(f"Pattern has {known} groups. Cannot access group {group}")
    return group


def like(text: str, pattern: str) -> bool:
    return compiled(pattern).search(text) is not None


def extract(text: str, pattern: str, group: int) -> list[str]:
    """The first match's group, as a list of none or one."""
    found = compiled(pattern).search(text)
    part = found[_group(pattern, group)] if found else None
    return [] if part is None else [part]


def extract_all(text: str, pattern: str, group: int) -> list[str | None]:
    wanted = _group(pattern, group)
    return [found[wanted] for found in compiled(pattern).finditer(text)]


def count(text: str, pattern: str) -> int:
    return sum(1 for _ in compiled(pattern).finditer(text))


def split(text: str, pattern: str) -> list[str]:
    parts, start = [], 0
    for found in compiled(pattern).finditer(text):
        parts.append(text[start : found.start()])
        start = found.end()
    return [*parts, text[start:]]


def position(text: str, pattern: str, start: int, occurrence: int) -> int:
    """Where the n-th match from `start` on begins, counted from 1; -1 for none."""
    if start <= 0 or occurrence <= 0:
        raise invalid("start position and occurrence cannot be smaller than 1")
    for index, found in enumerate(compiled(pattern).finditer(text, start - 1), start=1):
        if index == occurrence:
            return found.start() + 1
    return -1


_REFERENCE = re.compile(r"\\(.)|\$(\d+)|\$\{([A-Za-z]\w*)\}|(\$)", re.DOTALL)


def replace(text: str, pattern: str, replacement: str) -> str:
    """Every match replaced; $1 and ${name} mean groups, as many digits as there are groups for."""
    known = compiled(pattern)

    def filled(match: re.Match[str]) -> str:
        def one(found: re.Match[str]) -> str:
            if found[1] is not None:
                return found[1]
            if found[4]:
                raise invalid(f"Illegal replacement sequence: {replacement}")
            if found[3]:
                if found[3] not in known.groupindex:
                    raise invalid(f"Illegal replacement sequence: unknown group {{ {found[3]} }}")
                return match[found[3]] or ""
            return _numbered(match, found[2], known.groups, replacement)

        return _REFERENCE.sub(one, replacement)

    return known.sub(filled, text)


def _numbered(match: re.Match[str], digits: str, groups: int, replacement: str) -> str:
    used = 1
    while used < len(digits) and int(digits[: used + 1]) <= groups:
        used += 1
    if int(digits[:used]) > groups:
        raise invalid(f"Illegal replacement sequence: unknown group in {replacement}")
    return (match[int(digits[:used])] or "") + digits[used:]


def pieces(text: str, pattern: str) -> dict[str, Any]:
    """What stands before each match with its groups, and what stands after the last one."""
    found: list[dict[str, Any]] = []
    start = 0
    for match in compiled(pattern).finditer(text):
        found.append({"before": text[start : match.start()], "groups": list(match.groups())})
        start = match.end()
    return {"matches": found, "tail": text[start:]}
