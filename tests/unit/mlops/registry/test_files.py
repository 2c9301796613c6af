"""The record in files: a writer that dies half-way, and what others do to the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import InputError, Refused
from mlops.registry.files import FileRecords
from mlops.registry.record import Decision, Entry, chain, head_of, read_record
from mlops.registry.versions import Status
from tests.approvals import APPROVER, NOW


def _entry(before: list[Entry]) -> Entry:
    return chain(
        Decision(
            model="fraud",
            version=1,
            action="approve",
            at=NOW,
            who=APPROVER,
            reason="because",
            before=Status.PENDING,
            after=Status.APPROVED,
            package_arn="arn",
            model_prefix="s3://b/p/",
            manifest_sha256="a" * 64,
            metrics={},
            rules_sha256="r",
        ),
        before,
    )


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """Two entries, on file."""
    first = _entry([])
    found = [first, _entry([first])]
    for entry in found:
        FileRecords(tmp_path).append(entry)
    return found


def _lines(folder: Path) -> Path:
    return folder / "fraud.jsonl"


def test_lines_that_were_cut_off_are_found(tmp_path: Path, entries: list[Entry]) -> None:
    text = _lines(tmp_path).read_bytes()
    _lines(tmp_path).write_bytes(text[: text.index(b"\n") + 1])
    assert read_record(FileRecords(tmp_path), "fraud")[1] == [
        "entries 2 to 2 are missing from its end"
    ]


def test_a_removed_file_is_found(tmp_path: Path, entries: list[Entry]) -> None:
    _lines(tmp_path).unlink()
    records = FileRecords(tmp_path)
    assert records.models() == ["fraud"]
    assert read_record(records, "fraud")[1] == ["entries 1 to 2 are missing from its end"]


def test_a_writer_that_died_within_a_line_has_written_nothing(
    tmp_path: Path, entries: list[Entry]
) -> None:
    with _lines(tmp_path).open("ab") as file:
        file.write(b'{"half":')
    records = FileRecords(tmp_path)
    assert read_record(records, "fraud") == (entries, [])
    records.append(third := _entry(entries))
    assert read_record(records, "fraud") == ([*entries, third], [])


def test_a_writer_that_died_before_the_head_has_written_the_entry(
    tmp_path: Path, entries: list[Entry]
) -> None:
    head = (tmp_path / "fraud.head.json").read_text()
    records = FileRecords(tmp_path)
    records.append(third := _entry(entries))
    (tmp_path / "fraud.head.json").write_text(head)
    assert records.head("fraud") == head_of(third)
    records.append(fourth := _entry([*entries, third]))
    assert read_record(records, "fraud") == ([*entries, third, fourth], [])


def test_a_line_that_was_made_unreadable_is_named(tmp_path: Path, entries: list[Entry]) -> None:
    _lines(tmp_path).write_text("{}\n")
    with pytest.raises(Refused, match=r"Line 1 of .*fraud\.jsonl is unreadable"):
        FileRecords(tmp_path).entries("fraud")


@pytest.mark.parametrize("model", ["../x", "a/b", "", "."])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(InputError, match="is no name of a model"):
        FileRecords(tmp_path).entries(model)
