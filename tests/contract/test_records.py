"""Every record keeps the same promises: DynamoDB's over the local AWS, files, and the fake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from mlops.aws import Aws
from mlops.errors import Conflict, NotFound, Refused
from mlops.registry.dynamodb import DynamoRecords
from mlops.registry.files import FileRecords
from mlops.registry.memory import MemoryRecords
from mlops.registry.record import Decision, Entry, Records, chain, head_of, read_record, verify
from mlops.registry.versions import Status
from tests.approvals import APPROVER, NOW

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

TABLE = "contract-records"
_NUMBERS = count()


@pytest.fixture(scope="session")
def table(local_aws: LocalAws) -> str:
    """An empty table with the keys of the approval record."""
    keys = [("model", "S", "HASH"), ("sequence", "N", "RANGE")]
    local_aws.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t, _ in keys],
        KeySchema=[{"AttributeName": n, "KeyType": k} for n, _, k in keys],
    )
    return TABLE


@pytest.fixture(params=["memory", "files", "dynamodb"])
def records(request: pytest.FixtureRequest) -> Records:
    if request.param == "memory":
        return MemoryRecords()
    if request.param == "files":
        return FileRecords(request.getfixturevalue("tmp_path") / "records")
    dynamo: DynamoRecords = request.getfixturevalue("in_dynamodb")
    return dynamo


@pytest.fixture
def in_dynamodb(local_aws: LocalAws, table: str, monkeypatch: pytest.MonkeyPatch) -> DynamoRecords:
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    return DynamoRecords(Aws(), table)


@pytest.fixture
def model() -> str:
    """A name that no other test uses."""
    return f"contract-{next(_NUMBERS)}"


def _entry(model: str, before: list[Entry], **changes: Any) -> Entry:
    values = {
        "model": model,
        "version": 1,
        "action": "approve",
        "at": NOW,
        "who": APPROVER,
        "reason": "because 결제",
        "before": Status.PENDING,
        "after": Status.APPROVED,
        "package_arn": "arn",
        "model_prefix": "s3://b/p/",
        "manifest_sha256": "a" * 64,
        "metrics": {"auc_roc": 0.1 + 0.2, "tiny": 5e-324, "huge": 1.7e308},
    }
    return chain(Decision.model_validate(values | changes), before)


def test_an_empty_record_has_no_entries(records: Records, model: str) -> None:
    assert records.entries(model) == []


def test_entries_come_back_in_order_and_unchanged(records: Records, model: str) -> None:
    entries: list[Entry] = []
    for version in range(1, 13):
        entries.append(_entry(model, entries, version=version))
        records.append(entries[-1])
    assert records.entries(model) == entries
    assert verify(model, records.entries(model)) == []


def test_the_head_is_that_of_the_newest_entry_and_there_is_none_before(
    records: Records, model: str
) -> None:
    assert records.head(model) is None
    first = _entry(model, [])
    records.append(first)
    assert records.head(model) == head_of(first)
    records.append(second := _entry(model, [first]))
    assert records.head(model) == head_of(second)
    assert read_record(records, model) == ([first, second], [])
    assert model in records.models()


def test_an_entry_that_does_not_continue_the_newest_finds_no_place(
    records: Records, model: str
) -> None:
    records.append(_entry(model, []))
    other = _entry(model, [], reason="of another record")
    with pytest.raises(Conflict):
        records.append(_entry(model, [other]))
    assert len(records.entries(model)) == 1


def test_models_have_records_of_their_own(records: Records, model: str) -> None:
    records.append(_entry(model, []))
    assert records.entries(f"{model}-other") == []


def test_a_place_is_taken_once(records: Records, model: str) -> None:
    first = _entry(model, [])
    records.append(first)
    with pytest.raises(Conflict):
        records.append(_entry(model, [], reason="mine"))
    assert records.entries(model) == [first]


def test_adding_the_same_entry_again_is_no_error(records: Records, model: str) -> None:
    entry = _entry(model, [])
    records.append(entry)
    records.append(entry)
    assert records.entries(model) == [entry]


def test_of_many_writers_at_once_one_gets_the_place(records: Records, model: str) -> None:
    rivals = [_entry(model, [], reason=f"writer {number}") for number in range(8)]

    def write(entry: Entry) -> bool:
        try:
            records.append(entry)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [e for e, wrote in zip(rivals, pool.map(write, rivals), strict=True) if wrote]
    assert records.entries(model) == won
    assert len(won) == 1


def test_an_end_that_was_cut_off_the_table_is_found(
    in_dynamodb: DynamoRecords, local_aws: LocalAws, model: str
) -> None:
    in_dynamodb.append(first := _entry(model, []))
    in_dynamodb.append(_entry(model, [first]))
    key = {"model": {"S": model}, "sequence": {"N": "2"}}
    local_aws.client("dynamodb").delete_item(TableName=TABLE, Key=key)
    assert read_record(in_dynamodb, model) == (
        [first],
        ["entries 2 to 2 are missing from its end"],
    )


def test_a_record_of_a_release_that_wrote_no_heads_is_continued(
    in_dynamodb: DynamoRecords, local_aws: LocalAws, model: str
) -> None:
    in_dynamodb.append(first := _entry(model, []))
    key = {"model": {"S": model}, "sequence": {"N": "0"}}
    local_aws.client("dynamodb").delete_item(TableName=TABLE, Key=key)
    assert read_record(in_dynamodb, model) == ([first], [])
    in_dynamodb.append(second := _entry(model, [first]))
    assert in_dynamodb.head(model) == head_of(second)


def test_an_entry_that_was_made_unreadable_is_named(
    in_dynamodb: DynamoRecords, local_aws: LocalAws, model: str
) -> None:
    in_dynamodb.append(_entry(model, []))
    local_aws.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"model": {"S": model}, "sequence": {"N": "1"}},
        UpdateExpression="SET entry = :text",
        ExpressionAttributeValues={":text": {"S": "{}"}},
    )
    with pytest.raises(Refused, match=f"Entry 1 of the record of '{model}' is unreadable"):
        in_dynamodb.entries(model)


def test_a_missing_table_is_named(local_aws: LocalAws, in_dynamodb: DynamoRecords) -> None:
    with pytest.raises(NotFound, match="no-such-table"):
        DynamoRecords(Aws(), "no-such-table").entries("fraud")
