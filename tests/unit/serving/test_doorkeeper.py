"""The doorkeeper: keys and tokens in, callers out, over HTTP and by itself."""

from __future__ import annotations

import asyncio
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from mlops.clock import FixedClock
from mlops.errors import Unavailable
from serving.errors import NotAllowed, Unauthenticated
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.keys import ApiKeys, CallerRate
from serving.proxy.tokens import Expected, Tokens
from tests.serving_examples import INSTANCE, NOW
from tests.serving_processes import MemoryKeys, Services

ISSUER, AUDIENCE = "https://id.example", "mlops-proxy"
PREDICT = "/v1/models/fraud:predict"


@cache
def signer(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


@dataclass
class MemoryJwks:
    """A provider whose published keys a test changes."""

    kids: list[str] = field(default_factory=lambda: ["a"])
    reads: int = 0
    down: bool = False

    def load(self) -> KeySet:
        self.reads += 1
        if self.down:
            raise Unavailable("the provider does not answer")
        published = [signer(kid).as_dict(private=False) for kid in self.kids]
        return KeySet.import_key_set({"keys": published})


def token(kid: str = "a", **changes: Any) -> str:
    """Of subject 'service-7', for ten minutes; a claim of None is left out."""
    now = int(NOW.timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "service-7", "iat": now, "exp": now + 600}
    claims = {name: claim for name, claim in (claims | changes).items() if claim is not None}
    return jwt.encode({"alg": "ES256", "kid": kid}, claims, signer(kid), algorithms=["ES256"])


@dataclass
class House:
    """A doorkeeper that accepts tokens, and the clocks and stores that it looks at."""

    jwks: MemoryJwks
    keys: MemoryKeys
    clock: Any
    door: Doorkeeper

    async def admit(self, text: str, scheme: str = "Bearer") -> str:
        return (await self.door.admit(None, f"{scheme} {text}")).name


@dataclass
class MovingClock:
    seconds: float = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


@pytest.fixture
def house() -> House:
    registered = ApiKeys().add_subject("checkout", "service-7", now=NOW)
    jwks, keys, clock = MemoryJwks(), MemoryKeys(registered), MovingClock()
    tokens = Tokens(jwks, Expected(ISSUER, AUDIENCE), clock)
    return House(jwks, keys, clock, Doorkeeper(keys, tokens=tokens, pause_seconds=0.0))


async def refused(house: House, text: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        await house.admit(text)
    return str(refusal.value)


async def test_a_token_is_its_subjects_caller(house: House) -> None:
    assert await house.admit(token()) == "checkout"
    assert await house.admit(token(), scheme="bearer") == "checkout"
    assert await house.admit(token(aud=["other", AUDIENCE])) == "checkout"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://evil.example"}, "'iss'"),
        ({"aud": "another-service"}, "'aud'"),
        ({"exp": int(NOW.timestamp()) - 31}, "expired"),
        ({"nbf": int(NOW.timestamp()) + 31}, "'nbf'"),
        ({"iat": int(NOW.timestamp()) + 31}, "'iat'"),
        ({"exp": None}, "lacks"),
        ({"iss": None}, "lacks"),
        ({"aud": None}, "lacks"),
        ({"sub": None}, "lacks"),
        ({"sub": 7}, "'sub'"),
        ({"exp": "never"}, "'exp'"),
        ({"exp": float("nan")}, "'exp'"),
    ],
)
async def test_a_token_that_says_anything_else_is_refused_with_the_reason(
    house: House, changes: dict[str, Any], why: str
) -> None:
    assert why in await refused(house, token(**changes))


async def test_a_clock_that_differs_a_little_is_borne_with(house: House) -> None:
    now = int(NOW.timestamp())
    assert await house.admit(token(exp=now - 29)) == "checkout"
    assert await house.admit(token(nbf=now + 29, iat=now + 29)) == "checkout"


async def test_a_token_that_was_admitted_still_expires(house: House) -> None:
    text = token()
    await house.admit(text)
    house.clock.seconds = 629
    await house.admit(text)
    house.clock.seconds = 630
    assert "expired" in await refused(house, text)


def signed_with_the_public_key() -> str:
    """By HMAC with what everybody knows; the library itself would refuse to make it."""
    _, claims, _ = token().split(".")
    head = encoded(b'{"alg":"HS256","kid":"a"}') + "." + claims
    secret = signer("a").as_pem(private=False)
    return f"{head}.{encoded(hmac.digest(secret, head.encode(), 'sha256'))}"


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def by(key: Any, algorithm: str, **header: Any) -> str:
    now = int(NOW.timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "service-7", "exp": now + 600}
    return jwt.encode({"alg": algorithm, **header}, claims, key, algorithms=[algorithm])


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize(
    "forge",
    [
        signed_with_the_public_key,
        lambda: by(OctKey.import_key("0" * 32), "none", kid="a"),
        lambda: by(RSAKey.generate_key(2048), "RS256", kid="a"),
        lambda: by(RSAKey.generate_key(2048), "RS256"),
        lambda: by(ECKey.generate_key("P-256"), "ES256", kid="a"),
        lambda: by(ECKey.generate_key("P-384"), "ES384", kid="a"),
        lambda: token()[:-4] + "AAAA",
        lambda: "a.b.c",
        lambda: "",
        lambda: "é" * 20,
        lambda: "x" * 100_000,
    ],
    ids=["key as secret", "none", "rsa", "no kid", "other key", "not pinned", "cut", "abc", "empty",
         "no ascii", "long"],
)  # fmt: skip
async def test_a_forged_token_is_refused(house: House, forge: Callable[[], str]) -> None:
    await house.admit(token())
    await refused(house, forge())


async def test_a_new_signer_is_known_at_once_and_a_withdrawn_one_no_more(house: House) -> None:
    old = token("a")
    await house.admit(old)
    house.jwks.kids = ["b"]
    assert await house.admit(token("b")) == "checkout"
    await refused(house, old)


async def test_a_provider_that_is_down_leaves_the_known_keys_valid(house: House) -> None:
    await house.admit(token())
    house.jwks.down = True
    await refused(house, token("b"))
    assert await house.admit(token()) == "checkout"
    assert "provider" in str(house.door.problem)


async def test_unknown_callers_make_it_read_only_now_and_then() -> None:
    clock, jwks, keys = [0.0], MemoryJwks(), MemoryKeys()
    tokens = Tokens(jwks, Expected(ISSUER, AUDIENCE), FixedClock(NOW))
    door = Doorkeeper(keys, tokens=tokens, pause_seconds=2.0, now=lambda: clock[0])
    for at in (0.0, 1.0, 1.9, 2.0):
        clock[0] = at
        await asyncio.gather(
            *(door.admit(None, f"Bearer {token('b')}") for _ in range(3)), return_exceptions=True
        )
    assert jwks.reads == 2


async def test_known_tokens_are_bounded() -> None:
    tokens = Tokens(MemoryJwks(), Expected(ISSUER, AUDIENCE), FixedClock(NOW), remembered=3)
    await tokens.refresh()
    for number in range(9):
        tokens.subject_of(token(jti=str(number)))
    assert len(tokens._verified) == 3


async def test_a_good_token_of_nobody_registered_is_a_403(house: House) -> None:
    with pytest.raises(NotAllowed, match="not registered"):
        await house.admit(token(sub="service-8"))
    house.keys.stored = house.keys.stored.add_subject("new", "service-8", now=NOW)
    assert await house.admit(token(sub="service-8")) == "new"


async def test_a_revoked_key_ends_when_the_callers_are_read_again() -> None:
    registered, key = ApiKeys().add("checkout", now=NOW)
    keys = MemoryKeys(registered)
    door = Doorkeeper(keys)
    assert (await door.admit(key)).name == "checkout"
    keys.stored = registered.remove("checkout")
    await door.refresh()
    with pytest.raises(Unauthenticated, match="not known"):
        await door.admit(key)


async def test_tokens_are_refused_where_no_provider_is_set() -> None:
    with pytest.raises(Unauthenticated, match="not accepted here"):
        await Doorkeeper(MemoryKeys()).admit(None, f"Bearer {token()}")


@pytest.mark.parametrize("header", ["Basic dXNlcjpw", "Bearer", "Bearer ", "mlops_x"])
async def test_other_ways_to_authorize_are_refused(house: House, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await house.door.admit(None, header)


async def ask_with(services: Services, *permissions: str, **options: Any) -> dict[str, str]:
    """The header of a new caller with these permissions."""
    services.keys.stored, key = services.keys.stored.add(
        "asker", now=NOW, permissions=permissions, **options
    )
    return {"X-Api-Key": key}


async def test_a_caller_gets_its_models_and_no_others(services: Services) -> None:
    allowed = await ask_with(services, "predict:fraud")
    body = {"instances": [INSTANCE]}
    assert (await services.proxy.post(PREDICT, json=body, headers=allowed)).status_code == 200
    other = await services.proxy.post("/v1/models/credit:predict", json=body, headers=allowed)
    assert (other.status_code, other.json()["error"]["code"]) == (403, "not_allowed")


async def test_a_caller_that_asks_too_often_is_told_when_to_come_back(services: Services) -> None:
    rate = CallerRate(per_second=0.01, burst=1)
    limited = await ask_with(services, "predict", rate=rate)
    body = {"instances": [INSTANCE]}
    assert (await services.proxy.post(PREDICT, json=body, headers=limited)).status_code == 200
    answer = await services.proxy.post(PREDICT, json=body, headers=limited)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
    assert 99 <= int(answer.headers["Retry-After"]) <= 100
    assert (await services.predict()).status_code == 200


async def test_explaining_shows_personal_features_only_to_who_may_see_them(
    services: Services,
) -> None:
    (active,) = (served.active for served in services.catalog.endpoints.values())
    assert active is not None
    vars(active)["personal"] = frozenset({"mean_amount"})
    url, body = PREDICT + "?explain=features", {"instances": [INSTANCE]}
    plain = await services.proxy.post(url, json=body)
    assert plain.status_code == 403
    assert "mean_amount" in plain.json()["error"]["message"]
    assert (await services.predict()).status_code == 200
    seeing = await ask_with(services, "predict", "pii")
    assert (await services.proxy.post(url, json=body, headers=seeing)).status_code == 200
