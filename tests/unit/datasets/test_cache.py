"""The cache gives bytes that match their checksum, stays within its bound, and can be shared."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from mlops.errors import Refused, SettingsError
from pipelines.datasets.cache import FileCache
from pipelines.datasets.files import disk_errors


class Bucket:
    """Counts what is fetched."""

    def __init__(self) -> None:
        self.fetched: list[bytes] = []

    def read(self, cache: FileCache, body: bytes, *, found: bytes | None = None) -> bytes:
        def fetch() -> bytes:
            self.fetched.append(body)
            return body if found is None else found

        sha256 = hashlib.sha256(body).hexdigest()
        with cache.open(sha256, fetch, label="part-00000 of 'd@1'") as file:
            return file.read()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def sizes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_file_is_fetched_once(tmp_path: Path, bucket: Bucket) -> None:
    cache = FileCache(tmp_path / "new" / "folder", 100)
    assert [bucket.read(cache, b"one"), bucket.read(cache, b"one")] == [b"one", b"one"]
    assert bucket.fetched == [b"one"]


def test_a_file_that_was_changed_here_is_fetched_again(tmp_path: Path, bucket: Bucket) -> None:
    cache = FileCache(tmp_path, 100)
    bucket.read(cache, b"one")
    next(tmp_path.iterdir()).write_bytes(b"other")
    assert bucket.read(cache, b"one") == b"one"
    assert bucket.fetched == [b"one", b"one"]


def test_a_fetched_file_with_another_checksum_is_refused_and_not_kept(
    tmp_path: Path, bucket: Bucket
) -> None:
    with pytest.raises(Refused, match=r"part-00000 of 'd@1' has sha256 .* rebuild --restore"):
        bucket.read(FileCache(tmp_path, 100), b"one", found=b"changed")
    assert not list(tmp_path.iterdir())


def test_the_least_recently_used_files_go_first(tmp_path: Path, bucket: Bucket) -> None:
    cache = FileCache(tmp_path, 8)
    for body in (b"aaaa", b"bbbb"):
        bucket.read(cache, body)
        _age(tmp_path)
    bucket.read(cache, b"aaaa")
    bucket.read(cache, b"cccc")
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"aaaa", b"cccc"]


def _age(folder: Path) -> None:
    """Older than what follows, on file systems with coarse times too."""
    for path in folder.iterdir():
        moment = path.stat().st_mtime - 60
        os.utime(path, (moment, moment))


def test_a_file_larger_than_the_bound_is_read_and_not_kept(tmp_path: Path, bucket: Bucket) -> None:
    cache = FileCache(tmp_path, 3)
    assert bucket.read(cache, b"large") == b"large"
    assert sizes(tmp_path) == 0


def test_a_file_stays_readable_while_another_process_removes_it(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    with cache.open(hashlib.sha256(b"one").hexdigest(), lambda: b"one", label="f") as file:
        for path in tmp_path.iterdir():
            path.unlink()
        assert file.read() == b"one"


def test_readers_that_share_a_folder_get_what_they_asked_for_within_the_bound(
    tmp_path: Path,
) -> None:
    bodies = [bytes([65 + n]) * 100 for n in range(8)]

    def read(seed: int) -> bool:
        cache, random = FileCache(tmp_path, 350), Random(seed)
        wanted = [random.choice(bodies) for _ in range(100)]
        return all(Bucket().read(cache, body) == body for body in wanted)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(4)))
    assert Bucket().read(FileCache(tmp_path, 350), bodies[0]) == bodies[0]
    assert sizes(tmp_path) <= 350


def test_what_a_killed_process_left_half_written_goes_after_a_day(
    tmp_path: Path, bucket: Bucket
) -> None:
    old, new = tmp_path / ".old", tmp_path / ".new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    bucket.read(FileCache(tmp_path, 100), b"one")
    assert (old.exists(), new.exists()) == (False, True)


def test_what_was_just_written_need_not_be_fetched(tmp_path: Path, bucket: Bucket) -> None:
    path, cache = tmp_path / "part", FileCache(tmp_path / "cache", 100)
    path.write_bytes(b"one")
    cache.adopt(hashlib.sha256(b"one").hexdigest(), path)
    assert bucket.read(cache, b"one") == b"one"
    assert not bucket.fetched


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A place where no folder can be."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    return path / "cache"


def test_a_folder_that_cannot_be_written_is_named_with_its_setting(
    closed: Path, bucket: Bucket
) -> None:
    with pytest.raises(SettingsError, match=r"cache: it cannot be written .* set MLOPS_CACHE_DIR"):
        bucket.read(FileCache(closed, 100), b"one")


@pytest.mark.parametrize(
    ("number", "message"),
    [(28, "the disk is full"), (30, "it cannot be written"), (2, "it cannot be written")],
)
def test_a_disk_that_takes_no_more_is_told(number: int, message: str) -> None:
    with (
        pytest.raises(SettingsError, match=f"/full: {message}.* set TMPDIR to another"),
        disk_errors(Path("/full"), "TMPDIR"),
    ):
        raise OSError(number, "why")


def test_a_connection_that_broke_is_no_fault_of_the_disk() -> None:
    with pytest.raises(ConnectionResetError), disk_errors(Path("/full"), "TMPDIR"):
        raise ConnectionResetError
