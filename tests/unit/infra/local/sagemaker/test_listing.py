"""What a List operation shows."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.sagemaker.listing import page, select
from infra.local.service import AwsError

JOBS = [
    {"JobName": "b-train", "CreationTime": 1.0, "LastModifiedTime": 9.0, "JobStatus": "Failed"},
    {"JobName": "c-train", "CreationTime": 2.0, "LastModifiedTime": 8.0, "JobStatus": "Completed"},
    {"JobName": "a-other", "CreationTime": 3.0, "LastModifiedTime": 7.0, "JobStatus": "Completed"},
]


def names(**request: Any) -> list[str]:
    found = select(JOBS, request, name="JobName", equals={"StatusEquals": "JobStatus"})
    return [job["JobName"] for job in found]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ["a-other", "c-train", "b-train"]),
        ({"SortOrder": "Ascending"}, ["b-train", "c-train", "a-other"]),
        ({"SortBy": "Name", "SortOrder": "Ascending"}, ["a-other", "b-train", "c-train"]),
        ({"SortBy": "Status", "SortOrder": "Ascending"}, ["c-train", "a-other", "b-train"]),
        ({"NameContains": "TRAIN"}, ["c-train", "b-train"]),
        ({"StatusEquals": "Failed"}, ["b-train"]),
        ({"CreationTimeAfter": 2}, ["a-other", "c-train"]),
        ({"CreationTimeBefore": 1.5}, ["b-train"]),
        ({"LastModifiedTimeAfter": 8.5}, ["b-train"]),
    ],
)
def test_documents_are_filtered_and_sorted(request_: dict[str, Any], expected: list[str]) -> None:
    assert names(**request_) == expected


def test_pages_join_to_the_whole() -> None:
    first, rest = page(list(JOBS), {"MaxResults": 2})
    second, end = page(list(JOBS), {"MaxResults": 2, **rest})
    assert [*first, *second] == JOBS
    assert end == {}


def test_a_page_that_is_full_to_the_end_has_no_next() -> None:
    assert page(list(JOBS), {"MaxResults": 3})[1] == {}


def test_a_token_of_somebody_else_is_refused() -> None:
    with pytest.raises(AwsError, match="Invalid pagination token: 'x'"):
        page([], {"NextToken": "x"})
