"""A run that changes nothing: what it would write stays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops.errors import Conflict, NotFound
from mlops.objects import Document, Documents, MemoryDocuments


@dataclass
class Overlay:
    """Documents that are read through, and changed in memory only."""

    below: Documents
    changed: MemoryDocuments = field(default_factory=MemoryDocuments)
    deleted: set[str] = field(default_factory=set)

    def get(self, key: str) -> Document:
        if key in self.changed.stored:
            return self.changed.get(key)
        if key in self.deleted:
            raise NotFound(f"{key} does not exist")
        return self.below.get(key)

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        if etag is not None and self.get(key).etag != etag:
            raise Conflict(f"{key} changed meanwhile")
        self.deleted.discard(key)
        return self.changed.put(key, body)

    def create(self, key: str, body: bytes) -> Document:
        if key in self.keys(key):
            raise Conflict(f"{key} exists already")
        return self.put(key, body)

    def keys(self, prefix: str) -> Iterator[str]:
        below = set(self.below.keys(prefix)) - self.deleted
        yield from sorted(below | set(self.changed.keys(prefix)))

    def etags(self, prefix: str) -> dict[str, str]:
        return {key: self.get(key).etag for key in self.keys(prefix)}

    def copy(self, source: str, target: str) -> None:
        self.put(target, self.get(source).body)

    def delete(self, key: str) -> None:
        self.changed.delete(key)
        self.deleted.add(key)
