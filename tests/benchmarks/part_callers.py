"""What it costs to know a caller of 200: one look-up, against looking and checking each time.

`key` is held to comparing the key with every hash that is kept, `token` to checking the token's
signature at each request.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from mlops.clock import SystemClock
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.keys import ApiKeys, hash_key
from serving.proxy.tokens import Expected, Tokens
from tests.benchmarks.measure import Measurement, race
from tests.serving_processes import MemoryKeys

PART = "callers"
CALLERS, CALLS = 200, 2_000
EXPECTED = Expected("https://id.example", "mlops-proxy")


@dataclass(frozen=True)
class Published:
    """A provider's one key."""

    key: ECKey

    def load(self) -> KeySet:
        return KeySet.import_key_set({"keys": [self.key.as_dict(private=False)]})


def measure() -> Iterator[Measurement]:
    registered, key = registered_callers()
    source = Published(ECKey.generate_key("P-256", {"kid": "a"}))
    token = signed(source.key)
    tokens = Tokens(source, EXPECTED, SystemClock())
    door = Doorkeeper(MemoryKeys(registered), tokens=tokens)
    asyncio.run(door.refresh())
    forgetful = Tokens(source, EXPECTED, SystemClock(), remembered=1)
    asyncio.run(forgetful.refresh())
    hashes = [one.sha256 or "" for one in registered.keys]
    yield compared("key", admit(door, b"x-api-key", key), lambda: [
        hmac.compare_digest(hash_key(key), known) for known in hashes
    ])  # fmt: skip
    bearer = admit(door, b"authorization", f"Bearer {token}")
    in_turn = itertools.cycle([token, signed(source.key, jti="another")])
    yield compared("token", bearer, lambda: forgetful.subject_of(next(in_turn)))


def registered_callers() -> tuple[ApiKeys, str]:
    """And the key of the last."""
    now, registered = datetime.now(UTC), ApiKeys()
    registered = registered.add_subject("token", "service-7", now=now)
    for number in range(CALLERS):
        registered, key = registered.add(f"caller{number}", now=now)
    return registered, key


def signed(key: ECKey, **more: str) -> str:
    claims = more | {"iss": EXPECTED.issuer, "aud": EXPECTED.audience, "sub": "service-7"}
    header = {"alg": "ES256", "kid": "a"}
    whole = claims | {"exp": int(time.time()) + 3600}
    return jwt.encode(header, whole, key, algorithms=["ES256"])


def admit(door: Doorkeeper, header: bytes, text: str) -> Callable[[], object]:
    """A request of five headers to a model that the caller may have."""
    names = (b"host", b"user-agent", b"content-type", b"content-length")
    headers = [*((name, b"application/json") for name in names), (header, text.encode())]
    scope: dict[str, Any] = {"headers": headers, "state": {"log": {}}}

    def once() -> object:
        coroutine = door.admit_request(scope)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value.require_model("fraud")
        raise AssertionError("a known caller is admitted without waiting")

    return once


def compared(work: str, ours: Callable[[], object], peer: Callable[[], object]) -> Measurement:
    def many(once: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(CALLS):
                once()

        return run

    mine, theirs = (found / CALLS * 1e6 for found in race(many(ours), many(peer)))
    return Measurement(PART, work, mine, theirs, "us")
