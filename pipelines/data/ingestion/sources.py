"""Where files are handed over: a folder, a prefix of a bucket, or one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError

from mlops.aws import Aws, translated
from mlops.errors import Conflict, InputError, NotFound, Refused, Unavailable

_CHUNK = 1 << 20
_DOWNLOADS = 3
_ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}


@dataclass(frozen=True)
class SourceFile:
    """A file as it was listed."""

    path: str
    """Below the source, with '/'."""
    uri: str
    size: int
    etag: str = ""
    """S3's; '' where only reading tells whether a file changed."""
    archived: bool = False

    @property
    def folder(self) -> str:
        """'' at the top."""
        return self.path.rpartition("/")[0]


class Source(Protocol):
    """Files below one place."""

    @property
    def uri(self) -> str:
        """Of the place; it ends with '/'."""

    def files(self) -> Iterator[SourceFile]:
        """Every file, hidden ones included, in any order."""

    def opened(self, file: SourceFile, scratch: Path) -> AbstractContextManager[Path]:
        """A context with the local path of the file's content, as it was listed.

        scratch: a folder for a copy. Raises NotFound when the file is gone, Conflict when it
        changed since it was listed, until the context is left.
        """


class LocalSource:
    """A folder, or one file of it."""

    def __init__(self, path: Path) -> None:
        self._only = None if path.is_dir() else path.name
        self._root = (path if path.is_dir() else path.parent).resolve()

    @property
    def uri(self) -> str:
        return f"file://{self._root.as_posix().rstrip('/')}/"

    def files(self) -> Iterator[SourceFile]:
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = Path(folder) / name
                relative = path.relative_to(self._root).as_posix()
                if self._only in (None, relative) and path.is_file():
                    yield SourceFile(relative, f"{self.uri}{relative}", path.stat().st_size)
            if self._only is not None:
                return

    @contextmanager
    def opened(self, file: SourceFile, scratch: Path) -> Iterator[Path]:
        path = self._root / file.path
        before = _stamp(path)
        yield path
        if _stamp(path) != before:
            raise Conflict(f"{file.uri} changed while it was read. Run it again.")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError as exc:
        raise NotFound(f"{path} is there no longer. Run it again if it was moved.") from exc
    return found.st_size, found.st_mtime_ns, found.st_ino


class S3Source:
    """Everything below a prefix of a bucket, or one object."""

    def __init__(self, aws: Aws, bucket: str, key: str) -> None:
        """key: a prefix with or without '/' at its end, or an object's."""
        self._s3 = aws.client("s3")
        self._bucket = bucket
        self._is_folder = not key or key.endswith("/") or self._holds(f"{key}/")
        self._prefix = f"{key.rstrip('/')}/" if key and self._is_folder else key
        self._folder = self._prefix[: self._prefix.rfind("/") + 1]

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._folder}"

    def files(self) -> Iterator[SourceFile]:
        for entry in self._entries(self._prefix):
            if self._is_folder or entry["Key"] == self._prefix:
                yield self._file(entry)

    def _holds(self, prefix: str) -> bool:
        return next(self._entries(prefix, limit=1), None) is not None

    def _entries(self, prefix: str, limit: int | None = None) -> Iterator[dict[str, Any]]:
        with translated(f"Listing s3://{self._bucket}/{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, PaginationConfig={"MaxItems": limit}
            )
            for page in pages:
                yield from page.get("Contents", ())

    def _file(self, entry: dict[str, Any]) -> SourceFile:
        return SourceFile(
            path=entry["Key"].removeprefix(self._folder),
            uri=f"s3://{self._bucket}/{entry['Key']}",
            size=entry["Size"],
            etag=entry["ETag"],
            archived=entry.get("StorageClass") in _ARCHIVED,
        )

    @contextmanager
    def opened(self, file: SourceFile, scratch: Path) -> Iterator[Path]:
        if file.archived:
            raise Refused(f"{file.uri} is archived. Restore it from Glacier, then run it again.")
        # With its suffix, which tells a format where the first bytes do not.
        path = scratch / f"download{''.join(Path(file.path).suffixes[-2:])}"
        try:
            self._download(file, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _download(self, file: SourceFile, path: Path) -> None:
        """A connection that breaks off in the middle is tried again."""
        for left in reversed(range(_DOWNLOADS)):
            try:
                self._copy(file, path)
            except Unavailable as exc:
                if not left or not isinstance(exc.__cause__, BotoCoreError):
                    raise
            except Conflict as exc:
                raise Conflict(f"{file.uri} changed since it was listed. Run it again.") from exc
            except NotFound as exc:
                raise NotFound(f"{file.uri} is there no longer.") from exc
            else:
                return

    def _copy(self, file: SourceFile, path: Path) -> None:
        key = file.uri.removeprefix(f"s3://{self._bucket}/")
        with translated(f"Reading {file.uri}"):
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, IfMatch=file.etag)
            with path.open("wb") as out:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    out.write(chunk)


def open_source(address: str, aws: Aws) -> Source:
    """Raises InputError for an address that is neither in S3 nor on this machine."""
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if not bucket:
            raise InputError(f"'{address}' names no bucket. Write it as s3://bucket/prefix/.")
        return S3Source(aws, bucket, key)
    path = Path(address)
    if not path.exists():
        raise InputError(f"There is no file or folder {address}. Check the path.")
    return LocalSource(path)
