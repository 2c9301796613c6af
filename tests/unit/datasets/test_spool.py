"""Rows come back by their ordinals, whatever the order they came in."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mlops.errors import JobFailed
from pipelines.datasets.spool import Spool


def spooled(folder: Path, ordinals: list[int], *, rows: int, part_rows: int = 4) -> Spool:
    spool = Spool(folder, ordinal="n", rows=rows, part_rows=part_rows)
    table = pa.table({"n": ordinals, "value": [f"v{n}" for n in ordinals]})
    for batch in table.to_batches(max_chunksize=3):
        spool.add(batch)
    return spool


def test_rows_come_back_in_order_part_by_part(tmp_path: Path) -> None:
    spool = spooled(tmp_path, [8, 3, 0, 7, 5, 9, 1, 6, 2, 4], rows=10)
    parts = [spool.part(number)["value"].to_pylist() for number in range(3)]
    assert [len(part) for part in parts] == [4, 4, 2]
    assert [value for part in parts for value in part] == [f"v{n}" for n in range(10)]


@pytest.mark.parametrize("ordinals", [[0, 1, 3], [0, 1, 1, 2, 3], [4, 5]])
def test_a_row_that_is_missing_or_there_twice_is_told(tmp_path: Path, ordinals: list[int]) -> None:
    spool = spooled(tmp_path, ordinals, rows=6)
    with pytest.raises(JobFailed, match="The join answered"):
        spool.part(0)
