"""Prepared statements: in SQL and over the API they are the same ones, kept per workgroup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

COUNT = "SELECT count(*) FROM payments WHERE day = ? AND amount > ?"


@pytest.fixture
def group(shop: Shop) -> Iterator[str]:
    """A workgroup of the test's own, with nothing prepared in it."""
    athena, name = shop.client("athena"), f"{shop.database}-prepared"
    athena.create_work_group(Name=name)
    yield name
    athena.delete_work_group(WorkGroup=name)


def reason(shop: Shop, sql: str, group: str) -> str:
    return str(shop.run(sql, WorkGroup=group)["Status"].get("StateChangeReason", ""))


def answer(shop: Shop, sql: str, group: str, **arguments: Any) -> list[str | None]:
    """The first row of a query's result."""
    execution = shop.run(sql, WorkGroup=group, **arguments)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    rows = shop.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    return [cell.get("VarCharValue") for cell in rows["ResultSet"]["Rows"][1]["Data"]]


def test_sql_prepares_executes_and_deallocates(shop: Shop, group: str) -> None:
    assert reason(shop, f"PREPARE counted FROM {COUNT}", group) == ""
    assert answer(shop, "EXECUTE counted USING '2018-04-01', 5", group) == ["5"]
    assert answer(shop, "EXECUTE counted USING concat('2018-', '04-02'), 8 + 1", group) == ["1"]
    assert reason(shop, "DEALLOCATE PREPARE counted", group) == ""
    missing = f"NOT_FOUND: PreparedStatement counted was not found in workGroup {group}"
    assert reason(shop, "EXECUTE counted USING '2018-04-01', 5", group) == missing
    assert reason(shop, "DEALLOCATE PREPARE counted", group) == missing


def test_the_api_keeps_the_same_statements(shop: Shop, group: str) -> None:
    athena, where = shop.client("athena"), {"WorkGroup": group}
    athena.create_prepared_statement(
        StatementName="by_api", QueryStatement="SELECT ?", Description="one value", **where
    )
    assert reason(shop, "PREPARE by_sql FROM SELECT ? + 1", group) == ""
    listed = athena.list_prepared_statements(**where)["PreparedStatements"]
    assert [one["StatementName"] for one in listed] == ["by_api", "by_sql"]
    assert answer(shop, "EXECUTE by_api USING 7", group) == ["7"]
    athena.update_prepared_statement(StatementName="by_api", QueryStatement="SELECT 8", **where)
    assert answer(shop, "EXECUTE by_api", group) == ["8"]
    found = athena.get_prepared_statement(StatementName="by_sql", **where)["PreparedStatement"]
    assert (found["QueryStatement"], found["WorkGroupName"]) == ("SELECT ? + 1", group)
    names = ["by_api", "nothing"]
    batch = athena.batch_get_prepared_statement(PreparedStatementNames=names, **where)
    assert [one["QueryStatement"] for one in batch["PreparedStatements"]] == ["SELECT 8"]
    missing = batch["UnprocessedPreparedStatementNames"]
    assert [one["StatementName"] for one in missing] == ["nothing"]
    athena.delete_prepared_statement(StatementName="by_api", **where)
    with pytest.raises(ClientError, match="by_api was not found"):
        athena.get_prepared_statement(StatementName="by_api", **where)


def test_execution_parameters_go_to_the_prepared_statement(shop: Shop, group: str) -> None:
    assert reason(shop, f"PREPARE counted FROM {COUNT}", group) == ""
    parameters = ["'2018-04-01'", "5"]
    assert answer(shop, "EXECUTE counted", group, ExecutionParameters=parameters) == ["5"]


REFUSED = [
    ("PREPARE twice FROM SELECT 2", "already exists in workGroup"),
    ("PREPARE p FROM SHOW TABLES", "NOT_SUPPORTED: Invalid statement type for prepared statement"),
    ("PREPARE p FROM PREPARE q FROM SELECT 1", "NOT_SUPPORTED: Invalid statement type"),
    ("PREPARE p FROM frobnicate", "SYNTAX_ERROR"),
    (
        "EXECUTE twice USING 1",
        "INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected 2",
    ),
    ("SELECT ?", "INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected 1 but found 0"),
]


@pytest.mark.parametrize(("sql", "wanted"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_what_cannot_be_prepared_or_filled_is_refused(
    shop: Shop, group: str, sql: str, wanted: str
) -> None:
    assert reason(shop, "PREPARE twice FROM SELECT ?, ?", group) == ""
    assert wanted in reason(shop, sql, group)


def test_a_prepared_insert_writes(shop: Shop, group: str) -> None:
    table = f"prepared_{group.replace('-', '_')}"
    shop.made(f"CREATE TABLE {table} AS SELECT 1 AS x, 'a' AS y")
    assert reason(shop, f"PREPARE add FROM INSERT INTO {table} VALUES (?, ?)", group) == ""
    assert reason(shop, "EXECUTE add USING 2, 'it''s, b'", group) == ""
    assert shop.rows(f"SELECT x, y FROM {table} ORDER BY x") == [(1, "a"), (2, "it's, b")]
    shop.made(f"DROP TABLE {table}")
