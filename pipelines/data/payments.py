"""The raw payments table: external, Parquet in S3, its partitions in Glue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlops.athena import Athena
from mlops.aws import Aws, translated
from mlops.errors import NotFound
from mlops.names import Names
from pipelines.data.schema import PARTITIONS, RAW_PREFIX, TABLE, create_table_sql

_PARTITIONS_PER_STATEMENT = 500
"""Keeps a statement well below Athena's 262,144 bytes."""
_IDS_PREFIX = "imports/"


@dataclass(frozen=True)
class Partition:
    """The files that one import brought for one day."""

    day: str
    import_id: str

    @property
    def prefix(self) -> str:
        return f"{RAW_PREFIX}day={self.day}/import_id={self.import_id}/"


class PaymentsTable:
    """What importing and building ask of the table."""

    def __init__(self, names: Names, aws: Aws, athena: Athena) -> None:
        self._names = names
        self._glue = aws.client("glue")
        self._s3 = aws.client("s3")
        self._athena = athena

    def create(self) -> None:
        """Creating it twice does nothing."""
        location = f"s3://{self._names.data_bucket}/{RAW_PREFIX}"
        self._athena.run(create_table_sql(self._names.database, location))

    def partitions(self) -> list[Partition]:
        """Every registered partition, by day; none where there is no table."""
        try:
            with translated(f"Listing the partitions of table '{TABLE}'"):
                found = [Partition(*p["Values"][: len(PARTITIONS)]) for p in self._pages()]
        except NotFound:
            return []
        return sorted(found, key=lambda p: (p.day, p.import_id))

    def _pages(self) -> Iterator[dict[str, Any]]:
        pages = self._glue.get_paginator("get_partitions").paginate(
            DatabaseName=self._names.database, TableName=TABLE, ExcludeColumnSchema=True
        )
        for page in pages:
            yield from page["Partitions"]

    def write(self, partition: Partition, body: bytes) -> None:
        """Put the partition's one file; nobody sees it before it is registered."""
        key = f"{partition.prefix}part-0.parquet"
        with translated(f"Writing s3://{self._names.data_bucket}/{key}"):
            self._s3.put_object(Bucket=self._names.data_bucket, Key=key, Body=body)

    def register(self, partitions: Sequence[Partition]) -> None:
        """Make the partitions' files visible; registering one twice does nothing."""
        for start in range(0, len(partitions), _PARTITIONS_PER_STATEMENT):
            clauses = "\n".join(
                f"PARTITION (day = '{p.day}', import_id = '{p.import_id}') "
                f"LOCATION 's3://{self._names.data_bucket}/{p.prefix}'"
                for p in partitions[start : start + _PARTITIONS_PER_STATEMENT]
            )
            self._athena.run(
                f"ALTER TABLE `{self._names.database}`.`{TABLE}` ADD IF NOT EXISTS\n{clauses}"
            )

    def known_ids(self, ids: bytes, *, import_id: str) -> pa.Array:
        """Which of the ids the table has from another import.

        ids: a Parquet file with a string column payment_id. It is joined on Athena, so that
        neither side has to fit in memory here.
        """
        bucket, key = self._names.staging_bucket, f"{_IDS_PREFIX}{import_id}/ids.parquet"
        database, table = self._names.database, f"import_{import_id}"
        try:
            with translated(f"Writing s3://{bucket}/{key}"):
                self._s3.put_object(Bucket=bucket, Key=key, Body=ids)
            self._athena.run(
                f"CREATE EXTERNAL TABLE IF NOT EXISTS `{database}`.`{table}` "
                "(`payment_id` string) STORED AS PARQUET "
                f"LOCATION 's3://{bucket}/{_IDS_PREFIX}{import_id}/'"
            )
            found = self._athena.table(_known_sql(database, table, import_id))
        finally:
            self._athena.run(f"DROP TABLE IF EXISTS `{database}`.`{table}`")
            with translated(f"Deleting s3://{bucket}/{key}"):
                self._s3.delete_object(Bucket=bucket, Key=key)
        return found.column("payment_id").combine_chunks()


def _known_sql(database: str, ids: str, import_id: str) -> str:
    return (
        f'SELECT DISTINCT p.payment_id FROM "{database}"."{TABLE}" p '  # noqa: S608  # our names
        f'JOIN "{database}"."{ids}" i ON i.payment_id = p.payment_id '
        f"WHERE p.import_id <> '{import_id}'"
    )
