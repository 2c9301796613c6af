"""What a user can ask: every statement that the local Athena knows, parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Properties = Mapping[str, str | tuple[str, ...]]
"""Of WITH (…): texts, and arrays of texts."""


@dataclass(frozen=True)
class Name:
    """A table's or view's name as written, in lower case; '' where a part is left out."""

    table: str
    database: str = ""
    catalog: str = ""
    where: str = ""
    """'line 1:8: ' of its first part."""


@dataclass(frozen=True)
class Statement:
    """kind: StatementType of GetQueryExecution. substatement: its SubstatementType."""

    kind: str
    substatement: str


@dataclass(frozen=True)
class Select(Statement):
    """query: the text with everything else blanked, so that positions stay true."""

    query: str


@dataclass(frozen=True)
class Explain(Statement):
    """inner: the statement as text, its position kept. form and plan: FORMAT and TYPE."""

    inner: str
    form: str = "TEXT"
    plan: str = "LOGICAL"


@dataclass(frozen=True)
class Prepare(Statement):
    name: str
    query: str


@dataclass(frozen=True)
class Execute(Statement):
    """parameters: what follows USING, each as it is written."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Deallocate(Statement):
    name: str


@dataclass(frozen=True)
class CreateTableAs(Statement):
    name: Name
    query: str
    properties: Properties
    if_not_exists: bool
    with_data: bool


@dataclass(frozen=True)
class Insert(Statement):
    name: Name
    columns: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class Unload(Statement):
    query: str
    target: str
    properties: Properties


@dataclass(frozen=True)
class CreateView(Statement):
    name: Name
    query: str
    text: str
    """The query alone, as the view stores it."""
    or_replace: bool


@dataclass(frozen=True)
class DropView(Statement):
    name: Name
    if_exists: bool


@dataclass(frozen=True)
class ColumnDefinition:
    name: str
    hive: str
    comment: str = ""


@dataclass(frozen=True)
class CreateTable(Statement):
    """CREATE EXTERNAL TABLE."""

    name: Name
    columns: tuple[ColumnDefinition, ...]
    partition_keys: tuple[ColumnDefinition, ...]
    location: str
    stored_as: str
    serde: str
    serde_properties: Mapping[str, str]
    properties: Mapping[str, str]
    comment: str
    if_not_exists: bool


@dataclass(frozen=True)
class DropTable(Statement):
    name: Name
    if_exists: bool


@dataclass(frozen=True)
class CreateDatabase(Statement):
    name: str
    if_not_exists: bool
    comment: str = ""
    location: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DropDatabase(Statement):
    name: str
    if_exists: bool
    cascade: bool


@dataclass(frozen=True)
class PartitionSpec:
    """PARTITION (day = '2018-08-08'), and its LOCATION where one is given."""

    values: Mapping[str, str]
    location: str = ""


@dataclass(frozen=True)
class AddPartitions(Statement):
    name: Name
    partitions: tuple[PartitionSpec, ...]
    if_not_exists: bool


@dataclass(frozen=True)
class DropPartitions(Statement):
    name: Name
    partitions: tuple[PartitionSpec, ...]
    if_exists: bool


@dataclass(frozen=True)
class SetLocation(Statement):
    name: Name
    partition: PartitionSpec | None
    location: str


@dataclass(frozen=True)
class SetProperties(Statement):
    name: Name
    properties: Mapping[str, str]


@dataclass(frozen=True)
class AddColumns(Statement):
    """ADD COLUMNS, or REPLACE COLUMNS."""

    name: Name
    columns: tuple[ColumnDefinition, ...]
    replace: bool


@dataclass(frozen=True)
class ChangeColumn(Statement):
    """CHANGE COLUMN. after: the column behind which it goes, '' for first, None to stay."""

    name: Name
    old: str
    column: ColumnDefinition
    after: str | None = None


@dataclass(frozen=True)
class RenamePartition(Statement):
    name: Name
    old: PartitionSpec
    new: PartitionSpec


@dataclass(frozen=True)
class SetDatabaseProperties(Statement):
    name: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class RepairTable(Statement):
    name: Name


@dataclass(frozen=True)
class Show(Statement):
    """what: DATABASES, TABLES, VIEWS, PARTITIONS, COLUMNS, TBLPROPERTIES, CREATE TABLE or VIEW."""

    what: str
    name: Name | None = None
    database: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class Describe(Statement):
    """column: the one to show, '' for all."""

    name: Name
    partition: PartitionSpec | None = None
    formatted: bool = False
    column: str = ""
