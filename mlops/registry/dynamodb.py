"""The approval record in DynamoDB: one item per entry, written once, and one that counts them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from mlops.aws import Aws, translated
from mlops.errors import Conflict, Refused
from mlops.registry.record import Entry, Head, encode_entry

_MODEL, _SEQUENCE, _ENTRY, _COUNT, _HASH = "model", "sequence", "entry", "count", "hash"
_HEAD = "0"
"""The place of the head, before all entries."""


class DynamoRecords:
    """Entries under (model, sequence), as canonical JSON in the attribute 'entry'.

    An entry and the head at sequence 0 are put in one transaction: the entry on a free place, the
    head over the one that names the entry before. So the role needs no UpdateItem and no
    DeleteItem.
    """

    def __init__(self, aws: Aws, table: str) -> None:
        self._dynamodb = aws.client("dynamodb")
        self._table = table

    def models(self) -> list[str]:
        with translated(f"Listing the models of table {self._table}"):
            pages = self._dynamodb.get_paginator("scan").paginate(
                TableName=self._table,
                ProjectionExpression="#model",
                ExpressionAttributeNames={"#model": _MODEL},
                ConsistentRead=True,
            )
            return sorted({item[_MODEL]["S"] for page in pages for item in page["Items"]})

    def entries(self, model: str) -> list[Entry]:
        with translated(f"Reading the record of model '{model}' in table {self._table}"):
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="#model = :model AND #sequence > :head",
                ExpressionAttributeNames={"#model": _MODEL, "#sequence": _SEQUENCE},
                ExpressionAttributeValues={":model": {"S": model}, ":head": {"N": _HEAD}},
                ConsistentRead=True,
            )
            items = [item for page in pages for item in page["Items"]]
        return [self._read(item) for item in items]

    def head(self, model: str) -> Head | None:
        with translated(f"Reading the head of the record of model '{model}'"):
            answer = self._dynamodb.get_item(
                TableName=self._table,
                Key={_MODEL: {"S": model}, _SEQUENCE: {"N": _HEAD}},
                ConsistentRead=True,
            )
        item = answer.get("Item")
        return Head(count=int(item[_COUNT]["N"]), hash=item[_HASH]["S"]) if item else None

    def append(self, entry: Entry) -> None:
        try:
            with translated(f"Writing entry {entry.sequence} of the record of '{entry.model}'"):
                self._dynamodb.transact_write_items(
                    TransactItems=[{"Put": self._put_of(entry)}, {"Put": self._head_after(entry)}]
                )
        except Conflict:
            # A retry inside boto3 meets its own first try where only the answer was lost.
            if entry not in self.entries(entry.model):
                raise

    def _put_of(self, entry: Entry) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Item": {
                _MODEL: {"S": entry.model},
                _SEQUENCE: {"N": str(entry.sequence)},
                _ENTRY: {"S": encode_entry(entry)},
            },
            "ConditionExpression": "attribute_not_exists(#model)",
            "ExpressionAttributeNames": {"#model": _MODEL},
        }

    def _head_after(self, entry: Entry) -> dict[str, Any]:
        """Over the head of the entry before, or over none, as earlier releases wrote none."""
        return {
            "TableName": self._table,
            "Item": {
                _MODEL: {"S": entry.model},
                _SEQUENCE: {"N": _HEAD},
                _COUNT: {"N": str(entry.sequence)},
                _HASH: {"S": entry.hash},
            },
            "ConditionExpression": "attribute_not_exists(#model) OR #hash = :previous",
            "ExpressionAttributeNames": {"#model": _MODEL, "#hash": _HASH},
            "ExpressionAttributeValues": {":previous": {"S": entry.previous_hash}},
        }

    def _read(self, item: dict[str, Any]) -> Entry:
        try:
            return Entry.model_validate_json(item[_ENTRY]["S"])
        except (KeyError, ValidationError) as exc:
            raise Refused(
                f"Entry {item[_SEQUENCE]['N']} of the record of '{item[_MODEL]['S']}' is "
                f"unreadable: it was changed outside the platform. Restore table {self._table} "
                "from its point-in-time backup."
            ) from exc
