"""Hive-style folders name columns, and rows may not contradict them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from mlops.errors import InputError
from pipelines.data.folders import Folders, parse_folders


def wrong(
    folders: Mapping[str, str | None],
    rows: dict[str, Any],
    *,
    day_key: str | None = None,
    **more: Any,
) -> dict[str, list[bool]]:
    batch = pa.RecordBatch.from_pydict(rows)
    times = pa.array(more.get("times", [None] * batch.num_rows), pa.timestamp("ms"))
    found = Folders(folders, day_key).contradictions(batch, times, more.get("zone", "UTC"))
    return {reason: mask.tolist() for reason, mask in found}


def wall(*times: str) -> list[datetime]:
    return [datetime.fromisoformat(time) for time in times]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("s3://b/p/day=2025-05-01/x.parquet", {"day": "2025-05-01"}),
        ("a=1/b=2/x", {"a": "1", "b": "2"}),
        ("a=1/a=2/x", {"a": "2"}),
        ("city=S%C3%A3o%20Paulo%2F1/x", {"city": "São Paulo/1"}),
        ("note=a=b/x", {"note": "a=b"}),
        ("a=__HIVE_DEFAULT_PARTITION__/x", {"a": None}),
        ("plain/x=1.parquet", {}),
        ("=1/x", {}),
    ],
)
def test_folders_are_read_as_hive_writes_them(path: str, values: dict[str, str | None]) -> None:
    assert parse_folders(path) == values


def test_a_column_of_the_folder_s_name_must_hold_its_value() -> None:
    found = wrong({"Currency": "EUR"}, {"currency": ["EUR", "USD", None]})
    assert found == {"Currency is not what the folder says": [False, True, True]}


def test_whole_numbers_are_compared_as_numbers() -> None:
    assert wrong({"hour": "07"}, {"hour": [7, 8]}) == {
        "hour is not what the folder says": [False, True]
    }


def test_hive_s_null_stands_for_null() -> None:
    assert wrong({"a": None}, {"a": [None, "x"]}) == {
        "a is not what the folder says": [False, True]
    }


def test_a_column_that_the_file_lacks_is_not_contradicted() -> None:
    assert wrong({"source": "x"}, {"a": [1]}) == {}


def test_the_folder_s_day_is_one_of_the_named_zone() -> None:
    times = wall("2025-05-01T14:59", "2025-05-01T15:00")  # midnight in Seoul
    rows, folders = {"a": [1, 2]}, {"day": "2025-05-01"}
    assert wrong(folders, rows, day_key="day", times=times, zone="Asia/Seoul") == {
        "event_time is not on the day of the folder (Asia/Seoul)": [False, True]
    }
    assert wrong(folders, rows, day_key="day", times=times) == {
        "event_time is not on the day of the folder (UTC)": [False, False]
    }


def test_a_row_without_a_time_does_not_contradict_the_day() -> None:
    [mask] = wrong({"dt": "20250501"}, {"a": [1]}, day_key="dt").values()
    assert mask == [False]


def test_a_day_folder_that_names_no_day_is_told_with_the_option() -> None:
    with pytest.raises(InputError, match=r"day=monday names no day.*--day-folder"):
        wrong({"day": "monday"}, {"a": [1]}, day_key="day")
