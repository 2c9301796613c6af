"""The approval record in files, where there is no DynamoDB: one of lines and one head per model.

Whoever may write the folder may also rewrite it, so let it be another's than the approvers', on a
disk that keeps snapshots; what was changed is found by the chain, what was cut off by the head.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from mlops.errors import Conflict, InputError, Refused, Unavailable
from mlops.registry.record import BEGINNING, Entry, Head, encode_entry, head_of

_LINES, _HEAD = ".jsonl", ".head.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class FileRecords:
    """Entries as lines of canonical JSON; safe between processes of one machine.

    An entry's line is written and synced before the head. A writer that dies between the two has
    written the entry; one that dies within a line has not, and the next one overwrites the rest.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def models(self) -> list[str]:
        found = {path.name.removesuffix(_LINES) for path in self._folder.glob(f"*{_LINES}")}
        heads = {path.name.removesuffix(_HEAD) for path in self._folder.glob(f"*{_HEAD}")}
        return sorted(found | heads)

    def entries(self, model: str) -> list[Entry]:
        with self._locked(model):
            return self._entries(model)

    def head(self, model: str) -> Head | None:
        with self._locked(model):
            return self._head(model, self._entries(model))

    def append(self, entry: Entry) -> None:
        with self._locked(entry.model):
            entries = self._entries(entry.model)
            if entry in entries:
                return
            head = self._head(entry.model, entries) or Head(count=0, hash=BEGINNING)
            if (head.count, head.hash) != (entry.sequence - 1, entry.previous_hash):
                raise Conflict(f"Entry {entry.sequence} of '{entry.model}' has no free place.")
            self._add_line(entry)
            self._write_head(entry)

    def _entries(self, model: str) -> list[Entry]:
        """Whole lines; what follows the last of them was never finished."""
        path = self._path(model, _LINES)
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [_read(line, number, path) for number, line in enumerate(lines, start=1)]

    def _head(self, model: str, entries: list[Entry]) -> Head | None:
        path = self._path(model, _HEAD)
        if not path.exists():
            return head_of(entries[0]) if len(entries) == 1 else None
        try:
            head = Head.model_validate_json(path.read_bytes())
        except ValidationError as exc:
            raise Refused(f"{path} is unreadable. Restore it from its backup.") from exc
        last = entries[-1] if len(entries) == head.count + 1 else None
        return head_of(last) if last and last.previous_hash == head.hash else head

    def _add_line(self, entry: Entry) -> None:
        path = self._path(entry.model, _LINES)
        with path.open("ab") as file:
            file.truncate(path.read_bytes().rfind(b"\n") + 1)
            file.write(encode_entry(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _write_head(self, entry: Entry) -> None:
        path = self._path(entry.model, _HEAD)
        aside = path.with_suffix(".new")
        with aside.open("w", encoding="utf-8") as file:
            file.write(head_of(entry).model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)

    def _path(self, model: str, kind: str) -> Path:
        if not _NAME.fullmatch(model):
            raise InputError(f"'{model}' is no name of a model: letters, digits, '-' and '_' are.")
        return self._folder / f"{model}{kind}"

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path(model, ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise Unavailable(f"The record in {self._folder} cannot be used: {exc}") from exc


def _read(line: bytes, number: int, path: Path) -> Entry:
    try:
        return Entry.model_validate_json(line)
    except ValidationError as exc:
        raise Refused(
            f"Line {number} of {path} is unreadable: it was changed outside the platform. "
            "Restore the file from its backup."
        ) from exc
