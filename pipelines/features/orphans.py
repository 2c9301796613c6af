"""Files of builds that were killed before the build log took them in: nobody reads them.

A build that still runs may have written files long ago. So the files of a generation stay as long
as something unlogged of it is young; and before anything is removed the log counts a sweep, so
that a build which began before cannot be logged any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mlops.aws import Aws, translated
from mlops.errors import Conflict
from mlops.objects import Documents
from mlops.stores.athena.staging import Storage
from pipelines.features.buildlog import BuildLog, load_log, save_log
from pipelines.features.catalog import table_folder

_BUILD = re.compile(r"generation=(?P<generation>[^/]+)/build=(?P<build>[^/]+)/")
_ATTEMPTS = 5


@dataclass(frozen=True)
class StoredFile:
    """An object below a table's folder."""

    key: str
    bytes: int
    modified: datetime
    """By the clock of S3, which no replay moves."""


@dataclass(frozen=True)
class Orphan:
    """A build that is in no log, with its files."""

    table: str
    generation: str
    build: str
    files: tuple[StoredFile, ...]

    @property
    def newest(self) -> datetime:
        return max(file.modified for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def find_orphans(log: BuildLog, files: Iterable[StoredFile], *, before: datetime) -> list[Orphan]:
    """The builds of which no log tells, and nothing of whose generation is as young as `before`.

    files: listed before the log was read.
    """
    logged = {(build.generation, build.id) for build in log.builds}
    by_build: dict[tuple[str, str], list[StoredFile]] = {}
    for file in files:
        found = _BUILD.match(file.key.removeprefix(table_folder(log.table)))
        if found and (found["generation"], found["build"]) not in logged:
            by_build.setdefault((found["generation"], found["build"]), []).append(file)
    unlogged = [Orphan(log.table, g, b, tuple(own)) for (g, b), own in sorted(by_build.items())]
    running = {orphan.generation for orphan in unlogged if orphan.newest >= before}
    return [orphan for orphan in unlogged if orphan.generation not in running]


class BuildFiles:
    """The files below the tables' folders of one data bucket."""

    def __init__(self, aws: Aws, bucket: str) -> None:
        self._storage = Storage(aws)
        self._bucket = bucket

    def list(self, table: str) -> Iterator[StoredFile]:
        place = f"{table_folder(table)}generation="
        with translated(f"Listing s3://{self._bucket}/{place}"):
            pages = self._storage.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=place
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield StoredFile(entry["Key"], int(entry["Size"]), entry["LastModified"])

    def remove(self, files: Iterable[StoredFile]) -> None:
        self._storage.delete(f"s3://{self._bucket}/{file.key}" for file in files)


def sweep_builds(
    table: str, documents: Documents, files: BuildFiles, *, before: datetime, dry_run: bool = False
) -> list[Orphan]:
    """Remove the orphans of a table, and say which they were.

    documents: the data bucket. Raises Conflict when the log keeps changing; then nothing is gone.
    """
    for _ in range(_ATTEMPTS):
        listed = list(files.list(table))
        log, document = load_log(documents, table)
        orphans = find_orphans(log, listed, before=before)
        if not orphans or dry_run:
            return orphans
        try:
            counted = log.model_copy(update={"sweeps": log.sweeps + 1})
            save_log(documents, counted, replacing=document)
        except Conflict:
            continue
        files.remove(file for orphan in orphans for file in orphan.files)
        return orphans
    raise Conflict(
        f"The build log of '{table}' keeps changing. Wait for the builds that run, then run "
        "'mlops features sweep' again."
    )
