"""Glue, as the offline store's catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.local_aws import unique

if TYPE_CHECKING:
    from tests.conftest import Clients

STORAGE: dict[str, Any] = {
    "Columns": [{"Name": "amount", "Type": "decimal(18,2)"}],
    "Location": "s3://bucket/t/",
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    },
}


def partition(day: str, *, location: str = "") -> dict[str, Any]:
    descriptor = {**STORAGE, "Location": location or f"s3://bucket/t/day={day}/"}
    return {"Values": [day], "StorageDescriptor": descriptor}


@pytest.fixture
def table(aws: Clients) -> dict[str, str]:
    """A table partitioned by day: DatabaseName and TableName."""
    database = unique("db").replace("-", "_")
    aws("glue").create_database(DatabaseInput={"Name": database})
    keys = [{"Name": "day", "Type": "string"}]
    aws("glue").create_table(
        DatabaseName=database,
        TableInput={"Name": "t", "StorageDescriptor": STORAGE, "PartitionKeys": keys},
    )
    return {"DatabaseName": database, "TableName": "t"}


def test_databases_and_tables_are_described(aws: Clients, table: dict[str, str]) -> None:
    glue, database = aws("glue"), table["DatabaseName"]
    assert glue.get_database(Name=database)["Database"]["Name"] == database
    pages = glue.get_paginator("get_databases").paginate()
    assert database in [d["Name"] for page in pages for d in page["DatabaseList"]]
    found = glue.get_table(DatabaseName=database, Name="t")["Table"]
    assert found["StorageDescriptor"]["Columns"] == STORAGE["Columns"]
    assert found["PartitionKeys"] == [{"Name": "day", "Type": "string"}]
    assert [t["Name"] for t in glue.get_tables(DatabaseName=database)["TableList"]] == ["t"]


def test_a_databases_parameters_are_replaced(aws: Clients, table: dict[str, str]) -> None:
    glue, database = aws("glue"), table["DatabaseName"]
    changed = {"Name": database, "Parameters": {"owner": "payments"}}
    glue.update_database(Name=database, DatabaseInput=changed)
    found = glue.get_database(Name=database)["Database"]
    assert found["Parameters"] == {"owner": "payments"}


def test_a_table_is_replaced_in_one_step(aws: Clients, table: dict[str, str]) -> None:
    glue = aws("glue")
    view = {"Name": "t", "TableType": "VIRTUAL_VIEW", "ViewOriginalText": "SELECT 2"}
    glue.update_table(DatabaseName=table["DatabaseName"], TableInput=view)
    found = glue.get_table(DatabaseName=table["DatabaseName"], Name="t")["Table"]
    assert found["ViewOriginalText"] == "SELECT 2"


def test_partitions_come_back_and_are_there_once(aws: Clients, table: dict[str, str]) -> None:
    glue = aws("glue")
    glue.create_partition(**table, PartitionInput=partition("2018-08-08"))
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_partition(**table, PartitionInput=partition("2018-08-08"))
    found = glue.get_partition(**table, PartitionValues=["2018-08-08"])["Partition"]
    assert found["StorageDescriptor"]["Location"] == "s3://bucket/t/day=2018-08-08/"
    glue.delete_partition(**table, PartitionValues=["2018-08-08"])
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_partition(**table, PartitionValues=["2018-08-08"])


def test_partitions_in_batches_say_which_failed(aws: Clients, table: dict[str, str]) -> None:
    glue, days = aws("glue"), [f"2018-08-{day:02}" for day in range(1, 31)]
    inputs = [partition(day) for day in days]
    assert not glue.batch_create_partition(**table, PartitionInputList=inputs).get("Errors")
    again = glue.batch_create_partition(**table, PartitionInputList=inputs[:1])
    assert again["Errors"][0]["ErrorDetail"]["ErrorCode"] == "AlreadyExistsException"
    wanted = [{"Values": [day]} for day in (days[0], "2019-01-01")]
    got = glue.batch_get_partition(**table, PartitionsToGet=wanted)
    assert [p["Values"] for p in got["Partitions"]] == [[days[0]]]
    moved = {
        "PartitionValueList": [days[0]],
        "PartitionInput": partition(days[0], location="s3://b/"),
    }
    glue.batch_update_partition(**table, Entries=[moved])
    pages = glue.get_paginator("get_partitions").paginate(**table)
    found = {p["Values"][0]: p["StorageDescriptor"] for page in pages for p in page["Partitions"]}
    assert sorted(found) == days
    assert found[days[0]]["Location"] == "s3://b/"


def test_what_is_deleted_is_gone(aws: Clients, table: dict[str, str]) -> None:
    glue, database = aws("glue"), table["DatabaseName"]
    glue.delete_table(DatabaseName=database, Name="t")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_table(DatabaseName=database, Name="t")
    glue.delete_database(Name=database)
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_database(Name=database)
