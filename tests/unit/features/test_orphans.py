"""What killed builds left is removed; what is read, or may still be logged, stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from mlops.errors import Conflict
from pipelines.features.buildlog import BuildLog, load_log, log_key, save_log
from pipelines.features.orphans import BuildFiles, StoredFile, find_orphans, sweep_builds
from tests.feature_builds import RacedDocuments
from tests.unit.features.test_buildlog import build

NOW = datetime(2025, 6, 2, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=24)
LOG = BuildLog(table="t").with_builds([build(0, 9)])
KNOWN = LOG.builds[0].id


def file(build: str, *, generation: str = "g0001", hours: float = 48, day: int = 1) -> StoredFile:
    key = f"features/t/generation={generation}/build={build}/day=2025-01-0{day}/part"
    return StoredFile(key, 10, NOW - timedelta(hours=hours))


def left(*files: StoredFile) -> list[str]:
    return [orphan.build for orphan in find_orphans(LOG, files, before=BEFORE)]


def test_what_no_log_tells_of_is_an_orphan() -> None:
    assert left(file(KNOWN), file("killed"), file("killed", day=2)) == ["killed"]


def test_a_build_is_its_generation_s_and_no_other_s() -> None:
    assert left(file(KNOWN, generation="g0007")) == [KNOWN]


def test_what_is_young_may_still_be_logged() -> None:
    assert left(file("young", hours=23)) == []


def test_old_files_stay_while_something_of_their_generation_is_young() -> None:
    running = [file("first", hours=48), file("second", hours=1)]
    assert left(*running, file("other", generation="g0002")) == ["other"]


def test_what_is_no_build_s_is_left_alone() -> None:
    others = ["builds.json", "generation=g0001/part", "elsewhere/build=a/part"]
    assert left(*(StoredFile(f"features/t/{name}", 1, NOW - timedelta(9)) for name in others)) == []


@dataclass
class MemoryFiles(BuildFiles):
    """Files as a list."""

    stored: list[StoredFile] = field(default_factory=list)

    def list(self, table: str) -> Iterator[StoredFile]:
        yield from self.stored

    def remove(self, files: Iterable[StoredFile]) -> None:
        gone = {one.key for one in files}
        self.stored = [one for one in self.stored if one.key not in gone]


@pytest.fixture
def documents() -> RacedDocuments:
    documents = RacedDocuments()
    save_log(documents, LOG, replacing=None)
    return documents


def test_a_sweep_removes_orphans_and_tells_them(documents: RacedDocuments) -> None:
    files = MemoryFiles([file(KNOWN), file("killed")])
    [orphan] = sweep_builds("t", documents, files, before=BEFORE)
    assert (orphan.build, orphan.bytes) == ("killed", 10)
    assert files.stored == [file(KNOWN)]
    assert sweep_builds("t", documents, files, before=BEFORE) == []


def test_a_dry_run_removes_nothing(documents: RacedDocuments) -> None:
    files, before = MemoryFiles([file("killed")]), dict(documents.stored)
    assert len(sweep_builds("t", documents, files, before=BEFORE, dry_run=True)) == 1
    assert (files.stored, documents.stored) == ([file("killed")], before)


def test_a_build_that_began_before_a_sweep_is_not_logged_after_it(
    documents: RacedDocuments,
) -> None:
    log, document = load_log(documents, "t")
    sweep_builds("t", documents, MemoryFiles([file("slow")]), before=BEFORE)
    with pytest.raises(Conflict):
        save_log(documents, log.with_builds([build(10, 12)]), replacing=document)


def test_a_build_that_is_logged_meanwhile_keeps_its_files(documents: RacedDocuments) -> None:
    logged = LOG.with_builds([build(10, 12)])
    documents.instead[log_key("t")] = logged.model_dump_json().encode()
    files = MemoryFiles([file(logged.builds[-1].id)])
    assert sweep_builds("t", documents, files, before=BEFORE) == []
    assert len(files.stored) == 1
    assert load_log(documents, "t")[0] == logged


def test_where_nothing_is_left_the_log_stays_as_it_is(documents: RacedDocuments) -> None:
    before = dict(documents.stored)
    sweep_builds("t", documents, MemoryFiles([file(KNOWN)]), before=BEFORE)
    assert documents.stored == before
