"""checkov's findings, and the exceptions to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.linting import EXCEPTIONS, Finding, check_templates, read_findings, unexcused
from mlops.errors import SettingsError

BUCKET = Finding("CKV_AWS_1", "AWS::S3::Bucket", "Data", "mlops-prod-storage", "Ensure logs")


def test_a_finding_without_an_exception_is_told_with_its_place() -> None:
    assert unexcused([BUCKET], {}) == [
        "mlops-prod-storage: AWS::S3::Bucket Data: CKV_AWS_1 Ensure logs"
    ]


def test_an_exception_holds_for_one_check_and_one_type() -> None:
    exceptions = {("CKV_AWS_1", "AWS::S3::Bucket"): "a reason"}
    other = Finding("CKV_AWS_1", "AWS::SQS::Queue", "Dead", "mlops-prod-storage", "Ensure logs")
    assert unexcused([BUCKET], exceptions) == []
    assert unexcused([BUCKET, other], exceptions) == [str(other)]


def test_an_exception_that_nothing_needs_is_a_finding() -> None:
    assert unexcused([], {("CKV_AWS_1", "AWS::S3::Bucket"): "a reason"}) == [
        "CKV_AWS_1 AWS::S3::Bucket: the exception is not needed"
    ]


def test_every_exception_says_why() -> None:
    assert all(len(reason.split()) > 4 for reason in EXCEPTIONS.values())


@pytest.mark.parametrize("many", [True, False])
def test_checkovs_report_is_read_of_one_kind_of_file_or_several(many: bool) -> None:
    failed = {
        "check_id": "CKV_AWS_1",
        "check_name": "Ensure logs",
        "resource": "AWS::S3::Bucket.Data",
        "file_path": "/mlops-prod-storage.json",
    }
    part = {"results": {"failed_checks": [failed]}}
    assert read_findings(json.dumps([part, part] if many else part))[0] == BUCKET


def test_a_missing_checkov_is_told_with_the_target_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make lint-infra"):
        check_templates(tmp_path / "checkov")
