"""The check of recorded calls finds what a role was never granted."""

from __future__ import annotations

import json
from pathlib import Path

from mlops.names import Names
from tests.recorded_calls import read_calls, uncovered

NAMES = Names(project="mlops", env="local", account="000000000000", region="ap-northeast-2")
APPROVER = "mlops-local-approver"


def test_a_call_that_was_never_granted_is_found() -> None:
    calls = [(APPROVER, "states:StartExecution"), (APPROVER, "sagemaker:UpdateModelPackage")]
    assert uncovered(calls, NAMES) == {APPROVER: ["states:StartExecution"]}


def test_operations_are_known_by_their_iam_actions() -> None:
    calls = [(APPROVER, "s3:HeadObject"), (APPROVER, "s3:ListObjectsV2")]
    assert uncovered(calls, NAMES) == {}


def test_everyone_may_ask_who_they_are() -> None:
    assert uncovered([(APPROVER, "sts:GetCallerIdentity")], NAMES) == {}


def test_only_calls_of_roles_are_read(tmp_path: Path) -> None:
    callers = (
        "arn:aws:iam::000000000000:root",
        f"arn:aws:sts::000000000000:assumed-role/{APPROVER}/ann",
    )
    lines = [{"service": "s3", "operation": "GetObject", "caller": caller} for caller in callers]
    (tmp_path / "calls.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert list(read_calls(tmp_path)) == [(APPROVER, "s3:GetObject")]
