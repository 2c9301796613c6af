"""Who reads a shard, and how far it is read: one document per shard, changed conditionally.

A reader holds a shard as long as its changes of the document succeed. It changes the document at
least every few seconds, so that one that stands still belongs to nobody. Whoever takes a shard
changes the document, and the reader before fails at its next change, whatever it is about to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mlops.errors import Conflict, NotFound
from mlops.objects import Document, Documents
from pipelines.features.downsync.judging import Verdict
from pipelines.features.downsync.layout import shard_key, shards_prefix

UNKNOWN = "unknown"


class LeaseLost(Conflict):
    """Somebody else reads this shard now; what this reader had not committed, they will."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Publication(_Frozen):
    """A file that is committed: it is to appear under its final key, once."""

    staged: str
    final: str
    table: str | None = None
    """None for events that were set aside."""
    day: str
    rows: int


class ShardRecord(_Frozen):
    """All that is known of a shard. One conditional write of it is a commit."""

    version: Literal[1] = 1
    stream: str
    shard: str
    parents: tuple[str, ...] = ()
    owner: str | None = None
    beat: int = 0
    """Counts the changes."""
    checkpoint: str | None = None
    """The sequence number up to and with which every record is dealt with."""
    arrived: datetime | None = None
    """When the newest of these records arrived in the stream."""
    behind_ms: int | None = None
    """How far the stream was ahead at the last read."""
    is_drained: bool = False
    """The shard is closed, and read to its end."""
    memory: str | None = None
    """Key of what the reader remembers."""
    publications: tuple[Publication, ...] = ()
    """Files of the last commit, until all of them are where they belong."""
    counts: dict[str, dict[Verdict, int]] = {}
    """Events by what became of them, by table; UNKNOWN for what belongs to none."""
    written_at: datetime | None = None
    """By the reader's clock."""

    @property
    def is_settled(self) -> bool:
        """Nothing of it is left to do: read to its end, and every file where it belongs."""
        return self.is_drained and not self.publications


@dataclass
class Lease:
    """A shard that this process reads."""

    documents: Documents
    record: ShardRecord
    document: Document | None

    def write(self, **changes: Any) -> None:
        """Change the record. Raises LeaseLost when somebody else did meanwhile."""
        changed = self.record.model_copy(update={**changes, "beat": self.record.beat + 1})
        key, body = shard_key(changed.stream, changed.shard), _body(changed)
        try:
            if self.document is None:
                self.document = self.documents.create(key, body)
            else:
                self.document = self.documents.put(key, body, etag=self.document.etag)
        except Conflict as exc:
            raise LeaseLost(f"Shard {changed.shard} is read by somebody else now.") from exc
        self.record = changed


@dataclass
class ShardBook:
    """The shards' documents of one stream."""

    documents: Documents
    stream: str

    def read(self) -> dict[str, tuple[ShardRecord, Document]]:
        """Every shard that was ever read, by its name."""
        found = {}
        for key in self.documents.keys(shards_prefix(self.stream)):
            try:
                document = self.documents.get(key)
            except NotFound:
                continue
            record = ShardRecord.model_validate_json(document.body)
            found[record.shard] = record, document
        return found

    def take(
        self,
        shard: str,
        parents: tuple[str, ...],
        known: tuple[ShardRecord, Document] | None,
        *,
        owner: str,
    ) -> Lease:
        """Become the shard's reader. Raises LeaseLost when somebody else was quicker."""
        record = known[0] if known else ShardRecord(stream=self.stream, shard=shard)
        lease = Lease(self.documents, record, known[1] if known else None)
        lease.write(owner=owner, parents=parents)
        return lease


def add_counts(
    counts: Mapping[str, Mapping[Verdict, int]], more: Mapping[str, Mapping[Verdict, int]]
) -> dict[str, dict[Verdict, int]]:
    """The sum of both."""
    total = {table: dict(of_table) for table, of_table in counts.items()}
    for table, of_table in more.items():
        sums = total.setdefault(table, {})
        for verdict, number in of_table.items():
            sums[verdict] = sums.get(verdict, 0) + number
    return total


def _body(record: ShardRecord) -> bytes:
    return record.model_dump_json(indent=1, exclude_defaults=True).encode()
