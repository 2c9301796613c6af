"""The record of API calls: who asked for which operation, for checks of least privilege."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from infra.local.operations import Call
from infra.local.service import Caller

MAX_BYTES = 32 * 1024 * 1024
"""When the file is this big it becomes `calls.jsonl.1`, in place of the one before."""


class CallRecord:
    """An append-only JSON-lines file of bounded size."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def add(self, call: Call, caller: Caller) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "service": call.service,
            "operation": call.operation,
            "caller": caller.arn,
        }
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            if self._file.tell() > self._max_bytes:
                self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._file = self._path.open("a", buffering=1, encoding="utf-8")

    def close(self) -> None:
        with self._lock:
            self._file.close()
