"""A shop's payments in S3 and Glue, and Athena to ask, over the local AWS's port."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyathena import connect

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

DAYS = ("2018-04-01", "2018-04-02", "2018-04-03")
ROWS_PER_DAY = 10


@dataclass
class Shop:
    """One database with a table of payments: ten a day, of three days."""

    environment: dict[str, str]
    bucket: str
    database: str
    session: Any = field(init=False)

    def __post_init__(self) -> None:
        self.session = boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.environment["AWS_ENDPOINT_URL"])

    def connection(self, **options: Any) -> Any:
        return connect(
            session=self.session,
            region_name=self.environment["AWS_REGION"],
            s3_staging_dir=f"s3://{self.bucket}/results/",
            schema_name=self.database,
            poll_interval=0.01,
            **options,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self.connection().cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []

    def made(self, sql: str) -> None:
        """Run a statement that must succeed."""
        status = self.run(sql)["Status"]
        assert status["State"] == "SUCCEEDED", status

    def folder(self) -> str:
        """A location that holds nothing yet."""
        return f"s3://{self.bucket}/{uuid.uuid4().hex}/"

    def keys(self, location: str) -> list[str]:
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        pages = (
            self.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=prefix)
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def start(self, sql: str, **arguments: Any) -> str:
        given: dict[str, Any] = {
            "QueryString": sql,
            "QueryExecutionContext": {"Database": self.database},
            "ResultConfiguration": {"OutputLocation": f"s3://{self.bucket}/results/"},
        }
        return str(
            self.client("athena").start_query_execution(**(given | arguments))["QueryExecutionId"]
        )

    def finished(self, id_: str) -> dict[str, Any]:
        """The execution, once it is in a final state."""
        athena = self.client("athena")
        for _ in range(1000):
            execution: dict[str, Any] = athena.get_query_execution(QueryExecutionId=id_)[
                "QueryExecution"
            ]
            if execution["Status"]["State"] not in {"QUEUED", "RUNNING"}:
                return execution
            time.sleep(0.01)
        raise AssertionError(f"{id_} does not finish")

    def run(self, sql: str, **arguments: Any) -> dict[str, Any]:
        return self.finished(self.start(sql, **arguments))


def parquet(table: pa.Table) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


def payments(day: str) -> pa.Table:
    start = datetime.fromisoformat(day)
    times = [start + timedelta(hours=hour, microseconds=600) for hour in range(ROWS_PER_DAY)]
    return pa.table(
        {
            "id": [f"{day}-{n}" for n in range(ROWS_PER_DAY)],
            "at": pa.array(times, pa.timestamp("us")),
            "customer": [f"c{n % 3}" for n in range(ROWS_PER_DAY)],
            "amount": pa.array(
                [Decimal(n) + Decimal("0.25") for n in range(ROWS_PER_DAY)], pa.decimal128(18, 2)
            ),
            "fraud": [n == 7 for n in range(ROWS_PER_DAY)],
            "note": pa.array(
                [None, "", 'say "hi", you'] + [None] * (ROWS_PER_DAY - 3), pa.string()
            ),
        }
    )


CREATE = """CREATE EXTERNAL TABLE payments (
  id string, at timestamp, customer string, amount decimal(18,2), fraud boolean, note string)
PARTITIONED BY (day string) STORED AS PARQUET LOCATION '{location}'"""


@pytest.fixture(scope="session")
def shop(local_aws: LocalAws) -> Shop:
    environment = local_aws.environment()
    name = f"shop{uuid.uuid4().hex[:8]}"
    made = Shop(environment, f"{name}-data", name)
    s3 = made.client("s3")
    s3.create_bucket(
        Bucket=made.bucket,
        CreateBucketConfiguration={"LocationConstraint": environment["AWS_REGION"]},
    )
    for day in DAYS:
        s3.put_object(
            Bucket=made.bucket, Key=f"raw/day={day}/part-0.parquet", Body=parquet(payments(day))
        )
    made.made(f"CREATE DATABASE {name}")
    made.made(CREATE.format(location=f"s3://{made.bucket}/raw/"))
    made.made("MSCK REPAIR TABLE payments")
    return made


@pytest.fixture(autouse=True)
def _endpoint(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAthena makes its S3 client itself, so the endpoint must be where boto3 looks for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", shop.environment["AWS_ENDPOINT_URL"])


@pytest.fixture
def table_name(shop: Shop) -> Iterator[Callable[[], str]]:
    """Fresh table names; the tables are dropped after the test."""
    made: list[str] = []

    def name() -> str:
        made.append(f"t_{uuid.uuid4().hex[:12]}")
        return made[-1]

    yield name
    for one in made:
        shop.made(f"DROP TABLE IF EXISTS {one}")
