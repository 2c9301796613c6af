"""A balancer's request is received, and its answer says what MLflow is to do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from infra.lambdas.receive_webhook import read_body, respond
from mlops.bus import MemoryBus
from mlops.clock import FixedClock
from mlops.errors import InputError, Unavailable
from mlops.objects import MemoryDocuments
from mlops.registry.webhooks.receiver import Receiver
from tests.approvals import NAMES, NOW
from tests.mlflow_webhooks import KEY, body_of, headers_of

BODY = body_of("model_version_tag", "set", version="3", key="mlops_approval")


def _request(signed: bytes = BODY, **changes: Any) -> dict[str, Any]:
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:…"}},
        "httpMethod": "POST",
        "path": "/mlops/registry-events",
        "headers": headers_of(signed),
        "body": signed.decode(),
        "isBase64Encoded": False,
        **changes,
    }


def _respond(event: dict[str, Any], key: str = KEY) -> tuple[int, dict[str, Any]]:
    receiver = Receiver(NAMES, lambda: key, MemoryDocuments(), MemoryBus(), FixedClock(NOW))
    answer = respond(receiver, event)
    assert answer["statusDescription"].startswith(str(answer["statusCode"]))
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize(
    "encoded", [{}, {"body": base64.b64encode(BODY).decode(), "isBase64Encoded": True}]
)
def test_what_was_taken_is_answered_with_200(encoded: dict[str, Any]) -> None:
    assert _respond(_request(**encoded)) == (200, {"took": "told"})


def test_what_mlflow_did_not_sign_is_401_and_what_it_never_writes_400() -> None:
    assert _respond(_request(), key="another")[0] == 401
    assert _respond(_request(headers={}))[0] == 400
    assert _respond(_request(b"{}"))[0] == 400
    assert _respond(_request(headers=None, body=None))[0] == 400
    assert _respond(_request(body="?", isBase64Encoded=True))[0] == 400


def test_what_is_no_request_of_a_balancer_is_refused() -> None:
    with pytest.raises(InputError, match="load balancer"):
        read_body({"source": "aws.events"})


def test_what_is_nobody_s_fault_is_raised_so_that_mlflow_sends_again() -> None:
    def unread() -> str:
        raise Unavailable("no secret")

    receiver = Receiver(NAMES, unread, MemoryDocuments(), MemoryBus(), FixedClock(NOW))
    with pytest.raises(Unavailable):
        respond(receiver, _request())
