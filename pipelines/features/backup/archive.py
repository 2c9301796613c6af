"""A backup in S3: written file by file with checksums, and read back only if they all hold."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from mlops.aws import Aws, translated
from mlops.errors import Conflict, InputError, NotFound, Refused
from mlops.objects import Documents
from pipelines.features.backup.keys import SCHEMA, ProjectKeys

PREFIX = "backups/online/"
_FILE_BYTES = 64 << 20
_BATCH = 2_000
_REGISTRY = "feast/"
_NOT_KEPT = "feast/upsync/"
"""Of the registry's folder: runs and leases, which belong to the moment."""

Told = Callable[[int], None]
"""Called with how many keys are done."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SavedFile(_Frozen):
    """An object of the backup, by its name in the backup's folder."""

    name: str
    bytes: int
    sha256: str
    keys: int = 0


class SavedDocument(_Frozen):
    """A document of the registry: where it belongs, and the object that holds it."""

    key: str
    file: SavedFile


class Manifest(_Frozen):
    """What a backup holds."""

    version: Literal[1] = 1
    id: str
    project: str
    created: datetime
    created_by: str
    files: tuple[SavedFile, ...]
    documents: tuple[SavedDocument, ...]

    @property
    def keys(self) -> int:
        return sum(file.keys for file in self.files)

    @property
    def bytes(self) -> int:
        files = [*self.files, *(document.file for document in self.documents)]
        return sum(file.bytes for file in files)


@dataclass(frozen=True)
class Archive:
    """The backups of one environment, in the data bucket."""

    aws: Aws
    data: Documents
    bucket: str

    def save(
        self,
        keys: ProjectKeys,
        registry: Documents,
        *,
        id_: str,
        now: datetime,
        by: str,
        told: Told = lambda _: None,
    ) -> Manifest:
        """Write a backup; one that is interrupted has no manifest. Raises Conflict for a taken id.

        Each key is taken in one step; keys that are written meanwhile are in it or not.
        """
        if self._has(id_):
            raise Conflict(f"There is a backup '{id_}' already. Choose another --name.")
        documents = tuple(self._save_documents(registry, id_))
        manifest = Manifest(
            id=id_,
            project=keys.project,
            created=now,
            created_by=by,
            files=tuple(self._save_keys(keys.take(), id_, told)),
            documents=documents,
        )
        self.data.create(_manifest_key(id_), manifest.model_dump_json(indent=1).encode())
        return manifest

    def manifests(self) -> list[Manifest]:
        """Every backup that is whole, the newest first."""
        keys = [key for key in self.data.keys(PREFIX) if key.endswith("/manifest.json")]
        found = [Manifest.model_validate_json(self.data.get(key).body) for key in keys]
        return sorted(found, key=lambda manifest: manifest.created, reverse=True)

    def manifest(self, id_: str) -> Manifest:
        """A backup by its id, or the 'latest'. Raises NotFound."""
        if id_ == "latest":
            if newest := self.manifests():
                return newest[0]
            raise NotFound("There is no backup yet. Make one: 'mlops features backup'.")
        try:
            return Manifest.model_validate_json(self.data.get(_manifest_key(id_)).body)
        except NotFound as exc:
            raise NotFound(
                f"There is no backup '{id_}'. 'mlops features backups' lists what there is."
            ) from exc

    def check(self, manifest: Manifest) -> None:
        """Read everything once. Raises Refused naming the files whose checksums do not hold."""
        files = [*manifest.files, *(document.file for document in manifest.documents)]
        wrong = [file.name for file in files if self._sha256(manifest, file) != file.sha256]
        if wrong:
            raise Refused(
                f"Backup '{manifest.id}' is damaged: {', '.join(wrong)}. Nothing was restored. "
                "Take another one ('mlops features backups'), or an earlier version of its objects."
            )

    def restore_keys(
        self, manifest: Manifest, keys: ProjectKeys, told: Told = lambda _: None
    ) -> int:
        """Put every key back; how many. Doing it again changes nothing."""
        done = 0
        for file in manifest.files:
            with self._local(manifest, file) as path, pq.ParquetFile(path) as opened:
                for batch in opened.iter_batches(batch_size=_BATCH):
                    done += keys.put(batch)
                    told(done)
        return done

    def restore_documents(self, manifest: Manifest, registry: Documents) -> int:
        """Put the registry's documents back; how many differed."""
        changed = 0
        for document in manifest.documents:
            body = self.data.get(_folder(manifest.id) + document.file.name).body
            if body != _current(registry, document.key):
                registry.put(document.key, body)
                changed += 1
        return changed

    def differing(self, manifest: Manifest, registry: Documents) -> list[str]:
        """Documents of the registry that are there and are not what the backup holds."""
        found = []
        for document in manifest.documents:
            body = _current(registry, document.key)
            if body is not None and hashlib.sha256(body).hexdigest() != document.file.sha256:
                found.append(document.key)
        return found

    def _has(self, id_: str) -> bool:
        return next(iter(self.data.keys(_folder(id_))), None) is not None

    def _save_documents(self, registry: Documents, id_: str) -> Iterator[SavedDocument]:
        for key in registry.keys(_REGISTRY):
            if key.startswith(_NOT_KEPT) and not key.endswith("/position.json"):
                continue
            body, name = registry.get(key).body, f"documents/{key}"
            self.data.put(_folder(id_) + name, body)
            file = SavedFile(name=name, bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
            yield SavedDocument(key=key, file=file)

    def _save_keys(
        self, batches: Iterable[pa.RecordBatch], id_: str, told: Told
    ) -> Iterator[SavedFile]:
        """Files of some size; one at a time is on this machine's disk."""
        writer = _FileWriter()
        done = number = 0
        for batch in batches:
            writer.write(batch)
            done += batch.num_rows
            told(done)
            if writer.bytes >= _FILE_BYTES:
                yield self._upload(writer, id_, number)
                writer, number = _FileWriter(), number + 1
        if writer.rows:
            yield self._upload(writer, id_, number)

    def _upload(self, writer: _FileWriter, id_: str, number: int) -> SavedFile:
        path = writer.close()
        try:
            name = f"keys-{number:05d}.parquet"
            file = SavedFile(
                name=name, bytes=path.stat().st_size, sha256=_sha256_of(path), keys=writer.rows
            )
            key = _folder(id_) + name
            with translated(f"Writing s3://{self.bucket}/{key}"):
                self.aws.client("s3").upload_file(str(path), self.bucket, key)
            return file
        finally:
            path.unlink()

    def _sha256(self, manifest: Manifest, file: SavedFile) -> str | None:
        key = _folder(manifest.id) + file.name
        try:
            with translated(f"Reading s3://{self.bucket}/{key}"):
                body = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"]
                digest = hashlib.sha256()
                for chunk in body.iter_chunks(1 << 20):
                    digest.update(chunk)
        except NotFound:
            return None
        return digest.hexdigest()

    def _local(self, manifest: Manifest, file: SavedFile) -> Any:
        """A file of the backup, on this machine as long as the block lasts."""
        return _Downloaded(self.aws, self.bucket, _folder(manifest.id) + file.name)


class _FileWriter:
    """A Parquet file on this machine's disk."""

    def __init__(self) -> None:
        with tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as file:
            self._path = Path(file.name)
        self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        self.rows = 0

    @property
    def bytes(self) -> int:
        return self._path.stat().st_size

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def close(self) -> Path:
        self._writer.close()
        return self._path


class _Downloaded:
    def __init__(self, aws: Aws, bucket: str, key: str) -> None:
        self._aws, self._bucket, self._key = aws, bucket, key
        self._path: Path | None = None

    def __enter__(self) -> Path:
        with tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as file:
            self._path = Path(file.name)
        with translated(f"Reading s3://{self._bucket}/{self._key}"):
            self._aws.client("s3").download_file(self._bucket, self._key, str(self._path))
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._path.unlink()


def checked_id(name: str) -> str:
    """Raises InputError for what cannot name a folder."""
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise InputError(f"'{name}' cannot name a backup: letters, digits, '-', '_' and '.' can.")
    return name


def _current(registry: Documents, key: str) -> bytes | None:
    try:
        return registry.get(key).body
    except NotFound:
        return None


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _folder(id_: str) -> str:
    return f"{PREFIX}{id_}/"


def _manifest_key(id_: str) -> str:
    return f"{_folder(id_)}manifest.json"
