"""Trino's functions of time: units, zones, and the two languages of format patterns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.functions import special
from infra.local.athena.operators import Typed, cast, coerce, from_wall, local, shift
from infra.local.athena.time_patterns import joda_pattern, mysql_pattern
from infra.local.athena.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    TIMESTAMP_TZ,
    VARCHAR,
    Type,
    common,
    text,
)

_UNITS = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")
_MICROSECONDS = {
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
}
_CLOCK_UNITS = tuple(_MICROSECONDS)
_FIELDS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "week",
    "week_of_year": "week",
    "day": "day",
    "day_of_month": "day",
    "day_of_week": "isodow",
    "dow": "isodow",
    "day_of_year": "dayofyear",
    "doy": "dayofyear",
    "year_of_week": "isoyear",
    "yow": "isoyear",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
}


def _expect(name: str, arguments: Sequence[Typed], count: int, where: str) -> None:
    if len(arguments) != count:
        given = ", ".join(str(argument.type) for argument in arguments)
        raise QueryFailed(
            "TYPE_MISMATCH", f"{where}Unexpected parameters ({given}) for function {name}."
        )


def _time(name: str, value: Typed, where: str) -> Typed:
    if not value.type.is_time:
        raise QueryFailed(
            "TYPE_MISMATCH",
            f"{where}Unexpected parameters ({value.type}) for function {name}. "
            f"Expected: {name}(date), {name}(timestamp(p)), {name}(timestamp(p) with time zone)",
        )
    return value


def _unit(name: str, value: Typed, where: str) -> str:
    if value.literal is None:
        raise unsupported(f"{name} with a unit that is no literal", where)
    unit = value.literal.lower()
    if unit not in _UNITS:
        raise QueryFailed("INVALID_FUNCTION_ARGUMENT", f"'{unit}' is not a valid TIMESTAMP field")
    return unit


def field_of(name: str, value: Typed, where: str) -> Typed:
    """A field of a time, by Trino's name, as its zone's clock and calendar show it."""
    if name in _ZONE_FIELDS:
        return _zone_field(name, _time(name, value, where))
    if name not in _FIELDS:
        raise unsupported(f"the time field {name}", where)
    if value.type.name == "time" and name in {"hour", "minute", "second"}:
        return Typed(f"CAST({name}({value.sql}) AS BIGINT)", BIGINT)
    wall = local(_time(name, value, where))
    return Typed(f"CAST({_FIELDS[name]}({wall.sql}) AS BIGINT)", BIGINT)


_ZONE_FIELDS = {"timezone_hour": "// 60", "timezone_minute": "% 60"}


def _zone_field(name: str, value: Typed) -> Typed:
    return Typed(f"CAST(({offset_minutes(value)}) {_ZONE_FIELDS[name]} AS BIGINT)", BIGINT)


def offset_minutes(value: Typed) -> str:
    """SQL of how far the value's zone is before UTC at that moment, in minutes."""
    seconds = f"epoch({local(value).sql}) - epoch(timezone('UTC', {value.sql}))"
    return f"CAST(({seconds}) / 60 AS BIGINT)"


def _register_fields() -> None:
    for name in (*_FIELDS, *_ZONE_FIELDS):

        def write(arguments: Sequence[Typed], where: str, name: str = name) -> Typed:
            _expect(name, arguments, 1, where)
            return field_of(name, arguments[0], where)

        special(name)(write)


_register_fields()


@special("millisecond")
def _millisecond(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("millisecond", arguments, 1, where)
    wall = local(_time("millisecond", arguments[0], where))
    return Typed(f"CAST(millisecond({wall.sql}) % 1000 AS BIGINT)", BIGINT)


@special("date")
def _date(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("date", arguments, 1, where)
    return cast(arguments[0], DATE, where)


@special("date_trunc")
def _date_trunc(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("date_trunc", arguments, 2, where)
    unit, value = _unit("date_trunc", arguments[0], where), _time("date_trunc", arguments[1], where)
    if value.type == DATE:
        return Typed(f"CAST(date_trunc({text(unit)}, {value.sql}) AS DATE)", DATE)
    cut = f"date_trunc({text(unit)}, {local(value).sql})"
    if value.type.name == TIMESTAMP_TZ.name:
        return Typed(from_wall(cut, value.type.zone), value.type)
    return Typed(cut, value.type)


@special("date_add")
def _date_add(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("date_add", arguments, 3, where)
    unit, value = _unit("date_add", arguments[0], where), _time("date_add", arguments[2], where)
    count = coerce(arguments[1], BIGINT)
    if not arguments[1].type.is_integer:
        raise QueryFailed(
            "TYPE_MISMATCH",
            f"{where}Unexpected parameters for function date_add: {arguments[1].type} is no bigint",
        )
    clock = unit in _CLOCK_UNITS
    if value.type == DATE and clock:
        raise QueryFailed("INVALID_FUNCTION_ARGUMENT", f"'{unit}' is not a valid DATE field")
    if clock:
        # DuckDB multiplies intervals by 32-bit numbers only.
        return shift(
            value, f"+ to_microseconds({count.sql} * {_MICROSECONDS[unit]})", within_day=True
        )
    months = {"quarter": 3}.get(unit)
    size = f"INTERVAL '{months} months'" if months else f"INTERVAL '1 {unit}'"
    return shift(value, f"+ {count.sql} * {size}", within_day=False)


@special("date_diff")
def _date_diff(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("date_diff", arguments, 3, where)
    unit = _unit("date_diff", arguments[0], where)
    values = [_time("date_diff", value, where) for value in arguments[1:]]
    kind = common(values[0].type, values[1].type)
    assert kind is not None
    first, second = (local(coerce(value, kind)).sql for value in values)
    if unit == "millisecond" and kind != DATE and (kind.precision or 0) <= 3:
        # Nothing is cut off below a millisecond, and this is several times as fast.
        return Typed(f"(epoch_ms({second}) - epoch_ms({first}))", BIGINT)
    return Typed(f"date_sub({text(unit)}, {first}, {second})", BIGINT)


@special("from_iso8601_timestamp")
def _from_iso8601_timestamp(arguments: Sequence[Typed], where: str) -> Typed:
    """The zone that a literal's text names is kept for showing; else it shows in UTC."""
    _expect("from_iso8601_timestamp", arguments, 1, where)
    value = arguments[0]
    if not value.type.is_text:
        raise QueryFailed(
            "TYPE_MISMATCH",
            f"{where}Unexpected parameters ({value.type}) for function from_iso8601_timestamp. "
            "Expected: from_iso8601_timestamp(varchar(x))",
        )
    offset = re.search(r"T.*([+-]\d\d:\d\d)$", value.literal or "")
    zone = offset[1] if offset and offset[1] not in {"+00:00", "-00:00"} else None
    checked = f"athena_iso_text({value.sql})"
    sql = f"date_trunc('milliseconds', CAST({checked} AS TIMESTAMPTZ))"
    return Typed(sql, Type(TIMESTAMP_TZ.name, 3, zone=zone))


@special("to_iso8601")
def _to_iso8601(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("to_iso8601", arguments, 1, where)
    value = _time("to_iso8601", arguments[0], where)
    if value.type == DATE:
        return cast(value, VARCHAR)
    precision = value.type.precision or 0
    digits = "" if precision == 0 else ".%g" if precision <= 3 else ".%f"
    shown = f"strftime({local(value).sql}, '%Y-%m-%dT%H:%M:%S{digits}')"
    return Typed(f"({shown} || {_iso_zone(value)})", VARCHAR)


def _iso_zone(value: Typed) -> str:
    if value.type.name != TIMESTAMP_TZ.name:
        return "''"
    if value.type.zone is None:
        return "'Z'"
    minutes = offset_minutes(value)
    return (
        f"printf('%s%02d:%02d', CASE WHEN {minutes} < 0 THEN '-' ELSE '+' END, "
        f"abs({minutes}) // 60, abs({minutes}) % 60)"
    )


@special("from_unixtime")
def _from_unixtime(arguments: Sequence[Typed], where: str) -> Typed:
    """Seconds since 1970, shown in UTC, in a zone, or at an offset of hours and minutes."""
    if len(arguments) not in {1, 2, 3} or not arguments[0].type.is_number:
        _expect("from_unixtime", [*arguments, *arguments][:4], 1, where)
    seconds = coerce(arguments[0], DOUBLE).sql
    sql = f"make_timestamptz(CAST(round({seconds} * 1000) AS BIGINT) * 1000)"
    return Typed(sql, _zoned(TIMESTAMP_TZ, _unix_zone(arguments, where)))


def _unix_zone(arguments: Sequence[Typed], where: str) -> str:
    if len(arguments) == 1:
        return "UTC"
    if len(arguments) == 2 and arguments[1].literal is not None:
        return arguments[1].literal
    offsets = [a.sql.strip("()") for a in arguments[1:]]
    if len(offsets) != 2 or not all(re.fullmatch(r"-?\d+", one) for one in offsets):
        raise unsupported("from_unixtime in a zone that is no literal", where)
    hours, minutes = map(int, offsets)
    return f"{'-' if hours < 0 else '+'}{abs(hours):02d}:{abs(minutes):02d}"


@special("at_timezone")
def _at_timezone(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("at_timezone", arguments, 2, where)
    return at_zone(arguments[0], arguments[1], where)


def at_zone(value: Typed, zone: Typed, where: str) -> Typed:
    """AT TIME ZONE: the same instant, shown in a zone."""
    if zone.literal is None:
        raise unsupported("AT TIME ZONE with a zone that is no literal", where)
    if value.type.name not in {"timestamp", TIMESTAMP_TZ.name}:
        raise QueryFailed(
            "TYPE_MISMATCH",
            f"{where}Type of value must be a time or timestamp with or without time zone "
            f"(actual {value.type})",
        )
    kind = Type(TIMESTAMP_TZ.name, value.type.precision)
    return Typed(coerce(value, kind).sql, _zoned(kind, zone.literal))


@special("with_timezone")
def _with_timezone(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("with_timezone", arguments, 2, where)
    value, zone = arguments
    if zone.literal is None or value.type.name != "timestamp":
        raise unsupported("with_timezone of anything but a timestamp and a literal zone", where)
    kind = _zoned(Type(TIMESTAMP_TZ.name, value.type.precision), zone.literal)
    return Typed(from_wall(value.sql, kind.zone), kind)


def _zoned(kind: Type, zone: str) -> Type:
    plain = None if zone.upper() in {"UTC", "Z", "ETC/UTC"} else zone
    return Type(kind.name, kind.precision, zone=plain)


def _pattern(name: str, value: Typed, where: str) -> str:
    if value.literal is None:
        raise unsupported(f"{name} with a pattern that is no literal", where)
    return value.literal


@special("date_format")
def _date_format(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("date_format", arguments, 2, where)
    pattern = mysql_pattern(_pattern("date_format", arguments[1], where), where)
    wall = local(_time("date_format", arguments[0], where))
    return Typed(f"strftime({wall.sql}, {text(pattern)})", VARCHAR)


@special("format_datetime")
def _format_datetime(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("format_datetime", arguments, 2, where)
    pattern = joda_pattern(_pattern("format_datetime", arguments[1], where), where)
    wall = local(_time("format_datetime", arguments[0], where))
    return Typed(f"strftime({wall.sql}, {text(pattern)})", VARCHAR)


@special("date_parse")
def _date_parse(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("date_parse", arguments, 2, where)
    pattern = mysql_pattern(_pattern("date_parse", arguments[1], where), where)
    return Typed(f"athena_parsed({arguments[0].sql}, {text(pattern)})", TIMESTAMP)


@special("parse_datetime")
def _parse_datetime(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("parse_datetime", arguments, 2, where)
    pattern = joda_pattern(_pattern("parse_datetime", arguments[1], where), where)
    parsed = f"athena_parsed({arguments[0].sql}, {text(pattern)})"
    return Typed(from_wall(parsed, None), TIMESTAMP_TZ)


@special("now")
def _now(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("now", arguments, 0, where)
    return current_time(3)


def current_time(precision: int) -> Typed:
    """The start of the query, with its zone (UTC)."""
    unit = "milliseconds" if precision <= 3 else "microseconds"
    return Typed(f"date_trunc('{unit}', now())", Type(TIMESTAMP_TZ.name, precision))


@special("localtimestamp")
def _localtimestamp(arguments: Sequence[Typed], where: str) -> Typed:
    precision = int(arguments[0].sql) if arguments[0].type == INTEGER else 3
    return cast(current_time(precision), Type("timestamp", precision))


@special("current_timestamp")
def _current_timestamp(arguments: Sequence[Typed], where: str) -> Typed:
    _expect("current_timestamp", arguments, 1, where)
    precision = int(arguments[0].sql) if arguments[0].type == INTEGER else 3
    return current_time(precision)


_ZONED_TEXT = re.compile(r"(\d+-\d+-\d+(?: [\d:.]+)?)\s*([A-Za-z][\w/+-]*|[+-]\d\d?:\d\d)?")


def timestamp_literal(value: str, target: Type, where: str) -> Typed:
    """TIMESTAMP '…' and CAST('…' AS timestamp): precision and zone are in the text."""
    found = _ZONED_TEXT.fullmatch(value.strip())
    if not found:
        raise QueryFailed("INVALID_LITERAL", f"{where}'{value}' is not a valid TIMESTAMP literal")
    wall, zone = found.groups()
    digits = len(wall.partition(".")[2])
    plain = Typed(f"CAST({text(wall)} AS TIMESTAMP)", Type("timestamp", min(digits, 6)))
    if target.name == "timestamp":
        return (
            cast(plain, target, where)
            if zone is None
            else cast(_in_zone(plain, zone), target, where)
        )
    return cast(_in_zone(plain, zone or "UTC"), target, where)


def _in_zone(plain: Typed, zone: str) -> Typed:
    kind = _zoned(Type(TIMESTAMP_TZ.name, plain.type.precision), zone)
    return Typed(from_wall(plain.sql, kind.zone), kind)
