"""Logged tables in the Glue catalog: made when they are first needed, widened, never narrowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

from mlops.aws import Aws, translated
from mlops.errors import Conflict, MlopsError, NotFound, Refused
from pipelines.features.downsync.layout import day_prefix, table_prefix
from pipelines.features.downsync.rows import LoggedTable

_PARTITIONS_PER_CALL = 100
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


class Catalog(Protocol):
    """Where tables are known."""

    def ensure_table(self, table: LoggedTable) -> None:
        """Make the table or add columns. Raises Refused where a column has another type."""

    def ensure_day(self, table: str, day: str) -> None:
        """Make a day's files visible; doing it twice does nothing."""


@dataclass
class MemoryCatalog:
    """A working fake with the same rules."""

    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    days: set[tuple[str, str]] = field(default_factory=set)

    def ensure_table(self, table: LoggedTable) -> None:
        known = self.tables.setdefault(table.name, {})
        known.update(missing_columns(table, known))

    def ensure_day(self, table: str, day: str) -> None:
        self.days.add((table, day))


def missing_columns(table: LoggedTable, known: Mapping[str, str]) -> dict[str, str]:
    """The columns that the catalog lacks. Raises Refused naming one of another type."""
    for name, kind in table.columns.items():
        if known.get(name, kind) != kind:
            raise Refused(
                f"Table '{table.name}' has column '{name}' as {known[name]}, its view as {kind}. "
                "A logged feature cannot change its type: give it another name."
            )
    return {name: kind for name, kind in table.columns.items() if name not in known}


class GlueCatalog:
    """The environment's Glue database; safe to share between threads."""

    def __init__(self, aws: Aws, *, database: str, bucket: str) -> None:
        self._glue = aws.client("glue")
        self._database, self._bucket = database, bucket
        self._days: set[tuple[str, str]] = set()
        self._lock = Lock()

    def ensure_table(self, table: LoggedTable) -> None:
        with self._lock, translated(f"Making table '{table.name}'"):
            try:
                found = self._table(table.name)
            except NotFound:
                self._create(table)
                return
            columns = {c["Name"]: c["Type"] for c in found["StorageDescriptor"]["Columns"]}
            if more := missing_columns(table, columns):
                self._widen(table, found, columns | more)

    def ensure_day(self, table: str, day: str) -> None:
        if (table, day) in self._days:
            return
        with self._lock, translated(f"Adding day {day} to table '{table}'"):
            storage = self._table(table)["StorageDescriptor"]
            place = f"s3://{self._bucket}/{day_prefix(table, day)}"
            partition = {"Values": [day], "StorageDescriptor": storage | {"Location": place}}
            answer = self._glue.batch_create_partition(
                DatabaseName=self._database, TableName=table, PartitionInputList=[partition]
            )
            _refuse_errors(answer, table)
            self._days.add((table, day))

    def _table(self, name: str) -> dict[str, Any]:
        with translated(f"Reading table '{name}'"):
            answer = self._glue.get_table(DatabaseName=self._database, Name=name)
            found: dict[str, Any] = answer["Table"]
            return found

    def _create(self, table: LoggedTable) -> None:
        try:
            with translated(f"Making table '{table.name}'"):
                self._glue.create_table(
                    DatabaseName=self._database,
                    TableInput={
                        "Name": table.name,
                        "TableType": "EXTERNAL_TABLE",
                        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
                        "PartitionKeys": [{"Name": "day", "Type": "string"}],
                        "StorageDescriptor": self._storage(table.name, table.columns),
                    },
                )
        except Conflict:
            return  # another consumer was quicker, with the same columns

    def _storage(self, table: str, columns: Mapping[str, str]) -> dict[str, Any]:
        return {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
            "Location": f"s3://{self._bucket}/{table_prefix(table)}",
            "InputFormat": f"{_PARQUET}.MapredParquetInputFormat",
            "OutputFormat": f"{_PARQUET}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{_PARQUET}.serde.ParquetHiveSerDe"},
        }

    def _widen(self, table: LoggedTable, found: dict[str, Any], columns: dict[str, str]) -> None:
        """Days that are there get the columns too: rows of today's may have them already."""
        storage = found["StorageDescriptor"] | self._storage(table.name, columns)
        kept = {name: found[name] for name in ("TableType", "Parameters", "PartitionKeys")}
        self._glue.update_table(
            DatabaseName=self._database,
            TableInput={"Name": table.name, **kept, "StorageDescriptor": storage},
        )
        for days in self._days_of(table.name):
            self._glue.batch_update_partition(
                DatabaseName=self._database,
                TableName=table.name,
                Entries=[_with_columns(day, storage["Columns"]) for day in days],
            )

    def _days_of(self, table: str) -> Iterator[list[dict[str, Any]]]:
        pages = self._glue.get_paginator("get_partitions").paginate(
            DatabaseName=self._database,
            TableName=table,
            PaginationConfig={"PageSize": _PARTITIONS_PER_CALL},
        )
        yield from (page["Partitions"] for page in pages if page["Partitions"])


def _refuse_errors(answer: Mapping[str, Any], table: str) -> None:
    """A partition that is there already is none."""
    for error in answer.get("Errors", ()):
        detail = error["ErrorDetail"]
        if detail["ErrorCode"] != "AlreadyExistsException":
            raise MlopsError(
                f"Partition {error['PartitionValues']} of table '{table}' cannot be made: "
                f"{detail['ErrorMessage']} ({detail['ErrorCode']})."
            )


def _with_columns(day: dict[str, Any], columns: list[dict[str, str]]) -> dict[str, Any]:
    storage = day["StorageDescriptor"] | {"Columns": columns}
    values = day["Values"]
    return {
        "PartitionValueList": values,
        "PartitionInput": {"Values": values, "StorageDescriptor": storage},
    }
