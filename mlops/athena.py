"""Athena, through PyAthena: statements, small results as rows, large ones as Arrow."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyathena import connect
from pyathena.error import Error as PyAthenaError

from mlops.aws import Aws, translated
from mlops.errors import JobFailed
from mlops.settings import Settings

RESULTS = "athena"
"""Prefix in the staging bucket; a lifecycle rule empties it."""

_EMPTY = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("ms"),
}
_SHOWN = 400


class Queries(Protocol):
    """What pipelines ask of Athena."""

    def run(self, sql: str) -> None:
        """Execute a statement and wait. Raises JobFailed with Athena's reason."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A small result, as Python values."""


class Athena:
    """One environment's workgroup and database, as one identity."""

    def __init__(self, settings: Settings, aws: Aws, *, poll_seconds: float = 0.1) -> None:
        # PyAthena logs a traceback for every failure that it raises.
        logging.getLogger("pyathena").setLevel(logging.CRITICAL)
        names = settings.names
        self._s3 = aws.client("s3")
        self._bucket = names.staging_bucket
        self._connection = connect(
            session=aws.session,
            region_name=settings.region,
            work_group=names.workgroup,
            schema_name=names.database,
            s3_staging_dir=f"s3://{names.staging_bucket}/{RESULTS}/",
            poll_interval=poll_seconds,
        )

    def run(self, sql: str) -> None:
        """Execute a statement and wait. Raises JobFailed with Athena's reason."""
        with self._executed(sql):
            pass

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A small result, as Python values; it is paged by 1,000 rows."""
        with self._executed(sql) as cursor:
            return list(cursor.fetchall())

    def table(self, sql: str) -> pa.Table:
        """A result of any size, through UNLOAD to Parquet; in no promised order.

        What was unloaded is removed again, also after a failure.
        """
        prefix = f"{RESULTS}/unload/{uuid.uuid4().hex}/"
        try:
            self.run(
                f"UNLOAD ({sql}) TO 's3://{self._bucket}/{prefix}' "
                "WITH (format = 'PARQUET', compression = 'SNAPPY')"
            )
            parts = [self._read(key) for key in self._keys(prefix)]
        finally:
            self._remove(prefix)
        return pa.concat_tables(parts) if parts else self._empty(sql)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _executed(self, sql: str) -> Iterator[Any]:
        try:
            with (
                translated(f"Querying Athena ({_head(sql)})"),
                closing(self._connection.cursor()) as cursor,
            ):
                cursor.execute(sql)
                yield cursor
        except PyAthenaError as exc:
            with translated(f"Querying Athena ({_head(sql)})"):
                if exc.__cause__ is not None:
                    raise exc.__cause__ from exc
            raise JobFailed(f"Athena: {exc} in: {_head(sql)}") from exc

    def _keys(self, prefix: str) -> list[str]:
        with translated(f"Listing s3://{self._bucket}/{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def _read(self, key: str) -> pa.Table:
        with translated(f"Reading s3://{self._bucket}/{key}"):
            body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return pq.read_table(io.BytesIO(body))

    def _remove(self, prefix: str) -> None:
        for key in self._keys(prefix):
            with translated(f"Deleting s3://{self._bucket}/{key}"):
                self._s3.delete_object(Bucket=self._bucket, Key=key)

    def _empty(self, sql: str) -> pa.Table:
        # UNLOAD writes no file for no rows, so the types come from the result's metadata.
        empty = f"SELECT * FROM ({sql}) LIMIT 0"  # noqa: S608  # the SQL that just ran
        with self._executed(empty) as cursor:
            columns = {c[0]: _EMPTY.get(c[1], pa.string()) for c in cursor.description}
        return pa.schema(columns).empty_table()


def _head(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
