"""Whatever SNS delivers becomes a notice with its facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.lambdas.notify_slack import notify, read_event
from mlops.errors import InputError
from mlops.notices import MemoryNotices


def event(*messages: str, subject: str | None = "Hello") -> dict[str, Any]:
    return {"Records": [{"Sns": {"Message": message, "Subject": subject}} for message in messages]}


def test_each_message_is_told_with_its_facts() -> None:
    notices = MemoryNotices()
    done = notify(notices, event('{"reason": "because"}', '{"who": "ann"}'))
    assert done == {"action": "told", "notices": 2}
    assert notices.told == [("Hello", {"reason": "because"}), ("Hello", {"who": "ann"})]


@pytest.mark.parametrize("message", ["no JSON", "[1]", '"text"'])
def test_what_is_no_object_is_told_as_it_is(message: str) -> None:
    assert list(read_event(event(message))) == [("Hello", {"message": message})]


def test_a_lambda_that_failed_is_told_by_name_with_its_cause() -> None:
    failure = {
        "requestContext": {"functionArn": "arn:aws:lambda:r:1:function:mlops-dev-model-deployer"},
        "responsePayload": {"errorMessage": "the record is broken"},
        "requestPayload": {"detail": "long"},
    }
    ((subject, facts),) = read_event(event(json.dumps(failure), subject=None))
    assert subject == "Something was told"
    assert facts == {"event": "mlops-dev-model-deployer failed", "cause": "the record is broken"}


def test_an_event_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="events of SNS"):
        list(read_event({"source": "aws.s3"}))
