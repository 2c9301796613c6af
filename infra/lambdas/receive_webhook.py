"""Lambda: what MLflow's webhooks tell becomes the event that SageMaker's registry sends by itself.

Invoked by the load balancer, whose answer MLflow waits for: it sends again what was answered with
429, 500, 502, 503 or 504. What fails here is a 502.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from typing import Any

from mlops.aws import Aws, read_secret
from mlops.bus import EventBus
from mlops.clock import SystemClock
from mlops.errors import InputError
from mlops.objects import S3Documents
from mlops.registry.webhooks.delivery import NotAuthentic
from mlops.registry.webhooks.receiver import Receiver
from mlops.settings import load_settings

_log = logging.getLogger("mlops.webhooks")


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Raises whatever is neither the delivery's fault nor its sender's."""
    settings = load_settings()
    names, aws = settings.names, Aws(region=settings.region)
    receiver = Receiver(
        names=names,
        key=lambda: read_secret(aws, names.mlflow_secret("webhook")),
        documents=S3Documents(aws, names.artifact_bucket),
        bus=EventBus(aws),
        # Not the settings' clock, which may replay the past: MLflow signs the time that it is.
        clock=SystemClock(),
    )
    return respond(receiver, event)


def respond(receiver: Receiver, event: Mapping[str, Any]) -> dict[str, Any]:
    """The balancer's request, received, as the balancer's answer."""
    try:
        took = receiver.receive(event.get("headers") or {}, read_body(event))
    except NotAuthentic as exc:
        _log.warning("refused: %s", exc)
        return _answer(401, "Unauthorized", {"error": str(exc)})
    except InputError as exc:
        _log.warning("not understood: %s", exc)
        return _answer(400, "Bad Request", {"error": str(exc)})
    return _answer(200, "OK", {"took": took})


def read_body(event: Mapping[str, Any]) -> bytes:
    """Raises InputError for what is no request of a load balancer, or has no body of text."""
    if "elb" not in (event.get("requestContext") or {}):
        raise InputError(f"This Lambda takes requests of a load balancer; not {sorted(event)}.")
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as exc:
        raise InputError("The request's body is not base64, as the balancer says.") from exc


def _answer(status: int, reason: str, body: Mapping[str, str]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "statusDescription": f"{status} {reason}",
        "isBase64Encoded": False,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
    }
