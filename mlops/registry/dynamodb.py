"""The approval record in DynamoDB: one item per entry, written once."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from mlops.aws import Aws, translated
from mlops.errors import Conflict, Refused
from mlops.registry.record import Entry, encode_entry

_MODEL, _SEQUENCE, _ENTRY = "model", "sequence", "entry"


class DynamoRecords:
    """Entries under (model, sequence), as canonical JSON in the attribute 'entry'.

    Only PutItem on a free place and Query are used, so that the role needs no UpdateItem and
    no DeleteItem.
    """

    def __init__(self, aws: Aws, table: str) -> None:
        self._dynamodb = aws.client("dynamodb")
        self._table = table

    def entries(self, model: str) -> list[Entry]:
        with translated(f"Reading the record of model '{model}' in table {self._table}"):
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="#model = :model",
                ExpressionAttributeNames={"#model": _MODEL},
                ExpressionAttributeValues={":model": {"S": model}},
                ConsistentRead=True,
            )
            items = [item for page in pages for item in page["Items"]]
        return [self._read(item) for item in items]

    def append(self, entry: Entry) -> None:
        item = {
            _MODEL: {"S": entry.model},
            _SEQUENCE: {"N": str(entry.sequence)},
            _ENTRY: {"S": encode_entry(entry)},
        }
        try:
            with translated(f"Writing entry {entry.sequence} of the record of '{entry.model}'"):
                self._dynamodb.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(#model)",
                    ExpressionAttributeNames={"#model": _MODEL},
                )
        except Conflict:
            # A retry inside boto3 meets its own first try where only the answer was lost.
            if entry not in self.entries(entry.model):
                raise

    def _read(self, item: dict[str, Any]) -> Entry:
        try:
            return Entry.model_validate_json(item[_ENTRY]["S"])
        except (KeyError, ValidationError) as exc:
            raise Refused(
                f"Entry {item[_SEQUENCE]['N']} of the record of '{item[_MODEL]['S']}' is "
                f"unreadable: it was changed outside the platform. Restore table {self._table} "
                "from its point-in-time backup."
            ) from exc
