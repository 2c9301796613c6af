"""The allow-list itself: no name in it is made up, and none is without a contract."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name

from infra.local.routes import ROUTES, Backend
from infra.local.settings import ADMIN_ACCESS_KEY, REGION

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

CLIENTS = {"states": "stepfunctions"}
"""boto3's names where they are not the IAM prefix."""
CONTRACTS = Path(__file__).parents[1]


def test_every_listed_operation_is_aws_own() -> None:
    session = botocore.session.get_session()
    for service, operation in ROUTES:
        model = session.get_service_model(CLIENTS.get(service, service))
        assert operation in model.operation_names, f"{service}.{operation}"


def test_every_operation_of_ministack_and_moto_is_called_by_a_contract_test() -> None:
    called = set()
    for path in CONTRACTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        called |= set(re.findall(r"\.(\w+)\(", text))
        called |= set(re.findall(r'get_(?:paginator|waiter)\("(\w+)"\)', text))
    called |= set(re.findall(r"\.(\w+)\(", Path(CONTRACTS.parent, "local_aws.py").read_text()))
    assert not [
        f"{service}.{operation}"
        for (service, operation), backend in ROUTES.items()
        if backend in (Backend.MINISTACK, Backend.MOTO) and xform_name(operation) not in called
    ]


OURS = [
    name
    for name, backend in ROUTES.items()
    if backend in (Backend.ATHENA, Backend.JOBS, Backend.KINESIS)
]


@pytest.mark.parametrize(("service", "operation"), OURS)
def test_an_empty_request_to_what_is_ours_is_answered_or_refused_in_its_terms(
    local_aws: LocalAws, service: str, operation: str
) -> None:
    scope = f"{ADMIN_ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request"
    headers = {
        "X-Amz-Target": f"Any.{operation}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
        "Content-Type": "application/x-amz-json-1.1",
    }
    request = urllib.request.Request(local_aws.endpoint, data=b"{}", headers=headers)
    status, answer = _send(request)
    assert status == 200 or answer["__type"].endswith("Exception")


def _send(request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)
