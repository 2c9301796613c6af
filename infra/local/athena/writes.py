"""CTAS, INSERT and UNLOAD: rows written as Parquet, under Athena's rules for where and how many."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import duckdb

from infra.local.athena.catalog import Catalog, Column, Partition, Table, hive_type
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.queries import Planned, Planner
from infra.local.athena.results import ResultColumn
from infra.local.athena.scope import Field
from infra.local.athena.statements import CreateTableAs, Insert, Properties, Unload
from infra.local.athena.storage import Storage, folder
from infra.local.athena.task import Outcome, Task
from infra.local.athena.types import BIGINT, UNKNOWN, Type, coercible, quote, text

MAX_PARTITIONS = 100
_CODECS = {
    "SNAPPY": "snappy",
    "GZIP": "gzip",
    "ZSTD": "zstd",
    "LZ4": "lz4_raw",
    "NONE": "uncompressed",
    "UNCOMPRESSED": "uncompressed",
}
_ROWS = [ResultColumn("rows", BIGINT)]


@dataclass(frozen=True)
class _Written:
    rows: int
    files: list[str]
    """Addresses of what was uploaded."""
    partitions: list[Partition]
    """Every partition that got rows, with its folder."""


@dataclass(frozen=True)
class Writer:
    """Writes query results into tables and folders."""

    catalog: Catalog
    storage: Storage
    planner: Planner

    def create_table_as(self, statement: CreateTableAs, task: Task) -> Outcome:
        database, name = task.resolve(statement.name)
        location = _text(statement.properties, "external_location")
        target = folder(location or f"{task.output}tables/{task.id}")
        if self._exists(statement, database, name):
            return Outcome("none", target, _ROWS, update_count=0)
        _check_properties(statement.properties)
        keys = _texts(statement.properties, "partitioned_by")
        planned = self.planner.plan(statement.query, task.database)
        columns = _new_columns(planned.fields)
        _check_order(columns, keys)
        self._check_empty(target, f"{database}.{name}")
        codec = _codec(statement.properties)
        written = _Written(0, [], [])
        if statement.with_data:
            written = self._write(planned, columns, keys, codec, target, task)
        split = len(columns) - len(keys)
        table = Table(
            database,
            name,
            tuple(columns[:split]),
            tuple(columns[split:]),
            location=target,
            parameters=_new_parameters(codec, task),
        )
        self.catalog.create(table)
        self.catalog.add_partitions(table, written.partitions)
        return self._outcome(task, target, written)

    def _exists(self, statement: CreateTableAs, database: str, name: str) -> bool:
        """Whether IF NOT EXISTS has nothing to do. Raises when the name cannot be taken."""
        where = statement.name.where
        if self.catalog.database(database) is None:
            raise QueryFailed("SCHEMA_NOT_FOUND", f"{where}Schema '{database}' does not exist")
        if self.catalog.find(database, name) is None:
            return False
        if statement.if_not_exists:
            return True
        raise QueryFailed(
            "TABLE_ALREADY_EXISTS",
            f"{where}Destination table 'awsdatacatalog.{database}.{name}' already exists",
        )

    def insert(self, statement: Insert, task: Task) -> Outcome:
        table = self.catalog.table(*task.resolve(statement.name), statement.name.where)
        _check_insertable(table)
        planned = self.planner.plan(statement.query, task.database)
        wanted = _target_columns(table, statement)
        _check_types(wanted, planned.fields)
        columns = [column for column in table.all_columns if column in wanted]
        positions = [wanted.index(column) for column in columns]
        missing = [column for column in table.all_columns if column not in wanted]
        keys = [key.name for key in table.partition_keys]
        if any(column.name in keys for column in missing):
            raise unsupported("INSERT that leaves out a partition column")
        written = self._write(
            planned, columns, keys, _table_codec(table), folder(table.location), task, positions
        )
        self._register(table, written)
        return self._outcome(task, f"{task.output}{task.id}", written)

    def _register(self, table: Table, written: _Written) -> None:
        if not table.partition_keys:
            return
        known = {partition.values for partition in self.catalog.partitions(table)}
        fresh = [partition for partition in written.partitions if partition.values not in known]
        self.catalog.add_partitions(table, fresh)

    def unload(self, statement: Unload, task: Task) -> Outcome:
        target = folder(statement.target)
        format_ = _text(statement.properties, "format").upper()
        if format_ != "PARQUET":
            raise unsupported(f"UNLOAD in the format {format_ or 'that is not given'}")
        planned = self.planner.plan(statement.query, task.database)
        columns = _new_columns(planned.fields)
        keys = _texts(statement.properties, "partitioned_by")
        _check_order(columns, keys)
        self._check_empty(target, "unload")
        written = self._write(planned, columns, keys, _codec(statement.properties), target, task)
        return self._outcome(task, f"{task.output}{task.id}.csv", written)

    def _check_empty(self, target: str, name: str) -> None:
        if not self.storage.has_bucket(target):
            raise QueryFailed("HIVE_FILESYSTEM_ERROR", f"The bucket of {target} does not exist")
        if not self.storage.is_empty(target):
            raise QueryFailed(
                "HIVE_PATH_ALREADY_EXISTS",
                f"Target directory for table '{name}' already exists: {target}. You may need to "
                f"manually clean the data at location '{target}' before retrying. "
                "Athena will not delete data in your account.",
            )

    def _outcome(self, task: Task, location: str, written: _Written) -> Outcome:
        manifest = f"{task.output}{task.id}-manifest.csv"
        self.storage.write(manifest, "".join(f"{uri}\n" for uri in written.files).encode())
        return Outcome("none", location, _ROWS, update_count=written.rows, manifest=manifest)

    def _write(
        self,
        planned: Planned,
        columns: Sequence[Column],
        keys: Sequence[str],
        codec: str,
        target: str,
        task: Task,
        positions: Sequence[int] | None = None,
    ) -> _Written:
        sql = self.planner.bind(planned, task)
        order = positions or range(len(columns))
        values = [
            coerce(Typed(f"c{i}", planned.fields[i].type), column.type)
            for i, column in zip(order, columns, strict=True)
        ]
        local = task.folder / "data"
        local.mkdir()
        try:
            written = self._copy(task, sql, columns, [_as_int96(v) for v in values], keys, codec)
        except duckdb.ConversionException as exc:
            if "Timestamp(NS)" not in str(exc):
                raise
            written = self._copy(task, sql, columns, [v.sql for v in values], keys, codec)
        return self._publish(local, {p: n for p, n in written.items() if n}, keys, target)

    def _copy(
        self,
        task: Task,
        sql: str,
        columns: Sequence[Column],
        values: Sequence[str],
        keys: Sequence[str],
        codec: str,
    ) -> dict[Path, int]:
        """Write the rows to local files; how many are in each."""
        pairs = zip(values, columns, strict=True)
        source = f"SELECT {', '.join(f'{v} AS {quote(c.name)}' for v, c in pairs)} FROM ({sql})"
        names = ", ".join(map(quote, keys))
        # In order of their partitions, so that each is in one file, or in few.
        source += f" ORDER BY {names}" if keys else ""
        split = f"PARTITION_BY ({names})" if keys else "PER_THREAD_OUTPUT true"
        rows = task.connection.execute(
            f"COPY ({source}) TO {text(str(task.folder / 'data'))} "
            f"(FORMAT parquet, COMPRESSION {codec}, {split}, OVERWRITE true, RETURN_STATS true)"
        ).fetchall()
        return {Path(row[0]): int(row[1]) for row in rows}

    def _publish(
        self, local: Path, written: Mapping[Path, int], keys: Sequence[str], target: str
    ) -> _Written:
        folders = {path.parent for path in written}
        if keys and len(folders) > MAX_PARTITIONS:
            raise QueryFailed(
                "HIVE_TOO_MANY_OPEN_PARTITIONS",
                f"Exceeded limit of {MAX_PARTITIONS} open writers for partitions/buckets",
            )
        names = _file_names()
        for path in set(local.rglob("*")) - set(written):
            if path.is_file():
                path.unlink()
        for path in written:
            path.rename(path.with_name(names()))
        files = self.storage.upload(local, target)
        partitions = [
            Partition(_partition_values(where.relative_to(local)), _below(target, where, local))
            for where in sorted(folders)
        ]
        return _Written(sum(written.values()), files, partitions if keys else [])


def _new_parameters(codec: str, task: Task) -> dict[str, str]:
    return {
        "EXTERNAL": "TRUE",
        "classification": "parquet",
        "parquet.compression": codec.upper(),
        "presto_query_id": task.id,
    }


def _as_int96(value: Typed) -> str:
    """Times as nanoseconds, as readers see Athena's INT96; years past 2262 do not fit."""
    if value.type.name == "timestamp":
        return f"CAST({value.sql} AS TIMESTAMP_NS)"
    return value.sql


def _below(target: str, where: Path, local: Path) -> str:
    return f"{target}{where.relative_to(local).as_posix()}/"


def _partition_values(where: Path) -> tuple[str, ...]:
    return tuple(unquote(part.partition("=")[2]) for part in where.parts)


def _file_names() -> Callable[[], str]:
    """Names as Athena gives them: a time, a query, a random part; no order to read from."""
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}_{secrets.token_hex(3)}"
    return lambda: f"{stamp}_{secrets.token_hex(16)}"


def _new_columns(fields: Sequence[Field]) -> list[Column]:
    """The columns of a table made from a query. Raises Trino's complaints about them."""
    found: dict[str, Column] = {}
    for position, item in enumerate(fields, start=1):
        name = item.shown.lower()
        if name == f"_col{position - 1}":
            raise QueryFailed(
                "COLUMN_NAME_NOT_SPECIFIED",
                f"line 1:1: Column name not specified at position {position}",
            )
        if name in found:
            raise QueryFailed(
                "DUPLICATE_COLUMN_NAME",
                f"line 1:1: Column name '{name}' specified more than once",
            )
        found[name] = Column(name, _storable(item.type, name, position), item.type)
    return list(found.values())


def _storable(kind: Type, name: str, position: int) -> str:
    if kind == UNKNOWN:
        raise QueryFailed(
            "COLUMN_TYPE_UNKNOWN", f"line 1:1: Column type is unknown at position {position}"
        )
    if kind.name == "timestamp" and (kind.precision or 0) > 3:
        raise QueryFailed(
            "NOT_SUPPORTED",
            f"Incorrect timestamp precision for {kind}; the configured precision is MILLISECONDS; "
            f"column name: {name}",
        )
    if kind.name in {"timestamp with time zone", "json", "time"} or "interval" in kind.name:
        raise QueryFailed("NOT_SUPPORTED", f"Unsupported Hive type: {kind}")
    return hive_type(kind)


def _check_order(columns: Sequence[Column], keys: Sequence[str]) -> None:
    names = [column.name for column in columns]
    if unknown := [key for key in keys if key not in names]:
        raise QueryFailed(
            "INVALID_TABLE_PROPERTY",
            f"Partition columns {unknown} not present in schema",
        )
    if keys and names[-len(keys) :] != list(keys):
        raise QueryFailed(
            "HIVE_COLUMN_ORDER_MISMATCH",
            "Partition keys must be the last columns in the table and in the same order as the "
            f"table properties: [{', '.join(keys)}]",
        )
    if keys and len(keys) == len(names):
        raise QueryFailed("INVALID_TABLE_PROPERTY", "Table contains only partition columns")


_KNOWN_PROPERTIES = {
    "external_location",
    "format",
    "partitioned_by",
    "write_compression",
    "parquet_compression",
    "compression",
    "table_type",
    "is_external",
}


def _check_properties(properties: Properties) -> None:
    for name in properties:
        if name not in _KNOWN_PROPERTIES:
            raise unsupported(f"the table property {name}")
    if _text(properties, "table_type").upper() not in {"", "HIVE"}:
        raise unsupported(f"table_type {_text(properties, 'table_type')}")
    if _text(properties, "format").upper() not in {"", "PARQUET"}:
        raise unsupported(f"CTAS in the format {_text(properties, 'format')}")


def _text(properties: Properties, name: str) -> str:
    found = properties.get(name, "")
    return found if isinstance(found, str) else ""


def _texts(properties: Properties, name: str) -> list[str]:
    found = properties.get(name, ())
    return [found.lower()] if isinstance(found, str) else [item.lower() for item in found]


def _codec(properties: Properties) -> str:
    """Athena's default for Parquet is gzip."""
    names = ("write_compression", "parquet_compression", "compression")
    wanted = next((_text(properties, name) for name in names if name in properties), "GZIP")
    if wanted.upper() not in _CODECS:
        raise unsupported(f"Parquet compressed by {wanted}")
    return _CODECS[wanted.upper()]


def _table_codec(table: Table) -> str:
    names = ("write.compression", "parquet.compression", "parquet.compress", "compressionType")
    wanted = next((table.parameters[name] for name in names if name in table.parameters), "GZIP")
    return _CODECS.get(wanted.upper(), "gzip")


def _check_insertable(table: Table) -> None:
    if table.view is not None:
        raise QueryFailed("NOT_SUPPORTED", "Inserting into views is not supported")
    if "parquet" not in table.serde.lower():
        raise unsupported(f"INSERT INTO '{table.full_name}': its SerDe is {table.serde}")


def _target_columns(table: Table, statement: Insert) -> list[Column]:
    if not statement.columns:
        return list(table.all_columns)
    known = {column.name: column for column in table.all_columns}
    for name in statement.columns:
        if name not in known:
            raise QueryFailed(
                "COLUMN_NOT_FOUND",
                f"{statement.name.where}Insert column name does not exist in target table: {name}",
            )
    return [known[name] for name in statement.columns]


def _check_types(wanted: Sequence[Column], given: Sequence[Field]) -> None:
    fits = len(wanted) == len(given) and all(
        coercible(item.type, column.type) or (item.type.is_text and column.type.is_text)
        for column, item in zip(wanted, given, strict=True)
    )
    if not fits:
        table = ", ".join(str(column.type) for column in wanted)
        query = ", ".join(str(item.type) for item in given)
        raise QueryFailed(
            "TYPE_MISMATCH",
            f"Insert query has mismatched column types: Table: [{table}], Query: [{query}]",
        )
