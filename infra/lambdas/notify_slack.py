"""Lambda: what the events topic is told goes to a Slack channel, where a webhook is set.

Invoked by SNS. It stands apart from whatever tells the topic, so that Slack can hold nothing up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlops.aws import Aws, read_secret
from mlops.errors import InputError, NotFound
from mlops.notices import Notices
from mlops.settings import load_settings
from mlops.slack import Slack


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Raises Unavailable when Slack takes none of it, so that the invocation is tried again."""
    settings = load_settings()
    webhook = read_webhook(Aws(region=settings.region), settings.names.slack_secret)
    if webhook is None:
        return {"action": "no webhook"}
    return notify(Slack(webhook), event)


def read_webhook(aws: Aws, secret: str) -> str | None:
    """None where nobody has set the secret's value."""
    try:
        return read_secret(aws, secret).strip() or None
    except NotFound:
        return None


def notify(notices: Notices, event: Mapping[str, Any]) -> dict[str, Any]:
    told = list(read_event(event))
    for subject, facts in told:
        notices.publish(subject, facts)
    return {"action": "told", "notices": len(told)}


def read_event(event: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Subject and facts of each message. Raises InputError for what is no event of SNS."""
    records = event.get("Records")
    if not isinstance(records, list):
        raise InputError(f"This Lambda takes events of SNS; not {sorted(event)}.")
    for record in records:
        message, subject = record["Sns"]["Message"], record["Sns"].get("Subject")
        yield subject or "Something was told", _facts(message)


def _facts(message: str) -> Mapping[str, Any]:
    """Lambda's own failure notices and alarms are JSON as well; what is not is shown as it is."""
    try:
        facts = json.loads(message)
    except json.JSONDecodeError:
        return {"message": message}
    if not isinstance(facts, dict):
        return {"message": message}
    return _of_failure(facts) or facts


def _of_failure(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a Lambda's failure destination says: which function, and why."""
    if "requestContext" not in facts or "responsePayload" not in facts:
        return None
    payload = facts["responsePayload"] or {}
    function = str(facts["requestContext"].get("functionArn", ""))
    return {
        "event": f"{function.rpartition('function:')[2]} failed",
        "cause": payload.get("errorMessage"),
    }
