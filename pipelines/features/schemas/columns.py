"""The schema of a feature table: its columns as git declares them, and the versions on record.

A file is never read in another type than it was written in: a column that changes its type gets a
stored column of its own, and the view that readers see puts the two together (ADR 10). So old files
stay readable, by the newest version and by the one of their time.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mlops.errors import InputError, NotFound
from mlops.stores.athena.sql import base_type, name, text

PARTITIONS = ("generation", "day")
"""Columns that every feature table is partitioned by; no declared column may be called so."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPE = re.compile(
    r"boolean|tinyint|smallint|int|bigint|float|double|decimal\(\d+,\d+\)|string|varchar\(\d+\)"
    r"|date|timestamp|binary|array<[a-z0-9(),<>]+>"
)
_EXACT = 2**53
"""Below it a double holds every integer."""
_IN_SQL = {"string": "varchar", "float": "real", "int": "integer", "binary": "varbinary"}


def _checked_name(given: str) -> str:
    if not _NAME.fullmatch(given) or given in PARTITIONS:
        raise ValueError(
            f"'{given}' cannot name a column: small letters, digits and _, and neither of "
            f"{', '.join(PARTITIONS)}"
        )
    return given


def _checked_type(given: str) -> str:
    if not _TYPE.fullmatch(given):
        raise ValueError(f"'{given}' is no type of a Hive table on Athena, written small")
    return given


def _checked_bound(given: float | None) -> float | None:
    if given is not None and not math.isfinite(given):
        raise ValueError(f"{given} bounds nothing; leave it out")
    return given


ColumnName = Annotated[str, AfterValidator(_checked_name)]
Bound = Annotated[float | None, AfterValidator(_checked_bound)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Frozen):
    """A column as it is declared, and what its values must be."""

    name: ColumnName
    type: Annotated[str, AfterValidator(_checked_type)]
    """Hive's name: bigint, double, string, decimal(18,2), …"""
    required: bool = False
    """Never null in what is written. What was written before it was required may hold nulls."""
    minimum: Bound = None
    maximum: Bound = None
    """Both included; for numbers."""
    values: tuple[str, ...] = ()
    """All that a text may be; empty where anything goes."""
    description: str = ""
    formerly: ColumnName | None = Field(default=None, exclude=True)
    """The name that it had on record, where it was renamed; of a declaration only."""

    @property
    def rule(self) -> str:
        """What its values must be, in words."""
        words = ["required" if self.required else "nullable"]
        words += [f">= {self.minimum:g}"] if self.minimum is not None else []
        words += [f"<= {self.maximum:g}"] if self.maximum is not None else []
        words += [f"one of {', '.join(self.values)}"] if self.values else []
        return ", ".join(words)


class StoredColumn(_Frozen):
    """A column of one version, and what it is called in the files."""

    column: Column
    stored: str
    narrower: tuple[tuple[str, str], ...] = ()
    """Names and types of the stored columns that held it before it was widened, newest first."""

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def expression(self) -> str:
        """Its value in a row of any file: of its stored columns, a file has one at most."""
        if not self.narrower:
            return name(self.stored)
        kind = _IN_SQL.get(self.column.type, self.column.type)
        older = [f"CAST({name(stored)} AS {kind})" for stored, _ in self.narrower]
        return f"coalesce({', '.join([name(self.stored), *older])})"

    @property
    def selected(self) -> str:
        """The expression, called what readers call it."""
        same = self.stored == self.name and not self.narrower
        return self.expression if same else f"{self.expression} AS {name(self.name)}"


class SchemaVersion(_Frozen):
    """The columns that readers see and builds write, from one moment on."""

    number: Annotated[int, Field(ge=1)]
    columns: tuple[StoredColumn, ...]
    at: datetime
    """By the platform's clock."""
    by: str
    why: str
    changes: tuple[str, ...] = ()
    """What differs from the version before, in words."""

    @property
    def declared(self) -> list[Column]:
        return [stored.column for stored in self.columns]

    @property
    def names(self) -> list[str]:
        return [stored.name for stored in self.columns]

    @property
    def written(self) -> dict[str, str]:
        """What a file of this version holds: types by stored name."""
        return {stored.stored: stored.column.type for stored in self.columns}

    @property
    def sha256(self) -> str:
        """Names what is read and written, without words about it and whatever the order."""
        shapes = sorted(
            json.dumps(stored.model_dump(exclude={"column": {"description"}}), sort_keys=True)
            for stored in self.columns
        )
        return hashlib.sha256("\n".join(shapes).encode()).hexdigest()


def first_version(columns: Iterable[Column], *, at: datetime, by: str) -> SchemaVersion:
    """Version 1: every column is stored under its own name."""
    stored = tuple(StoredColumn(column=column, stored=column.name) for column in columns)
    return SchemaVersion(number=1, columns=stored, at=at, by=by, why="the first build")


def stored_types(versions: Iterable[SchemaVersion]) -> dict[str, str]:
    """Every column that any file may hold, with its type; a name keeps its type for good."""
    found: dict[str, str] = {}
    for version in versions:
        for column in version.columns:
            found |= dict(column.narrower)
            found |= {column.stored: column.column.type}
    return found


def check_declared(table: str, columns: Sequence[Column]) -> None:
    """Raises InputError for names that are there twice, and renamings that cannot be meant."""
    names = [column.name for column in columns]
    former = [column.formerly for column in columns if column.formerly]
    faults = [f"'{n}' is declared twice" for n in sorted({n for n in names if names.count(n) > 1})]
    faults += [f"'{n}' was renamed, but is declared too" for n in sorted({*names} & {*former})]
    faults += [
        f"two columns were formerly '{n}'"
        for n in sorted({n for n in former if former.count(n) > 1})
    ]
    if faults:
        raise InputError(f"Feature table '{table}': {'; '.join(faults)}.")


def find_version(table: str, versions: Sequence[SchemaVersion], number: int) -> SchemaVersion:
    """Raises NotFound with the versions there are."""
    for version in versions:
        if version.number == number:
            return version
    raise NotFound(
        f"Feature table '{table}' has no schema version {number}; it has "
        f"{', '.join(str(v.number) for v in versions) or 'none: build it first'}."
    )


def violations(column: Column, stored: str) -> dict[str, str]:
    """What makes a value unfit, as SQL conditions by the rule's words; none holds for a null.

    Except, of course, that a required value is there. A float must be finite: infinities and NaN
    are results of dividing by nothing, and a missing value is null.
    """
    value, found = name(stored), {}
    if column.required:
        found["is null"] = f"{value} IS NULL"
    if base_type(column.type) in {"float", "double"}:
        found["is not finite"] = f"NOT is_finite({value})"
    if column.minimum is not None:
        found[f"is below {column.minimum:g}"] = f"{value} < {_number(column.minimum)}"
    if column.maximum is not None:
        found[f"is above {column.maximum:g}"] = f"{value} > {_number(column.maximum)}"
    if column.values:
        allowed = ", ".join(text(one) for one in column.values)
        found[f"is none of {', '.join(column.values)}"] = f"{value} NOT IN ({allowed})"
    return found


def _number(bound: float) -> str:
    """A literal that compares exactly with integers, doubles and decimals."""
    whole = bound == int(bound) and abs(bound) < _EXACT
    return str(int(bound)) if whole else f"{Decimal(repr(bound)):f}E0"
