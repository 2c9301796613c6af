"""CTAS, INSERT and UNLOAD: rows written to files, under Athena's rules for where and how many."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import duckdb

from infra.local.athena.catalog import Catalog, Column, Partition, Table, hive_type
from infra.local.athena.encodings import Encoding, of_table
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.formats import ORC, PARQUET, TEXT, format_of
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.projection import is_projected, is_templated
from infra.local.athena.properties import (
    check_created,
    check_unloaded,
    encoding_of,
    text_of,
    texts_of,
)
from infra.local.athena.queries import Planned, Planner
from infra.local.athena.results import ResultColumn
from infra.local.athena.scope import Field
from infra.local.athena.statements import CreateTableAs, Insert, Unload
from infra.local.athena.storage import Storage, folder
from infra.local.athena.task import Outcome, Task
from infra.local.athena.types import BIGINT, UNKNOWN, Type, coercible, quote, text

MAX_PARTITIONS = 100
_ROWS = [ResultColumn("rows", BIGINT)]


@dataclass(frozen=True)
class _Written:
    rows: int
    files: list[str]
    """Addresses of what was uploaded."""
    partitions: list[Partition]
    """Every partition that got rows, with its folder."""


@dataclass(frozen=True)
class _Destination:
    """Where rows go, and how they are stored there; the last columns are the partition keys."""

    location: str
    columns: Sequence[Column]
    keys: Sequence[str]
    encoding: Encoding

    @property
    def stored(self) -> Sequence[Column]:
        return self.columns[: len(self.columns) - len(self.keys)]


@dataclass(frozen=True)
class Writer:
    """Writes query results into tables and folders."""

    catalog: Catalog
    storage: Storage
    planner: Planner

    def create_table_as(self, statement: CreateTableAs, task: Task) -> Outcome:
        database, name = task.resolve(statement.name)
        location = text_of(statement.properties, "external_location")
        target = folder(location or f"{task.output}tables/{task.id}")
        if self._exists(statement, database, name):
            return Outcome("none", target, _ROWS, update_count=0)
        check_created(statement.properties)
        keys = texts_of(statement.properties, "partitioned_by")
        planned = self.planner.plan(statement.query, task.database)
        columns = _new_columns(planned.fields)
        _check_order(columns, keys)
        self._check_empty(target, f"{database}.{name}")
        encoding = encoding_of(statement.properties, what="CTAS")
        written = _Written(0, [], [])
        if statement.with_data:
            place = _Destination(target, columns, keys, encoding)
            written = self._write(planned, place, task)
        split = len(columns) - len(keys)
        table = Table(
            database,
            name,
            tuple(columns[:split]),
            tuple(columns[split:]),
            location=target,
            serde=encoding.form.serde,
            serde_parameters=encoding.parameters,
            parameters=_new_parameters(encoding, task),
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
        place = _Destination(folder(table.location), columns, keys, of_table(table))
        written = self._write(planned, place, task, positions)
        self._register(table, written)
        return self._outcome(task, f"{task.output}{task.id}", written)

    def _register(self, table: Table, written: _Written) -> None:
        if not table.partition_keys or is_projected(table):
            return
        known = {partition.values for partition in self.catalog.partitions(table)}
        fresh = [partition for partition in written.partitions if partition.values not in known]
        self.catalog.add_partitions(table, fresh)

    def unload(self, statement: Unload, task: Task) -> Outcome:
        target = folder(statement.target)
        check_unloaded(statement.properties)
        planned = self.planner.plan(statement.query, task.database)
        columns = _new_columns(planned.fields)
        keys = texts_of(statement.properties, "partitioned_by")
        _check_order(columns, keys)
        self._check_empty(target, "unload")
        encoding = encoding_of(statement.properties, what="UNLOAD")
        place = _Destination(target, columns, keys, encoding)
        written = self._write(planned, place, task)
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
        self, planned: Planned, to: _Destination, task: Task, positions: Sequence[int] | None = None
    ) -> _Written:
        sql = self.planner.bind(planned, task)
        order = positions or range(len(to.columns))
        values = [
            coerce(Typed(f"c{i}", planned.fields[i].type), column.type)
            for i, column in zip(order, to.columns, strict=True)
        ]
        (task.folder / "data").mkdir()
        plain = [v.sql for v in values]
        if to.encoding.form != PARQUET:
            return self._publish(self._copy(task, sql, plain, to), to, task)
        try:
            written = self._copy(task, sql, [_as_int96(v) for v in values], to)
        except duckdb.ConversionException as exc:
            if "Timestamp(NS)" not in str(exc):
                raise
            written = self._copy(task, sql, plain, to)
        return self._publish(written, to, task)

    def _copy(
        self, task: Task, sql: str, values: Sequence[str], to: _Destination
    ) -> dict[Path, int]:
        """Write the rows to local files; how many are in each that has some."""
        pairs = zip(values, to.columns, strict=True)
        source = f"SELECT {', '.join(f'{v} AS {quote(c.name)}' for v, c in pairs)} FROM ({sql})"
        names = ", ".join(map(quote, to.keys))
        # In order of their partitions, so that each is in one file, or in few.
        source += f" ORDER BY {names}" if to.keys else ""
        split = f"PARTITION_BY ({names})" if to.keys else "PER_THREAD_OUTPUT true"
        options = f"COMPRESSION {to.encoding.first_codec}, {split}, OVERWRITE true"
        rows = task.connection.execute(
            f"COPY ({source}) TO {text(str(task.folder / 'data'))} "
            f"(FORMAT parquet, {options}, RETURN_STATS true)"
        ).fetchall()
        return {Path(row[0]): int(row[1]) for row in rows if row[1]}

    def _publish(self, written: Mapping[Path, int], to: _Destination, task: Task) -> _Written:
        local = task.folder / "data"
        folders = {path.parent for path in written}
        if to.keys and len(folders) > MAX_PARTITIONS:
            raise QueryFailed(
                "HIVE_TOO_MANY_OPEN_PARTITIONS",
                f"Exceeded limit of {MAX_PARTITIONS} open writers for partitions/buckets",
            )
        names = _file_names(to.encoding.suffix)
        for path in set(local.rglob("*")) - set(written):
            if path.is_file():
                path.unlink()
        for path in written:
            to.encoding.encode(path, to.stored, task.connection)
            path.rename(path.with_name(names()))
        files = self.storage.upload(local, to.location)
        partitions = [
            Partition(
                _partition_values(where.relative_to(local)), _below(to.location, where, local)
            )
            for where in sorted(folders)
        ]
        return _Written(sum(written.values()), files, partitions if to.keys else [])


def _new_parameters(encoding: Encoding, task: Task) -> dict[str, str]:
    classification = {TEXT.name: "csv"}.get(encoding.form.name, encoding.form.name.lower())
    kept = {PARQUET.name: "parquet.compression", ORC.name: "orc.compress"}
    return {
        "EXTERNAL": "TRUE",
        "classification": classification,
        kept.get(encoding.form.name, "write.compression"): encoding.codec.upper(),
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


def _file_names(suffix: str) -> Callable[[], str]:
    """Names as Athena gives them: a time, a query, a random part; no order to read from."""
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}_{secrets.token_hex(3)}"
    return lambda: f"{stamp}_{secrets.token_hex(16)}{suffix}"


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


def _check_insertable(table: Table) -> None:
    if table.view is not None:
        raise QueryFailed("NOT_SUPPORTED", "Inserting into views is not supported")
    format_of(table)
    if is_projected(table) and is_templated(table):
        raise unsupported(f"INSERT INTO '{table.full_name}': its folders follow a template")


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
