"""Feast on the local Athena: tables made from Arrow, and a feature store over any of its stores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.types import Float64, Int64, String

from mlops.stores.athena.staging import parquet_table

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

OURS = "mlops.stores.athena.AthenaOfflineStore"
FEASTS = "athena"
_numbers = itertools.count()


@dataclass
class Warehouse:
    """A database, a workgroup and a bucket of their own on a running local AWS."""

    aws: LocalAws
    folder: Path
    name: str = field(default_factory=lambda: f"warehouse{next(_numbers)}")
    enforced: bool = False
    """Whether the workgroup decides on the output location."""
    exists: bool = False
    """Whether another process has made it."""

    def __post_init__(self) -> None:
        self.s3 = self.aws.client("s3")
        self.glue = self.aws.client("glue")
        if not self.exists:
            self._make()

    def _make(self) -> None:
        self.s3.create_bucket(
            Bucket=self.name,
            CreateBucketConfiguration={"LocationConstraint": self.aws.environment()["AWS_REGION"]},
        )
        self.glue.create_database(DatabaseInput={"Name": self.name})
        self.aws.client("athena").create_work_group(
            Name=self.name,
            Configuration={
                "ResultConfiguration": {"OutputLocation": f"s3://{self.name}/workgroup/"},
                "EnforceWorkGroupConfiguration": self.enforced,
            },
        )

    @property
    def staging(self) -> str:
        return f"s3://{self.name}/staging"

    def add(
        self,
        table: str,
        rows: pa.Table,
        types: Mapping[str, str],
        *,
        days: str | None = None,
        database: str | None = None,
    ) -> None:
        """A Parquet table; `days` names the column to partition by, a string."""
        location = f"s3://{self.name}/tables/{database or self.name}/{table}/"
        plain = {column: kind for column, kind in types.items() if column != days}
        entry = parquet_table(table, plain, location)
        if days is not None:
            entry["PartitionKeys"] = [{"Name": days, "Type": types[days]}]
        self.glue.create_table(DatabaseName=database or self.name, TableInput=entry)
        if days is None:
            self._write(rows, f"{location}rows.parquet")
            return
        for day in rows[days].unique().to_pylist():
            part = rows.filter(pa.compute.equal(rows[days], day)).drop_columns([days])
            place = f"{location}{days}={day}/"
            self._write(part, f"{place}rows.parquet")
            storage = {**entry["StorageDescriptor"], "Location": place}
            self.glue.create_partition(
                DatabaseName=database or self.name,
                TableName=table,
                PartitionInput={"Values": [day], "StorageDescriptor": storage},
            )

    def _write(self, rows: pa.Table, uri: str) -> None:
        path = self.folder / "rows.parquet"
        pq.write_table(rows, path)
        self.s3.upload_file(str(path), self.name, uri.removeprefix(f"s3://{self.name}/"))

    def left(self) -> dict[str, list[str]]:
        """What is there besides the tables that were added."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        tables = self.glue.get_tables(DatabaseName=self.name)["TableList"]
        return {
            "objects": [key for key in keys if not key.startswith("tables/")],
            "tables": [t["Name"] for t in tables if not self._is_added(t)],
        }

    def _is_added(self, table: Mapping[str, Any]) -> bool:
        location = (table.get("StorageDescriptor") or {}).get("Location", "")
        return location.startswith(f"s3://{self.name}/tables/") or not location

    def query(self, sql: str, **options: Any) -> AthenaSource:
        """A source that is a query."""
        return self.source(None, **({"name": "query", "query": sql, "database": None} | options))

    def source(self, table: str | None, **options: Any) -> AthenaSource:
        """A source over one of its tables; times are called event_time and created."""
        given = {
            "name": f"{table}_source",
            "table": table,
            "database": self.name,
            "data_source": "AwsDataCatalog",
            "timestamp_field": "event_time",
            "created_timestamp_column": "created",
        }
        return AthenaSource(**(given | options))

    def store(
        self,
        objects: Sequence[Any],
        *,
        kind: str = OURS,
        online: Mapping[str, str] | None = None,
        **offline: Any,
    ) -> FeatureStore:
        """A feature store with these definitions applied to a registry of its own."""
        config = {
            "type": kind,
            "region": self.aws.environment()["AWS_REGION"],
            "data_source": "AwsDataCatalog",
            "database": self.name,
            "workgroup": self.name,
            "s3_staging_location": self.staging,
        }
        store = FeatureStore(
            config=RepoConfig(
                project="tests",
                provider="local",
                registry=str(self.folder / f"registry{next(_numbers)}.db"),
                offline_store=config | offline,
                online_store=online,
                entity_key_serialization_version=3,
            )
        )
        store.apply(list(objects))
        return store


@contextmanager
def environment(aws: LocalAws) -> Iterator[None]:
    """boto3's environment of this process: Feast's own store has no other way to be told."""
    import os

    before = dict(os.environ)
    os.environ.update(aws.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)


def spend_view(source: AthenaSource, **options: Any) -> FeatureView:
    """A view of one customer's spending: `amount` and `payments`."""
    given: dict[str, Any] = {
        "name": "spend",
        "entities": [CUSTOMER],
        "ttl": timedelta(days=3),
        "schema": [
            Field(name="customer_id", dtype=String),
            Field(name="amount", dtype=Float64),
            Field(name="payments", dtype=Int64),
        ],
        "source": source,
    }
    return FeatureView(**(given | options))


SPEND_TYPES = {
    "customer_id": "string",
    "event_time": "timestamp",
    "created": "timestamp",
    "amount": "double",
    "payments": "bigint",
}
