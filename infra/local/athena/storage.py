"""Athena's side of S3: listing what tables hold, writing results, checking that places are free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.local.athena.errors import QueryFailed

_UPLOADS = 8


@dataclass(frozen=True)
class StoredFile:
    """An object of S3; `tag` changes with its content."""

    uri: str
    size: int
    tag: str


def split_uri(uri: str) -> tuple[str, str]:
    """('bucket', 'key') of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def folder(uri: str) -> str:
    return uri.rstrip("/") + "/"


class Storage:
    """S3 through one client."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.missing: type[Exception] = s3.exceptions.NoSuchKey

    def files(self, location: str, *, start_after: str = "") -> Iterator[StoredFile]:
        """Everything under a location that is data: hidden (_x, .x) and empty objects are none."""
        bucket, prefix = split_uri(location)
        arguments = {"StartAfter": start_after} if start_after else {}
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, **arguments
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    if entry["Size"] and entry["Key"].rpartition("/")[2][:1] not in {"_", "."}:
                        yield StoredFile(
                            f"s3://{bucket}/{entry['Key']}", entry["Size"], entry["ETag"]
                        )
        except ClientError as exc:
            raise QueryFailed("HIVE_FILESYSTEM_ERROR", f"Listing {location} failed: {exc}") from exc

    def is_empty(self, location: str) -> bool:
        return next(self.files(folder(location)), None) is None

    def upload(self, folder_: Path, target: str) -> list[str]:
        """Copy every file below a local folder to a location; returns their addresses."""
        paths = sorted(path for path in folder_.rglob("*") if path.is_file())
        pairs = [(path, folder(target) + path.relative_to(folder_).as_posix()) for path in paths]
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(lambda pair: self.upload_file(*pair), pairs))
        return [uri for _, uri in pairs]

    def upload_file(self, path: Path, uri: str) -> None:
        bucket, key = split_uri(uri)
        self._s3.upload_file(str(path), bucket, key)

    def write(self, uri: str, body: bytes) -> None:
        bucket, key = split_uri(uri)
        self._s3.put_object(Bucket=bucket, Key=key, Body=body)

    def read(self, uri: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Bytes from `start` on; empty past the end."""
        bucket, key = split_uri(uri)
        end = "" if length is None else str(start + length - 1)
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end}")
        except ClientError as exc:
            if exc.response["Error"]["Code"] == "InvalidRange":
                return b""
            raise
        return bytes(answer["Body"].read())

    def delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            bucket, key = split_uri(uri)
            self._s3.delete_object(Bucket=bucket, Key=key)

    def has_bucket(self, uri: str) -> bool:
        try:
            self._s3.head_bucket(Bucket=split_uri(uri)[0])
        except ClientError:
            return False
        return True
