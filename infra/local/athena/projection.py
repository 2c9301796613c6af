"""Partition projection: partitions that a table's properties describe, instead of Glue's.

https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from infra.local.athena.catalog import Column, Partition, Table
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.scope import Leaf
from infra.local.athena.storage import folder
from infra.local.athena.time_patterns import java_pattern
from infra.local.athena.types import duck, quote, text

MOST = 1_000_000
"""Partitions that one query may be left with."""
_TEMPLATE = "storage.location.template"
_NOW = re.compile(
    r"\s*NOW\s*(?:([+-])\s*([0-9]+)\s*(YEAR|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND)S?\s*)?",
    re.IGNORECASE,
)
_UNITS = ("YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS")


def is_projected(table: Table) -> bool:
    return table.parameters.get("projection.enabled", "").strip().lower() == "true"


def is_templated(table: Table) -> bool:
    """Whether partitions lie elsewhere than key=value folders below the table."""
    return _TEMPLATE in table.parameters


def project(leaf: Leaf, connection: duckdb.DuckDBPyConnection) -> list[Partition]:
    """The partitions that can meet the query's conditions, made and chosen by the engine."""
    table = leaf.table
    _check_configured(table)
    parts = [
        f"(SELECT v AS {quote(f'${key.name}')}, CAST(v AS {duck(key.type)}) AS {quote(key.name)} "
        f"FROM ({_Column(table, key, leaf.fixed).values()}) AS p(v))"
        for key in table.partition_keys
    ]
    names = ", ".join(quote(f"${key.name}") for key in table.partition_keys)
    where = f" WHERE {' AND '.join(leaf.predicates)}" if leaf.predicates else ""
    sql = f"SELECT {names} FROM {' CROSS JOIN '.join(parts)}{where} LIMIT {MOST + 1}"
    found = connection.execute(sql).fetchall()
    if len(found) > MOST:
        raise unsupported(f"a query over more than {MOST} projected partitions; narrow its WHERE")
    return [Partition(values, location_of(table, values)) for values in found]


def location_of(table: Table, values: tuple[str, ...]) -> str:
    """A partition's folder: by the template, else key=value below the table's location."""
    names = [key.name for key in table.partition_keys]
    pairs = dict(zip(names, values, strict=True))
    template = table.parameters.get(_TEMPLATE)
    if template is None:
        below = "/".join(f"{name}={value}" for name, value in pairs.items())
        return f"{folder(table.location)}{below}/"
    for name, value in pairs.items():
        template = re.sub(r"\$\{" + re.escape(name) + r"\}", lambda _: value, template, flags=re.I)  # noqa: B023 - used at once
    if unknown := re.search(r"\$\{(.*?)\}", template):
        raise _invalid(table, f"{_TEMPLATE} names {unknown[1]}, which is no partition column")
    return folder(template)


def _invalid(table: Table, message: str) -> QueryFailed:
    return QueryFailed("INVALID_TABLE_PROPERTY", f"Table {table.full_name}: {message}")


def _check_configured(table: Table) -> None:
    keys = [key.name for key in table.partition_keys]
    if missing := [k for k in keys if f"projection.{k}.type" not in table.parameters]:
        raise _invalid(
            table,
            "it is configured for partition projection, but these partition columns are missing "
            f"projection configuration: {missing}",
        )


@dataclass(frozen=True)
class _Column:
    """One partition column's projection."""

    table: Table
    key: Column
    fixed: Mapping[str, list[str]]
    """Values that the query names, by column."""

    def values(self) -> str:
        """SQL of the column's values, as texts."""
        kind = self._required("type").strip().lower()
        made = {
            "enum": self._enum,
            "integer": self._integer,
            "date": self._date,
            "injected": self._injected,
        }
        if kind not in made:
            raise self._bad("type", "it is enum, integer, date or injected")
        return made[kind]()

    def _property(self, name: str) -> str | None:
        return self.table.parameters.get(f"projection.{self.key.name}.{name}")

    def _required(self, name: str) -> str:
        found = self._property(name)
        if found is None:
            raise _invalid(self.table, f"projection.{self.key.name}.{name} is missing")
        return found

    def _bad(self, name: str, why: str) -> QueryFailed:
        return _invalid(
            self.table, f"projection.{self.key.name}.{name} is '{self._property(name)}'; {why}"
        )

    def _enum(self) -> str:
        items = ", ".join(text(value) for value in self._required("values").split(","))
        return f"SELECT unnest([{items}])"

    def _injected(self) -> str:
        if self.key.name not in self.fixed:
            raise QueryFailed(
                "CONSTRAINT_VIOLATION",
                f"For the injected projected partition column {self.key.name}, the WHERE clause "
                "must contain only static equality conditions, and at least one such condition "
                "must be present.",
            )
        items = ", ".join(text(value) for value in dict.fromkeys(self.fixed[self.key.name]))
        return f"SELECT unnest([{items}])"

    def _range(self) -> tuple[str, str]:
        parts = self._required("range").split(",")
        if len(parts) != 2:
            raise self._bad("range", "it has a least and a greatest value, with a comma between")
        return parts[0], parts[1]

    def _whole(self, name: str, value: str, least: int | None = None) -> int:
        if not re.fullmatch(r"\s*[+-]?\d+\s*", value) or (least is not None and int(value) < least):
            raise self._bad(name, "it takes whole numbers")
        return int(value)

    def _integer(self) -> str:
        low, high = (self._whole("range", value) for value in self._range())
        step = self._whole("interval", self._property("interval") or "1", 1)
        shown = "CAST(i AS VARCHAR)"
        if digits := self._property("digits"):
            shown = f"printf('%0{self._whole('digits', digits, 1)}d', i)"
        series = f"generate_series(CAST({low} AS BIGINT), CAST({high} AS BIGINT), {step})"
        return f"SELECT {shown} FROM {series} AS s(i)"

    def _date(self) -> str:
        pattern = text(java_pattern(self._required("format"), f"projection.{self.key.name}.format"))
        low, high = (self._moment(value, pattern) for value in self._range())
        series = f"generate_series({low}, {high}, INTERVAL '{self._step()}')"
        return f"SELECT strftime(t, {pattern}) FROM (SELECT unnest({series}) AS t)"

    def _moment(self, written: str, pattern: str) -> str:
        """SQL of a bound: a date in the format, or one relative to now, cut to the format."""
        relative = _NOW.fullmatch(written)
        if not relative:
            return f"strptime({text(written)}, {pattern})"
        sign, count, unit = relative.groups()
        moved = f" {sign} INTERVAL '{count} {unit}'" if sign else ""
        return f"strptime(strftime(timezone('UTC', now()){moved}, {pattern}), {pattern})"

    def _step(self) -> str:
        letters = re.sub(r"'[^']*'", "", self._required("format"))
        default = None
        if not re.search(r"[HhkKmsSAnN]", letters):
            precise = "DAYS" if re.search(r"[dD]", letters) else None
            default = precise or ("MONTHS" if re.search(r"[ML]", letters) else None)
        count, unit = self._property("interval"), self._property("interval.unit")
        if default is None and (count is None or unit is None):
            raise _invalid(
                self.table,
                f"projection.{self.key.name} needs an interval and an interval.unit, since its "
                "format is neither of days nor of months",
            )
        unit = (unit or default or "").strip().upper()
        if unit not in _UNITS:
            raise self._bad("interval.unit", f"it is one of {', '.join(_UNITS)}")
        return f"{self._whole('interval', count or '1', 1)} {unit}"
