"""The record of calls is bounded and readable line by line."""

from __future__ import annotations

import json
from pathlib import Path

from infra.local.calls import CallRecord
from infra.local.operations import Call
from infra.local.service import Caller

CALL = Call("s3", "GetObject", "rest-xml")
CALLER = Caller("000000000000", "ap-northeast-2", "arn:aws:sts::000000000000:assumed-role/r/s")


def test_a_call_is_one_line(tmp_path: Path) -> None:
    record = CallRecord(tmp_path / "calls.jsonl")
    record.add(CALL, CALLER)
    (line,) = (tmp_path / "calls.jsonl").read_text().splitlines()
    record.close()
    found = json.loads(line)
    assert (found["service"], found["operation"], found["caller"]) == (
        "s3",
        "GetObject",
        CALLER.arn,
    )


def test_of_a_long_record_the_newest_part_stays(tmp_path: Path) -> None:
    record = CallRecord(tmp_path / "calls.jsonl", max_bytes=1000)
    for _ in range(100):
        record.add(CALL, CALLER)
    record.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"calls.jsonl", "calls.jsonl.1"}
    assert all(size < 1300 for size in sizes.values())
