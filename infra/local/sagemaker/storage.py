"""What a job loads from S3 before it runs and stores there after; as the job's role."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

_PARALLEL = 4
_REFUSALS = (ClientError, BotoCoreError, Boto3Error)
_Item = TypeVar("_Item")


class StorageError(Exception):
    """S3 refused; the message is what the job's FailureReason says."""


class Storage:
    """S3 with one identity."""

    def __init__(self, client: Any) -> None:
        self._s3 = client

    def exists(self, uri: str) -> bool:
        """Whether any object lies under the address."""
        bucket, prefix = split_uri(uri)
        try:
            answer = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except ClientError:
            return False
        return bool(answer.get("KeyCount"))

    def download(self, uri: str, folder: Path) -> int:
        """Load every object under the address; how many there were. Raises StorageError."""
        bucket, prefix = split_uri(uri)
        try:
            keys = self._keys(bucket, prefix)
            if not keys:
                raise StorageError(f'No S3 objects found under S3 URL "{uri}"')
            targets = {key: _inside(folder, relative_name(key, prefix)) for key in keys}
            _in_parallel(lambda k: self._s3.download_file(bucket, k, str(targets[k])), keys)
        except (*_REFUSALS, OSError) as exc:
            raise StorageError(f'Failed to download "{uri}": {exc}') from exc
        return len(keys)

    def upload(self, folder: Path, uri: str) -> int:
        """Store every file of a folder under the address; how many there were."""
        bucket, prefix = split_uri(uri)
        keys = {
            path: "/".join(filter(None, [prefix.rstrip("/"), path.relative_to(folder).as_posix()]))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        try:
            _in_parallel(lambda path: self._s3.upload_file(str(path), bucket, keys[path]), keys)
        except (*_REFUSALS, OSError) as exc:
            raise StorageError(f'Failed to upload to "{uri}": {exc}') from exc
        return len(keys)

    def upload_archive(self, folder: Path, uri: str, *, scratch: Path) -> None:
        """Store a folder's content as one tar.gz."""
        archive = scratch / Path(uri).name
        with tarfile.open(archive, "w:gz") as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, arcname=path.name)
        bucket, key = split_uri(uri)
        try:
            self._s3.upload_file(str(archive), bucket, key)
        except _REFUSALS as exc:
            raise StorageError(f'Failed to upload to "{uri}": {exc}') from exc
        finally:
            archive.unlink(missing_ok=True)

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        entries: Iterable[Mapping[str, Any]] = (e for p in pages for e in p.get("Contents", ()))
        return [entry["Key"] for entry in entries if not entry["Key"].endswith("/")]


def split_uri(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def relative_name(key: str, prefix: str) -> str:
    """Where SageMaker puts an object of an S3Prefix source, below the source's folder.

    A prefix that is an object gives its file name; one that ends inside a name gives the whole
    of that name.
    """
    rest = key.removeprefix(prefix)
    if prefix and rest and (prefix.endswith("/") or rest.startswith("/")):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _inside(folder: Path, name: str) -> Path:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise StorageError(f"The object name '{name}' leads out of its folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _in_parallel(work: Callable[[_Item], object], items: Iterable[_Item]) -> None:
    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(work, items))
