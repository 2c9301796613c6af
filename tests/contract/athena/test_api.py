"""Athena's API as boto3 sees it: executions, results, workgroups, the catalog."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

SLOW = """SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a(x)
CROSS JOIN UNNEST(sequence(1, 10000)) AS b(y) CROSS JOIN UNNEST(sequence(1, 100)) AS c(z)
WHERE x * y * z % 7 = 3"""


def results(shop: Shop, id_: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = shop.client("athena").get_query_results(
        QueryExecutionId=id_, **arguments
    )
    return answer


def test_a_finished_query_tells_its_times_bytes_and_where_its_result_is(shop: Shop) -> None:
    execution = shop.run("SELECT id FROM payments WHERE day = '2018-04-01'")
    assert execution["Status"]["State"] == "SUCCEEDED"
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "SELECT")
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://{shop.bucket}/results/{execution['QueryExecutionId']}.csv"
    assert execution["Statistics"]["DataScannedInBytes"] > 0
    assert execution["Status"]["CompletionDateTime"] >= execution["Status"]["SubmissionDateTime"]


def test_fewer_partitions_and_columns_scan_fewer_bytes(shop: Shop) -> None:
    def scanned(sql: str) -> int:
        return int(shop.run(sql)["Statistics"]["DataScannedInBytes"])

    one_column, one_day, everything = (
        scanned("SELECT id FROM payments WHERE day = '2018-04-01'"),
        scanned("SELECT * FROM payments WHERE day = '2018-04-01'"),
        scanned("SELECT * FROM payments"),
    )
    assert 0 == scanned("SELECT count(*) FROM payments") < one_column < one_day < everything


def test_the_first_row_of_the_first_page_is_the_header(shop: Shop) -> None:
    id_ = shop.run("SELECT id, amount AS Money FROM payments ORDER BY id LIMIT 1")[
        "QueryExecutionId"
    ]
    answer = results(shop, id_)
    cells = [[d.get("VarCharValue") for d in row["Data"]] for row in answer["ResultSet"]["Rows"]]
    assert cells == [["id", "Money"], ["2018-04-01-0", "0.25"]]
    infos = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(i["Name"], i["Type"], i["Precision"], i["Scale"]) for i in infos] == [
        ("id", "varchar", 2147483647, 0),
        ("Money", "decimal", 18, 2),
    ]


def test_results_come_in_pages(shop: Shop) -> None:
    id_ = shop.run("SELECT x FROM UNNEST(sequence(1, 2500)) AS t(x)")["QueryExecutionId"]
    pages = list(
        shop.client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=id_)
    )
    values = [row["Data"][0]["VarCharValue"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [1000, 1000, 501]
    assert values == ["x", *map(str, range(1, 2501))]


def test_the_result_file_quotes_everything_but_null(shop: Shop) -> None:
    sql = "SELECT id, note, fraud FROM payments WHERE day = '2018-04-01' ORDER BY id LIMIT 3"
    execution = shop.run(sql)
    bucket, _, key = (
        execution["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
    )
    body = shop.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert body == (
        '"id","note","fraud"\n'
        '"2018-04-01-0",,"false"\n'
        '"2018-04-01-1","","false"\n'
        '"2018-04-01-2","say ""hi"", you","false"\n'
    )


def test_a_failure_carries_athenas_reason_and_error(shop: Shop) -> None:
    status = shop.run("SELECT * FROM nothing")["Status"]
    reason = (
        f"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.{shop.database}.nothing' does not exist"
    )
    assert (status["State"], status["StateChangeReason"]) == ("FAILED", reason)
    assert status["AthenaError"]["ErrorCategory"] == 2
    assert status["AthenaError"]["ErrorMessage"] == reason


def test_results_of_a_failed_query_are_refused(shop: Shop) -> None:
    id_ = shop.run("SELECT 1 / 0")["QueryExecutionId"]
    with pytest.raises(ClientError, match="Final query state: FAILED"):
        results(shop, id_)


def test_the_same_request_token_starts_one_execution(shop: Shop) -> None:
    token = "a-token-of-at-least-thirty-two-characters"
    first = shop.start("SELECT 1", ClientRequestToken=token)
    assert shop.start("SELECT 1", ClientRequestToken=token) == first


def test_a_stopped_query_is_cancelled(shop: Shop) -> None:
    id_ = shop.start(SLOW)
    time.sleep(0.2)
    shop.client("athena").stop_query_execution(QueryExecutionId=id_)
    began = time.monotonic()
    assert shop.finished(id_)["Status"]["State"] == "CANCELLED"
    assert shop.run("SELECT 1")["Status"]["State"] == "SUCCEEDED"
    assert time.monotonic() - began < 5


def test_a_query_without_an_output_location_is_refused(shop: Shop) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        shop.client("athena").start_query_execution(QueryString="SELECT 1")


def test_a_query_that_is_too_long_is_refused(shop: Shop) -> None:
    with pytest.raises(ClientError, match="less than or equal to 262144"):
        shop.start(f"SELECT '{'x' * 262_144}'")


def test_execution_parameters_are_put_in(shop: Shop) -> None:
    sql = "SELECT count(*) FROM payments WHERE day = ? AND amount > ?"
    id_ = shop.run(sql, ExecutionParameters=["'2018-04-01'", "5"])["QueryExecutionId"]
    assert results(shop, id_)["ResultSet"]["Rows"][1]["Data"] == [{"VarCharValue": "5"}]


def test_executions_are_listed_newest_first_and_got_in_batches(shop: Shop) -> None:
    ids = [shop.run(f"SELECT {n}")["QueryExecutionId"] for n in range(2)]
    athena = shop.client("athena")
    assert athena.list_query_executions(MaxResults=2)["QueryExecutionIds"] == ids[::-1]
    answer = athena.batch_get_query_execution(QueryExecutionIds=[*ids, "nothing"])
    assert [e["Query"] for e in answer["QueryExecutions"]] == ["SELECT 0", "SELECT 1"]
    assert [e["QueryExecutionId"] for e in answer["UnprocessedQueryExecutionIds"]] == ["nothing"]


def test_an_enforced_workgroup_decides_where_results_go(shop: Shop) -> None:
    athena, name = shop.client("athena"), f"{shop.database}-enforced"
    location = f"s3://{shop.bucket}/enforced/"
    configuration = {
        "EnforceWorkGroupConfiguration": True,
        "ResultConfiguration": {"OutputLocation": location},
    }
    athena.create_work_group(Name=name, Configuration=configuration)
    execution = shop.run("SELECT 1", WorkGroup=name)
    assert execution["ResultConfiguration"]["OutputLocation"].startswith(location)
    with pytest.raises(ClientError, match="enforces a centralized output location"):
        shop.start(
            f"CREATE TABLE x WITH (external_location = '{shop.folder()}') AS SELECT 1 a",
            WorkGroup=name,
        )
    athena.delete_work_group(WorkGroup=name)


def test_a_workgroups_limit_of_bytes_cancels_a_query(
    shop: Shop, table_name: Callable[[], str]
) -> None:
    big, athena, name = table_name(), shop.client("athena"), f"{shop.database}-limited"
    shop.made(
        f"CREATE TABLE {big} AS SELECT rand() AS r FROM UNNEST(sequence(1, 10000)) AS t(x) "
        "CROSS JOIN UNNEST(sequence(1, 150)) AS u(y)"
    )
    athena.create_work_group(Name=name, Configuration={"BytesScannedCutoffPerQuery": 10_000_000})
    status = shop.run(f"SELECT sum(r) FROM {big}", WorkGroup=name)["Status"]
    assert (status["State"], status["StateChangeReason"]) == (
        "CANCELLED",
        "Bytes scanned limit was exceeded",
    )
    athena.update_work_group(
        WorkGroup=name, ConfigurationUpdates={"BytesScannedCutoffPerQuery": 20_000_000}
    )
    assert shop.run(f"SELECT sum(r) FROM {big}", WorkGroup=name)["Status"]["State"] == "SUCCEEDED"
    athena.delete_work_group(WorkGroup=name)


def test_a_disabled_or_unknown_workgroup_is_refused(shop: Shop) -> None:
    athena, name = shop.client("athena"), f"{shop.database}-off"
    athena.create_work_group(Name=name)
    athena.update_work_group(WorkGroup=name, State="DISABLED")
    assert name in {group["Name"] for group in athena.list_work_groups()["WorkGroups"]}
    with pytest.raises(ClientError, match="is disabled"):
        shop.start("SELECT 1", WorkGroup=name)
    athena.delete_work_group(WorkGroup=name)
    with pytest.raises(ClientError, match="is not found"):
        athena.get_work_group(WorkGroup=name)


def test_a_workgroup_that_cloudformation_makes_is_one_of_athenas(shop: Shop) -> None:
    formation, name = shop.client("cloudformation"), f"{shop.database}-stack"
    template = f"""
Resources:
  Group:
    Type: AWS::Athena::WorkGroup
    Properties:
      Name: {name}
      WorkGroupConfiguration:
        BytesScannedCutoffPerQuery: 12345678
        ResultConfiguration: {{OutputLocation: "s3://{shop.bucket}/stack/"}}
"""
    formation.create_stack(StackName=name, TemplateBody=template)
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    group = shop.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]
    assert int(group["Configuration"]["BytesScannedCutoffPerQuery"]) == 12345678
    execution = shop.run("SELECT 1", WorkGroup=name, ResultConfiguration={})
    assert execution["ResultConfiguration"]["OutputLocation"].startswith(
        f"s3://{shop.bucket}/stack/"
    )


def test_the_catalog_is_glues(shop: Shop) -> None:
    athena, where = shop.client("athena"), {"CatalogName": "AwsDataCatalog"}
    assert athena.list_data_catalogs()["DataCatalogsSummary"][0]["CatalogName"] == "AwsDataCatalog"
    databases = [entry["Name"] for entry in athena.list_databases(**where)["DatabaseList"]]
    assert shop.database in databases
    metadata = athena.get_table_metadata(**where, DatabaseName=shop.database, TableName="payments")
    columns = [(c["Name"], c["Type"]) for c in metadata["TableMetadata"]["Columns"]]
    assert columns[:2] == [("id", "string"), ("at", "timestamp")]
    assert [key["Name"] for key in metadata["TableMetadata"]["PartitionKeys"]] == ["day"]
    tables = athena.list_table_metadata(**where, DatabaseName=shop.database)["TableMetadataList"]
    assert "payments" in {table["Name"] for table in tables}
    with pytest.raises(ClientError, match="Entity Not Found"):
        athena.get_table_metadata(**where, DatabaseName=shop.database, TableName="nothing")


def test_an_operation_that_is_not_answered_is_refused_by_name(shop: Shop) -> None:
    with pytest.raises(ClientError, match="CreateNotebook"):
        shop.client("athena").create_notebook(WorkGroup="primary", Name="n")
