"""Tokens of an OIDC provider: whose they are, proved by its published keys.

Issuer, audience and algorithms are pinned by the settings, never taken from the token.
Sources: RFC 7519 (JWT), RFC 7517 (JWKS), RFC 8725 (what to check, and why).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    MissingClaimError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from mlops.clock import Clock
from mlops.errors import MlopsError, Unavailable
from serving.errors import Unauthenticated, UnknownSigner

log = logging.getLogger("serving.tokens")

_TIMEOUT_SECONDS = 2.0
_MAX_JWKS_BYTES = 1024 * 1024
_REMEDY = "Get a new token from the identity provider and send it as 'Authorization: Bearer …'."


class KeySource(Protocol):
    """Where the provider publishes its keys."""

    def load(self) -> KeySet:
        """Blocking. Raises Unavailable."""


class HttpJwks:
    """A JWKS document at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def load(self) -> KeySet:
        try:
            answer = httpx.get(self._url, timeout=_TIMEOUT_SECONDS)
            answer.raise_for_status()
            if len(answer.content) > _MAX_JWKS_BYTES:
                raise Unavailable(f"The keys at {self._url} are larger than {_MAX_JWKS_BYTES} B.")
            return KeySet.import_key_set(answer.json())
        except (httpx.HTTPError, JoseError, ValueError, TypeError, KeyError) as exc:
            raise Unavailable(
                f"The token keys at {self._url} cannot be read: {type(exc).__name__}. "
                "Check MLOPS_PROXY_OIDC_JWKS_URL."
            ) from exc


@dataclass(frozen=True)
class Expected:
    """What a token must say."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway_seconds: int = 30
    """By how much the provider's clock may differ from the platform's."""
    subject_claim: str = "sub"
    audience_claim: str = "aud"


@dataclass(frozen=True, slots=True)
class _Verified:
    subject: str
    expires: float


class Tokens:
    """Knows the provider's keys, and the tokens that it verified lately."""

    def __init__(
        self,
        source: KeySource,
        expected: Expected,
        clock: Clock,
        *,
        poll_seconds: float = 300.0,
        remembered: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """poll_seconds: how long a withdrawn key still works; remembered: so many tokens."""
        self._source, self._expected, self._clock = source, expected, clock
        self._poll, self._remembered, self._now = poll_seconds, remembered, now
        self._registry = JWSRegistry(
            algorithms=list(expected.algorithms), strict_check_header=False
        )
        self._keys: KeySet | None = None
        self._read_at = -float("inf")
        self._verified: dict[bytes, _Verified] = {}
        self.problem: str | None = "the token keys were not read yet"

    async def refresh(self, *, at_once: bool = False) -> None:
        """Read the keys where that is due. What cannot be read leaves the known ones."""
        if not at_once and self._now() - self._read_at < self._poll:
            return
        try:
            keys = await asyncio.to_thread(self._source.load)
        except MlopsError as exc:
            self.problem = str(exc)
            log.warning("token keys not read, the known ones stay", extra={"cause": str(exc)})
            return
        self._read_at, self.problem = self._now(), None
        self._keys, self._verified = keys, {}

    def subject_of(self, token: str) -> str:
        """Whose token it is.

        Raises Unauthenticated; UnknownSigner where reading the keys again may help.
        """
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock.now().timestamp()
        known = self._verified.get(digest)
        if known is None:
            known = self._verify(token, int(now))
            self._remember(digest, known)
        if now >= known.expires + self._expected.leeway_seconds:
            raise _refusal("it has expired")
        return known.subject

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        while len(self._verified) >= self._remembered:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified

    def _verify(self, token: str, now: int) -> _Verified:
        if self._keys is None:
            raise UnknownSigner("The tokens' keys are not known yet.", remedy=_REMEDY)
        try:
            claims = jwt.decode(token, self._keys, registry=self._registry).claims
            self._claims(now).validate(claims)
        except InvalidKeyIdError as exc:
            raise UnknownSigner("The token is signed with an unknown key.", remedy=_REMEDY) from exc
        except (JoseError, ValueError, TypeError) as exc:
            raise _refusal(_reason(exc)) from exc
        subject = claims[self._expected.subject_claim]
        if not isinstance(subject, str):
            raise _refusal(f"its '{self._expected.subject_claim}' is no text")
        return _Verified(subject, float(claims["exp"]))

    def _claims(self, now: int) -> jwt.JWTClaimsRegistry:
        expected = self._expected
        options: dict[str, Any] = {
            "exp": {"essential": True},
            "iss": {"essential": True, "value": expected.issuer},
            expected.audience_claim: {"essential": True, "value": expected.audience},
        }
        options.setdefault(expected.subject_claim, {"essential": True})
        return jwt.JWTClaimsRegistry(now=now, leeway=expected.leeway_seconds, **options)


def _reason(error: Exception) -> str:
    """What is wrong, without anything of the token in it."""
    if isinstance(error, ExpiredTokenError):
        return "it has expired"
    if isinstance(error, MissingClaimError):
        return "it lacks a claim that is needed"
    if isinstance(error, InvalidClaimError):
        return f"its '{error.claim}' is not what is accepted here"
    if isinstance(error, BadSignatureError):
        return "its signature is wrong"
    return "it is no signed token of an accepted algorithm"


def _refusal(reason: str) -> Unauthenticated:
    return Unauthenticated(f"The token is refused: {reason}.", remedy=_REMEDY)
