"""What a query needs beside it in S3 and Glue, and that nothing of it stays.

Everything of one run lies under one prefix and in tables that bear its id, so that leaving the run
removes it, whatever happened, and a sweep finds what a killed process left.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlops.aws import Aws, translated
from mlops.errors import InputError, MlopsError, NotFound

TABLES = "feast_entity_df_"
"""Scratch tables begin so, as Feast's own do: a role that may run Feast may make them."""
FOLDER = "offline"
_STAMP = "%Y%m%dt%H%M%S"
_BATCH = 1000


def split_uri(uri: str) -> tuple[str, str]:
    """('bucket', 'key') of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InputError(f"'{uri}' is no address in S3. Write it as s3://bucket/prefix.")
    return bucket, key


class Storage:
    """S3, as far as this store needs it."""

    def __init__(self, aws: Aws) -> None:
        self.s3 = aws.client("s3")

    def keys(self, uri: str) -> list[tuple[str, int]]:
        """(address, size) of every object below a prefix, in order."""
        bucket, prefix = split_uri(uri)
        with translated(f"Listing {uri}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [
                (f"s3://{bucket}/{entry['Key']}", int(entry["Size"]))
                for page in pages
                for entry in page.get("Contents", ())
            ]

    def data_files(self, uri: str) -> list[tuple[str, int]]:
        """Without empty ones and those that Athena does not read (_x, .x)."""
        return [
            (found, size)
            for found, size in self.keys(uri)
            if size and found.rpartition("/")[2][:1] not in {"_", "."}
        ]

    def upload(self, path: Path, uri: str) -> None:
        bucket, key = split_uri(uri)
        with translated(f"Writing {uri}"):
            self.s3.upload_file(str(path), bucket, key)

    def read(self, uri: str) -> bytes:
        bucket, key = split_uri(uri)
        with translated(f"Reading {uri}"):
            return bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def delete(self, uris: Iterable[str]) -> None:
        """Objects that are gone already are no error."""
        waiting = list(uris)
        by_bucket: dict[str, list[str]] = {}
        for uri in waiting:
            bucket, key = split_uri(uri)
            by_bucket.setdefault(bucket, []).append(key)
        for bucket, keys in by_bucket.items():
            for start in range(0, len(keys), _BATCH):
                entries = [{"Key": key} for key in keys[start : start + _BATCH]]
                with translated(f"Deleting {len(entries)} objects in s3://{bucket}"):
                    self.s3.delete_objects(
                        Bucket=bucket, Delete={"Objects": entries, "Quiet": True}
                    )


@dataclass
class Run:
    """One run's scratch space; a context manager that leaves nothing behind."""

    storage: Storage
    glue: Any
    database: str
    base: str
    """The staging location: s3://bucket[/prefix]."""
    id: str
    tables: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    """Addresses outside of the run's own prefix, as a workgroup may enforce them."""

    @property
    def prefix(self) -> str:
        """Ends in '/'."""
        return f"{_folder(self.base)}{self.id}/"

    @property
    def results(self) -> str:
        """Where Athena may put what it writes by itself."""
        return f"{self.prefix}queries/"

    def note(self, outputs: Iterable[str]) -> None:
        self.outputs += [uri for uri in outputs if not uri.startswith(self.prefix)]

    def create_table(self, columns: Mapping[str, str], location: str, *, part: str = "") -> str:
        """An external Parquet table over a folder, without a query; returns its name."""
        table = f"{TABLES}{self.id}{part}"
        self.tables.append(table)
        with translated(f"Creating table {self.database}.{table}"):
            self.glue.create_table(
                DatabaseName=self.database, TableInput=parquet_table(table, columns, location)
            )
        return table

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove everything; a failure to do so does not hide the one that came before it."""
        try:
            self.remove()
        except MlopsError as exc:
            if error is None:
                raise
            error.add_note(f"Besides, cleaning up failed: {exc}. Run 'mlops features sweep'.")

    def remove(self) -> None:
        try:
            self.drop_tables()
        finally:
            self.storage.delete(
                [*self.outputs, *(uri for uri, _ in self.storage.keys(self.prefix))]
            )
            self.outputs.clear()

    def drop_tables(self) -> None:
        while self.tables:
            drop_table(self.glue, self.database, self.tables[-1])
            self.tables.pop()


def start_run(aws: Aws, *, database: str, base: str, now: datetime | None = None) -> Run:
    """A run of its own, named by when it began."""
    return Run(Storage(aws), aws.client("glue"), database, base, new_id(now))


def new_id(now: datetime | None = None) -> str:
    """Says when it was made, so that a sweep knows how old is what bears it."""
    began = (now or datetime.now(UTC)).strftime(_STAMP)
    return f"{began}_{uuid.uuid4().hex[:12]}"


def drop_table(glue: Any, database: str, table: str) -> None:
    """A table that is gone already is no error."""
    with suppress(NotFound), translated(f"Deleting table {database}.{table}"):
        glue.delete_table(DatabaseName=database, Name=table)


def parquet_table(
    table: str, columns: Mapping[str, str], location: str, **parameters: str
) -> dict[str, Any]:
    """The TableInput of an external Parquet table; columns as Hive types by name."""
    serde = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    return {
        "Name": table,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", **parameters},
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
            "Location": location,
            "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": serde,
                "Parameters": {"serialization.format": "1"},
            },
        },
    }


@dataclass(frozen=True)
class Left:
    """What killed runs left."""

    tables: tuple[str, ...]
    objects: tuple[str, ...]


def find_left(aws: Aws, *, database: str, base: str, before: datetime) -> Left:
    """Scratch tables and objects of runs that began before a time."""
    glue = aws.client("glue")
    with translated(f"Listing the tables of {database}"):
        pages = glue.get_paginator("get_tables").paginate(
            DatabaseName=database, Expression=f"{TABLES}*"
        )
        tables = [t["Name"] for page in pages for t in page["TableList"]]
    folder = _folder(base)
    return Left(
        tuple(
            t for t in tables if t.startswith(TABLES) and _began(t.removeprefix(TABLES)) < before
        ),
        tuple(
            uri for uri, _ in Storage(aws).keys(folder) if _began(uri.removeprefix(folder)) < before
        ),
    )


def sweep(aws: Aws, left: Left, *, database: str) -> None:
    """Remove what was found."""
    glue = aws.client("glue")
    for table in left.tables:
        drop_table(glue, database, table)
    Storage(aws).delete(left.objects)


def older_than(hours: float, now: datetime | None = None) -> datetime:
    return (now or datetime.now(UTC)) - timedelta(hours=hours)


def _folder(base: str) -> str:
    return f"{base.rstrip('/')}/{FOLDER}/"


def _began(id_: str) -> datetime:
    """When a run began, from its id; what bears no such id is taken as new, and left alone."""
    try:
        return datetime.strptime(id_[:15], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
