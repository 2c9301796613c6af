"""Shard iterators: where a reader stands, in a token that ends after five minutes."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from infra.local.service import AwsError

LIFETIME = 300.0
"""Seconds, as on AWS."""


@dataclass(frozen=True)
class Position:
    """The next sequence to read of a shard."""

    stream: str
    shard: str
    start: int
    made: float

    def token(self) -> str:
        fields = [self.stream, self.shard, self.start, self.made]
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def read_token(token: str, now: float) -> Position:
    """Raises InvalidArgumentException or ExpiredIteratorException."""
    try:
        stream, shard, start, made = json.loads(base64.urlsafe_b64decode(token.encode()))
        position = Position(str(stream), str(shard), int(start), float(made))
    except (binascii.Error, ValueError, TypeError) as exc:
        raise AwsError("InvalidArgumentException", "Invalid ShardIterator.") from exc
    if now - position.made > LIFETIME:
        raise AwsError(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created {now - position.made:.0f} seconds ago, "
            f"which is more than the {LIFETIME:.0f} seconds that it lives.",
        )
    return position
