"""A folder is a source: its files are listed, and told when they change while they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.aws import Aws
from mlops.errors import Conflict, InputError, NotFound
from pipelines.data.ingestion.sources import LocalSource, open_source
from tests.unit.data.landing import write


def test_files_are_found_below_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", b"12")
    write(tmp_path, "day=1/a.csv", b"1")
    source = LocalSource(tmp_path)
    found = sorted((f.path, f.uri, f.size, f.folder) for f in source.files())
    assert found == [
        ("b.csv", f"{source.uri}b.csv", 2, ""),
        ("day=1/a.csv", f"{source.uri}day=1/a.csv", 1, "day=1"),
    ]
    assert source.uri == f"file://{tmp_path}/"


def test_one_file_is_a_source_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, "day=1/a.csv", b"1")
    write(tmp_path, "day=1/b.csv", b"1")
    write(tmp_path, "day=1/c/a.csv", b"1")
    [file] = LocalSource(tmp_path / "day=1" / "a.csv").files()
    assert file.uri == f"{LocalSource(tmp_path).uri}day=1/a.csv"


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", b"1")
    source = LocalSource(tmp_path)
    [file] = source.files()
    with (
        pytest.raises(Conflict, match="changed while it was read"),
        source.opened(file, tmp_path) as path,
    ):
        path.write_bytes(b"22")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", b"1")
    source = LocalSource(tmp_path)
    [file] = source.files()
    (tmp_path / "a.csv").unlink()
    with pytest.raises(NotFound, match="no longer"), source.opened(file, tmp_path):
        pass


@pytest.mark.parametrize(
    ("address", "told"), [("s3://", "names no bucket"), ("/nowhere/at/all", "There is no file")]
)
def test_an_address_of_nothing_is_told(address: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        open_source(address, Aws(region="eu-west-1"))
