"""Documents in S3 with conditional writes: how processes agree without a database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import ClientError

from mlops.aws import Aws, error_code, translated
from mlops.errors import Conflict, NotFound


@dataclass(frozen=True)
class Document:
    """Bytes under a key, with the tag that a conditional write must present."""

    key: str
    body: bytes
    etag: str


class Documents(Protocol):
    """One bucket of documents."""

    def get(self, key: str) -> Document:
        """Raises NotFound."""

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        """Overwrite, only if the stored tag is still `etag` when one is given; raises Conflict."""

    def create(self, key: str, body: bytes) -> Document:
        """Write a key that must not exist yet; raises Conflict."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, in order."""

    def etags(self, prefix: str) -> dict[str, str]:
        """Every key under a prefix with its tag: one request says what changed since the last."""

    def copy(self, source: str, target: str) -> None:
        """The bytes of one key under another, overwritten. Raises NotFound."""

    def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""


class S3Documents:
    """Documents in one S3 bucket, by If-Match and If-None-Match."""

    def __init__(self, aws: Aws, bucket: str) -> None:
        self._s3 = aws.client("s3")
        self.bucket = bucket

    def get(self, key: str) -> Document:
        try:
            with translated(f"Reading s3://{self.bucket}/{key}"):
                answer = self._s3.get_object(Bucket=self.bucket, Key=key)
        except NotFound as exc:
            raise NotFound(f"s3://{self.bucket}/{key} does not exist") from exc
        return Document(key, answer["Body"].read(), answer["ETag"])

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        return self._put(key, body, {"IfMatch": etag} if etag else {})

    def create(self, key: str, body: bytes) -> Document:
        return self._put(key, body, {"IfNoneMatch": "*"})

    def _put(self, key: str, body: bytes, condition: dict[str, str]) -> Document:
        try:
            with translated(f"Writing s3://{self.bucket}/{key}"):
                answer = self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, **condition)
        except NotFound as exc:
            if (
                condition
                and isinstance(exc.__cause__, ClientError)
                and error_code(exc.__cause__) == "NoSuchKey"
            ):
                raise Conflict(f"s3://{self.bucket}/{key} was removed meanwhile") from exc
            raise
        return Document(key, body, answer["ETag"])

    def keys(self, prefix: str) -> Iterator[str]:
        for entry in self._entries(prefix):
            yield entry["Key"]

    def etags(self, prefix: str) -> dict[str, str]:
        return {entry["Key"]: entry["ETag"] for entry in self._entries(prefix)}

    def _entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        with translated(f"Listing s3://{self.bucket}/{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            for page in pages:
                yield from page.get("Contents", ())

    def copy(self, source: str, target: str) -> None:
        with translated(f"Copying s3://{self.bucket}/{source} to {target}"):
            self._s3.copy_object(
                Bucket=self.bucket,
                Key=target,
                CopySource={"Bucket": self.bucket, "Key": source},
            )

    def delete(self, key: str) -> None:
        with translated(f"Deleting s3://{self.bucket}/{key}"):
            self._s3.delete_object(Bucket=self.bucket, Key=key)


@dataclass
class MemoryDocuments:
    """A working fake with the same rules, for tests."""

    stored: dict[str, bytes] = field(default_factory=dict)

    def get(self, key: str) -> Document:
        if key not in self.stored:
            raise NotFound(f"{key} does not exist")
        return Document(key, self.stored[key], _tag(self.stored[key]))

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        if etag is not None and (key not in self.stored or _tag(self.stored[key]) != etag):
            raise Conflict(f"{key} changed meanwhile")
        self.stored[key] = body
        return self.get(key)

    def create(self, key: str, body: bytes) -> Document:
        if key in self.stored:
            raise Conflict(f"{key} exists already")
        return self.put(key, body)

    def keys(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.stored if key.startswith(prefix))

    def etags(self, prefix: str) -> dict[str, str]:
        return {key: _tag(self.stored[key]) for key in self.keys(prefix)}

    def copy(self, source: str, target: str) -> None:
        self.put(target, self.get(source).body)

    def delete(self, key: str) -> None:
        self.stored.pop(key, None)


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
