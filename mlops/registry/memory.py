"""A registry and a record in memory: working fakes with the rules of the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from mlops.errors import Conflict
from mlops.registry.record import BEGINNING, Entry, Head, head_of
from mlops.registry.versions import ModelVersion, Pointer, Status, unknown_version


@dataclass
class MemoryRegistry:
    """Versions by model and number."""

    stored: dict[tuple[str, int], ModelVersion] = field(default_factory=dict)
    pointers: dict[str, Pointer] = field(default_factory=dict)
    """Which version is called the approved, where a test says so."""

    def add(self, version: ModelVersion) -> ModelVersion:
        """Register a version, as the workflow's last step does."""
        self.stored[version.model, version.version] = version
        return version

    def models(self) -> list[str]:
        return sorted({model for model, _ in self.stored})

    def versions(self, model: str, *, limit: int | None = None) -> list[ModelVersion]:
        numbers = sorted((n for name, n in self.stored if name == model), reverse=True)
        return [self.stored[model, number] for number in numbers[:limit]]

    def get(self, model: str, version: int) -> ModelVersion:
        if (model, version) not in self.stored:
            raise unknown_version(model, version)
        return self.stored[model, version]

    def pointer(self, model: str) -> Pointer | None:
        return self.pointers.get(model)

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        held = self.get(version.model, version.version)
        self.add(held.model_copy(update={"status": status, "note": note}))


@dataclass
class MemoryRecords:
    """Entries by model and sequence."""

    stored: dict[tuple[str, int], Entry] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def models(self) -> list[str]:
        return sorted({model for model, _ in self.stored} | set(self.heads))

    def entries(self, model: str) -> list[Entry]:
        return [entry for key, entry in sorted(self.stored.items()) if key[0] == model]

    def append(self, entry: Entry) -> None:
        head = self.heads.get(entry.model, Head(count=0, hash=BEGINNING))
        if head == head_of(entry):
            return
        if (head.count, head.hash) != (entry.sequence - 1, entry.previous_hash):
            raise Conflict(f"Entry {entry.sequence} of '{entry.model}' has no free place.")
        with self._lock:
            if self.stored.setdefault((entry.model, entry.sequence), entry) != entry:
                raise Conflict(f"Entry {entry.sequence} of '{entry.model}' exists already.")
            self.heads[entry.model] = head_of(entry)

    def head(self, model: str) -> Head | None:
        return self.heads.get(model)
