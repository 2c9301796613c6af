"""A delivery of MLflow's webhooks, and whether it is one: signed, and sent just now.

The signature is HMAC-SHA256 over '<delivery id>.<seconds>.<body>', as the Standard Webhooks have
it (https://www.standardwebhooks.com; mlflow/webhooks/delivery.py).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlops.errors import InputError, Refused

ID, SENT, SIGNATURE = "x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"
VERSION = "v1"
FRESH = timedelta(minutes=5)
"""MLflow tries three times again with the time of the first: at most some two minutes later."""
_FORMS = {
    ID: re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    SENT: re.compile(r"[0-9]{1,11}"),
    SIGNATURE: re.compile(r"v1,[A-Za-z0-9+/]{43}="),
}


class NotAuthentic(Refused):
    """It cannot be told that MLflow sent it, or that it did so now."""


@dataclass(frozen=True)
class Delivery:
    """What was posted, as it came."""

    id: str
    """The same however often MLflow sends it."""
    seconds: str
    """Since 1970, as text: it is signed as it stands."""
    signature: str
    body: bytes

    @property
    def sent_at(self) -> datetime:
        return datetime.fromtimestamp(int(self.seconds), UTC)


def read_delivery(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Raises InputError for what is no delivery; names of headers count without their case."""
    given = {name.lower(): value for name, value in headers.items()}
    wrong = [name for name, form in _FORMS.items() if not form.fullmatch(given.get(name, ""))]
    if wrong:
        raise InputError(
            f"Missing, or not as MLflow writes them: {', '.join(wrong)}. Only MLflow's webhooks "
            "with a secret are taken: mlops models webhook"
        )
    return Delivery(given[ID], given[SENT], given[SIGNATURE], body)


def sign(key: str, delivery_id: str, seconds: str, body: bytes) -> str:
    """The signature, as MLflow writes it into the header."""
    signed = f"{delivery_id}.{seconds}.".encode() + body
    digest = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(digest).decode()}"


def require_fresh(delivery: Delivery, now: datetime) -> None:
    """Raises NotAuthentic for what was sent long ago, or will be."""
    if abs(now - delivery.sent_at) > FRESH:
        raise NotAuthentic(
            f"Delivery {delivery.id} was sent at {delivery.sent_at:%Y-%m-%dT%H:%M:%SZ}, and it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}: it is not taken. Are the clocks right?"
        )


def require_signed(delivery: Delivery, key: str) -> None:
    """Raises NotAuthentic for a signature by another key; takes as long for any."""
    wanted = sign(key, delivery.id, delivery.seconds, delivery.body)
    if not hmac.compare_digest(wanted.encode(), delivery.signature.encode()):
        raise NotAuthentic(
            f"Delivery {delivery.id} is not signed by the key that its secret holds. Where the "
            "secret was changed, run: mlops models webhook"
        )
