"""Databases, tables, views and partitions, as the Glue Data Catalog keeps them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from infra.local.athena.dialect import parse_hive_type, parse_trino_type
from infra.local.athena.errors import QueryFailed
from infra.local.athena.formats import PARQUET, by_serde
from infra.local.athena.types import Type

CATALOG = "awsdatacatalog"
_VIEW_START, _VIEW_END = "/* Presto View: ", " */"
_BATCH = 100


@dataclass(frozen=True)
class Column:
    name: str
    hive: str
    """The type as Glue writes it."""
    type: Type
    comment: str = ""


@dataclass(frozen=True)
class View:
    """What a Presto view stores of its query."""

    sql: str
    catalog: str
    database: str


@dataclass(frozen=True)
class Partition:
    values: tuple[str, ...]
    location: str


@dataclass(frozen=True)
class Table:
    """A table or view of Glue."""

    database: str
    name: str
    columns: tuple[Column, ...]
    partition_keys: tuple[Column, ...] = ()
    location: str = ""
    serde: str = ""
    serde_parameters: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    kind: str = "EXTERNAL_TABLE"
    view: View | None = None
    comment: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def full_name(self) -> str:
        return f"{CATALOG}.{self.database}.{self.name}"

    @property
    def glue_columns(self) -> tuple[Column, ...]:
        """The columns with the types that Glue keeps; a view's own are Trino's."""
        if self.view is None:
            return self.columns
        return tuple(replace(c, hive=hive_type(c.type)) for c in self.columns)

    @property
    def input_format(self) -> str:
        return str((self.raw.get("StorageDescriptor") or {}).get("InputFormat") or "")

    @property
    def output_format(self) -> str:
        return str((self.raw.get("StorageDescriptor") or {}).get("OutputFormat") or "")

    @cached_property
    def all_columns(self) -> tuple[Column, ...]:
        return (*self.columns, *self.partition_keys)


class Catalog:
    """Glue, with Athena's errors."""

    def __init__(self, glue: Any) -> None:
        self._glue = glue

    # Databases

    def databases(self) -> list[dict[str, Any]]:
        return list(self._pages("get_databases", "DatabaseList"))

    def database(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._glue.get_database(Name=name)["Database"])
        except self._glue.exceptions.EntityNotFoundException:
            return None

    def create_database(
        self, name: str, *, comment: str, location: str, properties: Mapping[str, str]
    ) -> None:
        given = {"Name": name, "Description": comment, "LocationUri": location}
        entry: dict[str, Any] = {key: value for key, value in given.items() if value}
        self._glue.create_database(DatabaseInput=entry | {"Parameters": dict(properties)})

    def update_database(self, name: str, properties: Mapping[str, str]) -> None:
        """Add properties to a database, or change them."""
        known = self._glue.get_database(Name=name)["Database"]
        kept = {key: known[key] for key in ("Name", "Description", "LocationUri") if key in known}
        parameters = {**(known.get("Parameters") or {}), **properties}
        self._glue.update_database(Name=name, DatabaseInput=kept | {"Parameters": parameters})

    def drop_database(self, name: str) -> None:
        self._glue.delete_database(Name=name)

    # Tables

    def tables(self, database: str) -> list[Table]:
        return [
            read_table(entry)
            for entry in self._pages("get_tables", "TableList", DatabaseName=database)
        ]

    def find(self, database: str, name: str) -> Table | None:
        try:
            return read_table(self._glue.get_table(DatabaseName=database, Name=name)["Table"])
        except self._glue.exceptions.EntityNotFoundException:
            return None

    def table(self, database: str, name: str, where: str = "") -> Table:
        """Raises TABLE_NOT_FOUND or SCHEMA_NOT_FOUND in Athena's words."""
        found = self.find(database, name)
        if found is not None:
            return found
        if self.database(database) is None:
            raise QueryFailed("SCHEMA_NOT_FOUND", f"{where}Schema '{database}' does not exist")
        raise QueryFailed(
            "TABLE_NOT_FOUND", f"{where}Table '{CATALOG}.{database}.{name}' does not exist"
        )

    def create(self, table: Table) -> None:
        self._glue.create_table(DatabaseName=table.database, TableInput=write_table(table))

    def update(self, table: Table) -> None:
        """Replace a table's definition in one step."""
        self._glue.update_table(DatabaseName=table.database, TableInput=write_table(table))

    def drop(self, table: Table) -> None:
        self._glue.delete_table(DatabaseName=table.database, Name=table.name)

    # Partitions

    def partitions(self, table: Table) -> list[Partition]:
        pages = self._pages(
            "get_partitions", "Partitions", DatabaseName=table.database, TableName=table.name
        )
        return [
            Partition(tuple(p["Values"]), p.get("StorageDescriptor", {}).get("Location", ""))
            for p in pages
        ]

    def add_partitions(self, table: Table, partitions: Sequence[Partition]) -> None:
        for start in range(0, len(partitions), _BATCH):
            entries = [_write_partition(table, p) for p in partitions[start : start + _BATCH]]
            answer = self._glue.batch_create_partition(
                DatabaseName=table.database, TableName=table.name, PartitionInputList=entries
            )
            for failed in answer.get("Errors", ()):
                detail = failed["ErrorDetail"]
                if detail["ErrorCode"] != "AlreadyExistsException":
                    raise QueryFailed("HIVE_METASTORE_ERROR", str(detail))

    def drop_partition(self, table: Table, values: Sequence[str]) -> None:
        self._glue.delete_partition(
            DatabaseName=table.database, TableName=table.name, PartitionValues=list(values)
        )

    def move_partition(self, table: Table, partition: Partition) -> None:
        entry = {
            "PartitionValueList": list(partition.values),
            "PartitionInput": _write_partition(table, partition),
        }
        answer = self._glue.batch_update_partition(
            DatabaseName=table.database, TableName=table.name, Entries=[entry]
        )
        if answer.get("Errors"):
            raise QueryFailed(
                "",
                f"FAILED: SemanticException [Error 10006]: Partition not found {partition.values}",
            )

    def _pages(self, operation: str, key: str, **arguments: str) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            answer = getattr(self._glue, operation)(**arguments, **token)
            yield from answer.get(key, ())
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}


def read_table(entry: Mapping[str, Any]) -> Table:
    """A table from what Glue answers."""
    storage = entry.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    text = entry.get("ViewOriginalText") or ""
    view = _read_view(text) if text.startswith(_VIEW_START) else None
    columns = tuple(_column(column) for column in storage.get("Columns") or ())
    return Table(
        database=entry["DatabaseName"],
        name=entry["Name"],
        columns=_view_columns(text) if view else columns,
        partition_keys=tuple(_column(column) for column in entry.get("PartitionKeys") or ()),
        location=storage.get("Location") or "",
        serde=serde.get("SerializationLibrary") or "",
        serde_parameters=serde.get("Parameters") or {},
        parameters=entry.get("Parameters") or {},
        kind=entry.get("TableType") or "EXTERNAL_TABLE",
        view=view,
        comment=entry.get("Description") or "",
        raw=entry,
    )


def _column(entry: Mapping[str, Any]) -> Column:
    name, hive = entry["Name"].lower(), entry["Type"]
    return Column(name, hive, parse_hive_type(hive), entry.get("Comment") or "")


def _view_document(text: str) -> dict[str, Any]:
    encoded = text.removeprefix(_VIEW_START).removesuffix(_VIEW_END)
    document: dict[str, Any] = json.loads(base64.b64decode(encoded))
    return document


def _read_view(text: str) -> View:
    document = _view_document(text)
    return View(document["originalSql"], document["catalog"], document["schema"])


def _view_columns(text: str) -> tuple[Column, ...]:
    columns = _view_document(text)["columns"]
    return tuple(Column(c["name"].lower(), c["type"], parse_trino_type(c["type"])) for c in columns)


def view_table(
    database: str, name: str, sql: str, columns: Iterable[tuple[str, Type]], *, context: str
) -> Table:
    """A view as Athena stores it; context is the database in which its names are looked up."""
    found = tuple(Column(n.lower(), hive_type(kind), kind) for n, kind in columns)
    return Table(
        database,
        name,
        found,
        parameters={"comment": "Presto View", "presto_view": "true"},
        kind="VIRTUAL_VIEW",
        view=View(sql, CATALOG, context),
    )


def write_table(table: Table) -> dict[str, Any]:
    """The TableInput that Glue takes."""
    storage: dict[str, Any] = {
        "Columns": [_write_column(column) for column in table.glue_columns],
        "Location": table.location,
    }
    entry: dict[str, Any] = {
        "Name": table.name,
        "TableType": table.kind,
        "Parameters": dict(table.parameters),
        "PartitionKeys": [_write_column(column) for column in table.partition_keys],
        "StorageDescriptor": storage,
    }
    if table.comment:
        entry["Description"] = table.comment
    if table.view is not None:
        document = {
            "originalSql": table.view.sql,
            "catalog": table.view.catalog,
            "schema": table.view.database,
            "columns": [{"name": c.name, "type": str(c.type)} for c in table.columns],
        }
        encoded = base64.b64encode(json.dumps(document).encode()).decode()
        storage["SerdeInfo"] = {}
        return entry | {
            "ViewOriginalText": f"{_VIEW_START}{encoded}{_VIEW_END}",
            "ViewExpandedText": "/* Presto View */",
        }
    storage |= _formats(table)
    return entry


def _formats(table: Table) -> dict[str, Any]:
    raw = (table.raw or {}).get("StorageDescriptor") or {}
    form = by_serde(table.serde) or PARQUET
    return {
        "InputFormat": raw.get("InputFormat", form.input_format),
        "OutputFormat": raw.get("OutputFormat", form.output_format),
        "SerdeInfo": {
            "SerializationLibrary": table.serde or form.serde,
            "Parameters": dict(table.serde_parameters) or {"serialization.format": "1"},
        },
    }


def _write_column(column: Column) -> dict[str, str]:
    entry = {"Name": column.name, "Type": column.hive}
    return entry | {"Comment": column.comment} if column.comment else entry


def _write_partition(table: Table, partition: Partition) -> dict[str, Any]:
    storage = dict(write_table(table)["StorageDescriptor"]) | {"Location": partition.location}
    return {"Values": list(partition.values), "StorageDescriptor": storage}


def hive_type(kind: Type) -> str:
    """The Hive name of a Trino type, as Glue stores it."""
    simple = {"integer": "int", "real": "float", "varbinary": "binary", "varchar": "string"}
    if kind.name == "array":
        return f"array<{hive_type(kind.args[0])}>"
    if kind.name == "map":
        return f"map<{hive_type(kind.args[0])},{hive_type(kind.args[1])}>"
    if kind.name == "row":
        names = [name or f"field{i}" for i, name in enumerate(kind.fields)]
        parts = zip(names, kind.args, strict=True)
        return f"struct<{','.join(f'{name}:{hive_type(arg)}' for name, arg in parts)}>"
    if kind.name in {"timestamp", "date"}:
        return kind.name
    if kind.name in {"decimal", "char"}:
        return str(kind)
    return simple.get(kind.name, str(kind))
