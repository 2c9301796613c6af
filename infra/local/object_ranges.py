"""Range reads of S3 objects from disk: MiniStack reads the whole object for each of them.

A query engine asks for a few kilobytes of a file of a hundred megabytes, many times over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ranged: ContextVar[bool] = ContextVar("_ranged", default=False)


@dataclass(frozen=True)
class _Stored:
    """An object's bytes on disk, of which only the asked slice is read."""

    path: Path

    def __getitem__(self, part: slice) -> bytes:
        start = part.start or 0
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(-1 if part.stop is None else part.stop - start)


def install() -> None:
    from ministack.services import s3

    s3._get_object = _marking(s3._get_object)
    s3._read_body = _slicing(s3._read_body, s3._object_disk_path)


def _marking(get_object: Callable[..., Any]) -> Callable[..., Any]:
    def marked(bucket: str, key: str, headers: Mapping[str, str], query: Any = None) -> Any:
        token = _ranged.set(bool(headers.get("range")))
        try:
            return get_object(bucket, key, headers, query)
        finally:
            _ranged.reset(token)

    return marked


def _slicing(
    read_body: Callable[..., bytes], disk_path: Callable[[str, str], str | None]
) -> Callable[..., bytes | _Stored]:
    def sliced(bucket: str, key: str, record: Mapping[str, Any]) -> bytes | _Stored:
        path = disk_path(bucket, key) if _ranged.get() and record.get("body") is None else None
        return read_body(bucket, key, record) if path is None else _Stored(Path(path))

    return sliced
