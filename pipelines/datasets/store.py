"""Where datasets are kept: records and Parquet files in the data bucket.

A record is written last, under the next free version, and only if nobody else took it: what is not
recorded is not there. Files lie under an id of their build, so that two builds never meet.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from mlops.errors import Conflict, InputError, MlopsError, NotFound
from mlops.objects import Document, Documents
from pipelines.datasets.record import DataFile, DatasetRecord, Reference, Removal

RECORDS = "datasets/records/"
ROWS = "datasets/rows/"
_STAMP = "%Y%m%dt%H%M%S"
LOOKED_AT = 100
_ATTEMPTS = 20
_READERS = 8

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how many of its units are done, and how many there are."""


@dataclass(frozen=True)
class Draft:
    """A dataset that is built, and not published yet: its files are named by their keys."""

    record: DatasetRecord
    folder: Path


class DatasetStore:
    """The datasets of one environment; documents: the data bucket."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    # Reading

    def records(self, name: str | None = None) -> Iterator[DatasetRecord]:
        """Every version, also removed ones; by name, then by version."""
        prefix = f"{RECORDS}{name}/" if name else RECORDS
        yield from self._all(sorted(self._documents.keys(prefix), key=_place))

    def get(self, reference: Reference) -> DatasetRecord:
        """The version, or the newest that was not removed. Raises NotFound."""
        if reference.version is not None:
            return self._load(reference)[0]
        for version in reversed(self.versions(reference.name)):
            record, _ = self._load(Reference(reference.name, version))
            if record.removed is None:
                return record
        raise NotFound(f"There is no dataset '{reference}'. {_known(self.names())}")

    def names(self) -> list[str]:
        return sorted({_place(key)[0] for key in self._documents.keys(RECORDS)})

    def versions(self, name: str) -> list[int]:
        """Every number that was ever given, in order."""
        return sorted(_place(key)[1] for key in self._documents.keys(f"{RECORDS}{name}/"))

    def body(self, file: DataFile) -> bytes:
        """A file's bytes, whatever they are by now. Raises NotFound."""
        return self._documents.get(file.key).body

    def find(self, name: str, inputs: str) -> DatasetRecord | None:
        """The newest version that was made from these inputs, and still has its rows.

        Only the newest LOOKED_AT versions are looked at.
        """
        newest = reversed(self.versions(name)[-LOOKED_AT:])
        for record in self._all([_record_key(name, version) for version in newest]):
            if record.inputs_sha256 == inputs and record.removed is None:
                return record
        return None

    def _all(self, keys: Sequence[str]) -> Iterator[DatasetRecord]:
        """Records in the order of their keys, some read ahead."""
        for start in range(0, len(keys), _READERS):
            with ThreadPoolExecutor(_READERS) as pool:
                some = pool.map(self._documents.get, keys[start : start + _READERS])
                yield from map(self._read, some)

    def _load(self, reference: Reference) -> tuple[DatasetRecord, Document]:
        assert reference.version is not None
        try:
            document = self._documents.get(_record_key(reference.name, reference.version))
        except NotFound as exc:
            raise NotFound(
                f"There is no dataset '{reference}'. {_known(self._near(reference))}"
            ) from exc
        return self._read(document), document

    def _near(self, reference: Reference) -> list[str]:
        versions = self.versions(reference.name)
        return [f"{reference.name}@{version}" for version in versions] or self.names()

    @staticmethod
    def _read(document: Document) -> DatasetRecord:
        try:
            return DatasetRecord.model_validate_json(document.body)
        except ValidationError as exc:
            raise InputError(
                f"{document.key} is no record of a dataset that this version can read: "
                f"{exc.errors()[0]['msg']} ({exc.error_count()} in all)."
            ) from exc

    # Writing

    def publish(
        self, draft: Draft, *, force: bool = False, progress: Progress = lambda *_: None
    ) -> DatasetRecord:
        """Give a draft the next version; or, unless forced, find it there already."""
        if not force and (same := self._same(draft.record)):
            return same
        prefix = f"{ROWS}{draft.record.name}/{_new_id()}/"
        try:
            record = self._upload(draft, prefix, progress)
            return self._number(record, force=force)
        except BaseException as exc:
            self._discard(prefix, exc)
            raise

    def _upload(self, draft: Draft, prefix: str, progress: Progress) -> DatasetRecord:
        record = draft.record
        files = [*record.files, *record.entities.files]
        for done, file in enumerate(files):
            progress("upload", done, len(files))
            self._documents.put(prefix + file.key, (draft.folder / file.key).read_bytes())
        progress("upload", len(files), len(files))
        entities = record.entities.model_copy(
            update={"files": _placed(record.entities.files, prefix)}
        )
        return record.model_copy(
            update={"files": _placed(record.files, prefix), "entities": entities}
        )

    def _number(self, record: DatasetRecord, *, force: bool) -> DatasetRecord:
        """Write the record under a version that nobody has; whoever came first is looked at."""
        for _ in range(_ATTEMPTS):
            version = max(self.versions(record.name), default=0) + 1
            numbered = record.model_copy(update={"version": version})
            try:
                self._documents.create(
                    _record_key(record.name, version), numbered.model_dump_json(indent=1).encode()
                )
            except Conflict:
                if not force and (same := self._same(record)):
                    self._delete(record)
                    return same
                continue
            return numbered
        raise Conflict(
            f"Others keep adding versions of dataset '{record.name}'. Run the build again."
        )

    def _same(self, record: DatasetRecord) -> DatasetRecord | None:
        found = self.find(record.name, record.inputs_sha256)
        return found if found and found.sha256 == record.sha256 else None

    def restore(self, record: DatasetRecord, draft: Draft) -> None:
        """Put a dataset's files where its record says they are."""
        for file, built in zip(_all_files(record), _all_files(draft.record), strict=True):
            self._documents.put(file.key, (draft.folder / built.key).read_bytes())

    def remove(self, reference: Reference, removal: Removal) -> DatasetRecord:
        """Delete the rows; the record stays, so that no other dataset ever gets the version."""
        record, document = self._load(reference)
        if record.removed is None:
            record = record.model_copy(update={"removed": removal})
            body = record.model_dump_json(indent=1).encode()
            self._documents.put(document.key, body, etag=document.etag)
        self._delete(record)
        return record

    # What killed builds left

    def unfinished(self, before: datetime) -> list[str]:
        """Keys of files that no dataset has, of builds that began before a time."""
        kept = {
            file.key
            for record in self.records()
            if record.removed is None
            for file in _all_files(record)
        }
        keys = self._documents.keys(ROWS)
        return [key for key in keys if key not in kept and _began(key) < before]

    def sweep(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._documents.delete(key)

    def _delete(self, record: DatasetRecord) -> None:
        for file in _all_files(record):
            self._documents.delete(file.key)

    def _discard(self, prefix: str, error: BaseException) -> None:
        """Remove what a build uploaded; a failure to do so does not hide what came before it."""
        try:
            for key in list(self._documents.keys(prefix)):
                self._documents.delete(key)
        except MlopsError as exc:
            error.add_note(f"Besides, cleaning up failed: {exc}. Run 'mlops datasets sweep'.")


def _record_key(name: str, version: int) -> str:
    return f"{RECORDS}{name}/{version}.json"


def _place(key: str) -> tuple[str, int]:
    """('name', version) of a record's key."""
    name, _, file = key.removeprefix(RECORDS).partition("/")
    return name, int(file.removesuffix(".json"))


def _all_files(record: DatasetRecord) -> list[DataFile]:
    return [*record.files, *record.entities.files]


def _placed(files: Sequence[DataFile], prefix: str) -> tuple[DataFile, ...]:
    return tuple(file.model_copy(update={"key": prefix + file.key}) for file in files)


def _known(found: Sequence[str]) -> str:
    if not found:
        return "There are none yet: mlops datasets build --help"
    return f"There are {', '.join(found[:20])}{' and more' if len(found) > 20 else ''}."


def _new_id() -> str:
    """Bears the real time, whatever the platform's clock says: leftovers age by it."""
    return f"{time.strftime(_STAMP, time.gmtime())}_{uuid.uuid4().hex[:12]}"


def _began(key: str) -> datetime:
    """When a file's build began; what bears no such id is taken as new, and left alone."""
    build = key.removeprefix(ROWS).split("/")[1:2]
    try:
        return datetime.strptime(build[0][:15], _STAMP).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return datetime.max.replace(tzinfo=UTC)
