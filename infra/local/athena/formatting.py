"""Trino's functions that format and read numbers, sizes and durations as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SPECIFIER = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(]*)(\d+)?(?:\.(\d+))?([tT]?[a-zA-Z%])")
_SIZES = {
    unit: 1024**power
    for power, unit in enumerate(["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_VALUE_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")


def invalid(message: str) -> ValueError:
    return ValueError(f"INVALID_FUNCTION_ARGUMENT: {message}")


def java_format(pattern: str, values: Sequence[str | None], kinds: Sequence[str]) -> str:
    """Java's Formatter over values as texts. Raises for what does not fit a specifier."""
    upcoming = iter(range(len(values)))

    def one(found: re.Match[str]) -> str:
        position, flags, width, precision, letter = found.groups()
        if letter in {"%", "n"}:
            return {"%": "%", "n": "\n"}[letter]
        index = int(position) - 1 if position else next(upcoming, len(values))
        if not 0 <= index < len(values):
            raise invalid(f"Invalid format string: {pattern} (it has too few arguments)")
        text = _converted(values[index], kinds[index], letter, flags, precision)
        return _padded(text, flags, int(width or 0), letter)

    if "%" in _SPECIFIER.sub("", pattern):
        raise invalid(f"Invalid format string: {pattern}")
    return _SPECIFIER.sub(one, pattern)


def _padded(text: str, flags: str, width: int, letter: str) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and letter in "dfxX":
        sign = text[:1] if text[:1] in {"-", "+"} else ""
        return sign + text.removeprefix(sign).rjust(width - len(sign), "0")
    return text.rjust(width)


def _converted(value: str | None, kind: str, letter: str, flags: str, precision: str | None) -> str:
    if value is None:
        return "null"
    if letter[0] in "tT":
        return _time_part(value, letter)
    convert = _CONVERSIONS.get(letter.lower())
    if convert is None:
        raise invalid(f"Invalid format string: %{letter} is not supported")
    try:
        text = convert(value, kind, flags, None if precision is None else int(precision))
    except (InvalidOperation, ValueError) as exc:
        raise invalid(f"Invalid format string: %{letter} does not take a {kind}") from exc
    return text.upper() if letter.isupper() else text


def _as_text(value: str, kind: str, flags: str, precision: int | None) -> str:
    return value if precision is None else value[:precision]


def _whole(value: str, kind: str, flags: str, precision: int | None) -> str:
    return _signed(f"{int(value):{',' if ',' in flags else ''}d}", flags)


def _fixed(value: str, kind: str, flags: str, precision: int | None) -> str:
    _check_fraction(kind)
    digits = 6 if precision is None else precision
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return _signed(f"{rounded:{',' if ',' in flags else ''}f}", flags)


def _scientific(value: str, kind: str, flags: str, precision: int | None) -> str:
    _check_fraction(kind)
    mantissa, exponent = f"{float(value):.{6 if precision is None else precision}e}".split("e")
    return _signed(f"{mantissa}e{int(exponent):+03d}", flags)


def _hexadecimal(value: str, kind: str, flags: str, precision: int | None) -> str:
    number = int(value)
    return f"{number if number >= 0 else number + (1 << 64):x}"


def _check_fraction(kind: str) -> None:
    if not kind.startswith(("decimal", "double", "real")):
        raise ValueError(kind)


def _signed(text: str, flags: str) -> str:
    if text.startswith("-"):
        return f"({text[1:]})" if "(" in flags else text
    return f"+{text}" if "+" in flags else f" {text}" if " " in flags else text


_CONVERSIONS: dict[str, Callable[[str, str, str, int | None], str]] = {
    "s": _as_text,
    "b": _as_text,
    "d": _whole,
    "f": _fixed,
    "e": _scientific,
    "x": _hexadecimal,
}
_TIME_PARTS = {
    "Y": "%Y", "y": "%y", "m": "%m", "d": "%d", "e": "%-d", "B": "%B", "b": "%b", "h": "%b",
    "A": "%A", "a": "%a", "H": "%H", "I": "%I", "k": "%-H", "l": "%-I", "M": "%M", "S": "%S",
    "j": "%j", "F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y",
}  # fmt: skip


def _time_part(value: str, letter: str) -> str:
    if letter[1:] not in _TIME_PARTS:
        raise invalid(f"Invalid format string: %{letter} is not supported")
    try:
        shown = datetime.fromisoformat(value).strftime(_TIME_PARTS[letter[1:]])
    except ValueError as exc:
        raise invalid(f"Invalid format string: %{letter} does not take '{value}'") from exc
    return shown.upper() if letter[0] == "T" else shown


def format_number(value: float) -> str:
    """A number with at most three digits and a unit: 123456 is 123K."""
    sign, rest = ("-" if value < 0 else ""), abs(value)
    for unit in ("", "K", "M", "B", "T", "Q"):
        if rest < 1000 or unit == "Q":
            digits = 2 if rest < 10 else 1 if rest < 100 else 0
            text = f"{Decimal(repr(rest)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"
            return sign + (text.rstrip("0").rstrip(".") if "." in text else text) + unit
        rest /= 1000
    raise AssertionError(value)


def parse_data_size(text: str) -> Decimal:
    """'2.3MB' in bytes."""
    found = _VALUE_UNIT.fullmatch(text)
    if not found or found[2] not in _SIZES:
        raise invalid(f"Invalid data size: '{text}'")
    return Decimal(int(Decimal(found[1]) * _SIZES[found[2]]))


def parse_duration(text: str) -> timedelta:
    """'3.81 d' as an interval, to the millisecond."""
    found = _VALUE_UNIT.fullmatch(text)
    if not found or found[2] not in _SECONDS:
        raise invalid(f"duration is not a valid data duration string: {text}")
    millis = float(found[1]) * _SECONDS[found[2]] * 1000
    return timedelta(milliseconds=int(Decimal(repr(millis)).quantize(Decimal(1), ROUND_HALF_UP)))


def human_readable_seconds(seconds: float) -> str:
    """Weeks, days, hours, minutes and seconds in words."""
    rest = int(Decimal(repr(seconds)).quantize(Decimal(1), ROUND_HALF_UP))
    parts = []
    for unit, size in (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(rest, size)
        parts += [_counted(count, unit)] if count else []
    return ", ".join([*parts, _counted(rest, "second")] if rest or not parts else parts)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"


def cube_root(value: float) -> float:
    """The exact root where there is one, as Java has it."""
    root = math.cbrt(value)
    return float(round(root)) if math.isfinite(root) and round(root) ** 3 == value else root


def from_base(text: str, radix: int) -> int:
    """A number written in another base."""
    _check_radix(radix)
    try:
        return int(text, radix) if "_" not in text and text.strip() == text else int("_")
    except ValueError as exc:
        raise invalid(f"Not a valid base-{radix} number: {text}") from exc


def to_base(value: int, radix: int) -> str:
    """A number in another base, in small letters."""
    _check_radix(radix)
    digits, rest = "", abs(value)
    while rest or not digits:
        rest, digit = divmod(rest, radix)
        digits = _DIGITS[digit] + digits
    return ("-" if value < 0 else "") + digits


def _check_radix(radix: int) -> None:
    if not 2 <= radix <= 36:
        raise invalid("Radix must be between 2 and 36")
