"""The record of a dataset: what it was made from, what it holds, and what that cost."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import InputError
from mlops.plan import FeaturePlan
from pipelines.datasets.statistics import Statistics
from pipelines.features.buildlog import Current

FORMAT = 1
"""Changes when the same inputs would be written as other rows or in another order."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

Role = Literal["time", "key", "entity", "feature", "on_demand"]
Origin = Literal["query", "file", "dataframe", "dataset"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Reference:
    """A dataset's name, and one of its versions or None for the newest: 'name' or 'name@3'."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError, saying how it is written."""
        name, at, version = text.partition("@")
        check_name(name)
        if at and not (version.isascii() and version.isdigit() and int(version)):
            raise InputError(f"'{text}' names no dataset. Write it as NAME@VERSION, as {name}@1.")
        return cls(name, int(version) if at else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def check_name(name: str) -> None:
    """Raises InputError for a name that no dataset can have."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is no name for a dataset. Use lower-case letters, digits, '-' and '_', a "
            "letter first, at most 63 of them; for example fraud-train."
        )


class DataFile(_Frozen):
    """One Parquet file of a dataset."""

    key: str
    """In the data bucket."""
    rows: int
    bytes: int
    sha256: str


class Column(_Frozen):
    """A column of a dataset, in its order."""

    name: str
    type: str
    """Arrow's name of the type."""
    role: Role
    pii: bool = False
    statistics: Statistics | None = None


class Entities(_Frozen):
    """The rows that features were joined to: stored beside the dataset, in its order."""

    origin: Origin
    source: str = ""
    """The query's text, the file's name, or the dataset that they were taken from."""
    rows: int
    sha256: str
    """Of the contents, whatever the files."""
    files: tuple[DataFile, ...] = ()


class TableRead(_Frozen):
    """A feature table as it was read for one view: these days of these generations."""

    view: str
    source: str
    """Feast's name of the source."""
    table: str
    pinned: bool
    """Whether the table keeps its generations, so that it can be read so again."""
    current: tuple[Current, ...] = ()
    schema_version: int | None = None
    """Of the table's schema; None in a table whose schema is not recorded."""
    builds: tuple[str, ...] = ()
    payments: tuple[int, ...] = ()
    """The commits of raw payments that these builds saw; the ledger says the imports."""

    @property
    def generations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(current.generation for current in self.current))


class Cost(_Frozen):
    """What Athena was asked for, and its estimated price."""

    queries: int = 0
    scanned_bytes: int = 0
    price: float = 0.0
    currency: str = "USD"


class Removal(_Frozen):
    """Who removed a dataset's rows; its record stays, since versions are never used again."""

    at: datetime
    by: str


class DatasetRecord(_Frozen):
    """One version of a dataset."""

    format: int = FORMAT
    name: str
    version: Annotated[int, Field(ge=0)] = 0
    """0 until it is published."""
    created: datetime
    created_by: str
    """ARN of the identity that built it."""
    plan: FeaturePlan
    """The feature service as it was applied then."""
    plan_sha256: str
    entities: Entities
    time_column: str
    as_of: datetime | None = None
    tables: tuple[TableRead, ...]
    rows: int
    columns: tuple[Column, ...]
    sha256: str
    """Of the contents, whatever the files."""
    files: tuple[DataFile, ...] = ()
    writer: str
    """What wrote the files; another one may write the same rows as other bytes."""
    cost: Cost
    tags: Mapping[str, str] = {}
    removed: Removal | None = None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def service(self) -> str:
        return self.plan.service

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def pinned(self) -> bool:
        """Whether the same rows can be read again."""
        return all(read.pinned for read in self.tables)

    @property
    def inputs_sha256(self) -> str:
        """Names what it was made from: where all tables are pinned, it decides the rows."""
        return inputs_sha256(
            self.plan,
            entities=self.entities.sha256,
            time_column=self.time_column,
            as_of=self.as_of,
            tables=self.tables,
            format_=self.format,
        )

    @property
    def snapshot(self) -> str:
        """Names the rows of the feature tables that were read."""
        return tables_snapshot(self.tables)


def inputs_sha256(
    plan: FeaturePlan,
    *,
    entities: str,
    time_column: str,
    as_of: datetime | None,
    tables: tuple[TableRead, ...],
    format_: int = FORMAT,
) -> str:
    """A hash over everything that a dataset is made from."""
    read = [[table.view, *_rows_read(table)] for table in tables]
    then = as_of.isoformat() if as_of else None
    inputs = [format_, plan.sha256, entities, time_column, then, read]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def tables_snapshot(tables: Sequence[TableRead]) -> str:
    """Names exactly the rows that were read of these tables."""
    read = sorted(json.dumps(_rows_read(table)) for table in tables)
    return hashlib.sha256("".join(dict.fromkeys(read)).encode()).hexdigest()[:16]


def _rows_read(table: TableRead) -> list[Any]:
    """What decides which rows of a table were read, and as what."""
    current = [piece.model_dump(mode="json") for piece in table.current]
    return [table.table, table.schema_version, current]
