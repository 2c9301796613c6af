"""The doorkeeper: from what a request presents to the caller that it is, or a refusal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Scope

from mlops.errors import MlopsError
from serving.errors import NotAllowed, Unauthenticated, UnknownSigner
from serving.proxy.callers import Caller, RateLimits
from serving.proxy.keys import ApiKeys, KeyStore, hash_key

if TYPE_CHECKING:
    from serving.proxy.tokens import Tokens

log = logging.getLogger("serving.keys")

_REMEDY = "Send a key in the header X-Api-Key; 'mlops serve create-key NAME' makes one."


class UnknownKey(Unauthenticated):
    """The key was not registered when the callers were last read."""


class Doorkeeper:
    """Knows callers by keys and tokens; reads them again now and then, and for an unknown one.

    A known caller is admitted without waiting for anything, by one look-up.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        tokens: Tokens | None = None,
        limits: RateLimits | None = None,
        pause_seconds: float = 2.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """pause_seconds: how often unknown callers may make it read again."""
        self._store, self._tokens = store, tokens
        self._limits = limits or RateLimits()
        self._pause, self._now = pause_seconds, now
        self._by_key: dict[str, Caller] = {}
        """Those that came since the callers were read; no more than there are hashes."""
        self._by_hash: dict[str, Caller] = {}
        self._by_subject: dict[str, Caller] = {}
        self.generation = 0
        """Another number when callers were read again: what was known of one may have changed."""
        self._read_at = -float("inf")
        self._lock = asyncio.Lock()
        self._problem: str | None = "the keys were not read yet"

    @property
    def problem(self) -> str | None:
        """Why it may not know callers that it should."""
        return self._problem or (self._tokens.problem if self._tokens else None)

    async def admit(self, key: str | None, authorization: str | None = None) -> Caller:
        """The caller, one request of whose rate is counted.

        key, authorization: the headers `X-Api-Key` and `Authorization`; the key counts where both
        are sent. What it may do is asked of the caller: `require_model` and its like.
        Raises Unauthenticated, NotAllowed for a token of nobody who is registered, RateLimited.
        """
        try:
            caller = self._known(key, authorization)
        except (UnknownKey, UnknownSigner, NotAllowed) as refusal:
            await self._reread(at_once=isinstance(refusal, UnknownSigner))
            caller = self._known(key, authorization)
        self._limits.take(caller)
        return caller

    async def admit_request(self, scope: Scope) -> Caller:
        """The same of an ASGI request, whose log line gets the caller's name."""
        caller = await self.admit(*presented(scope))
        scope["state"]["log"]["caller"] = caller.name
        return caller

    def recognize(self, key: str | None, authorization: str | None) -> Caller:
        """As `admit`, of those who are known already; nothing is counted (see `count`)."""
        return self._known(key, authorization)

    def count(self, caller: Caller) -> None:
        """One request of its rate. Raises RateLimited, and counts nothing, where none is left."""
        self._limits.take(caller)

    def _known(self, key: str | None, authorization: str | None) -> Caller:
        if not key:
            return self._bearer(authorization)
        caller = self._by_key.get(key) or self._by_hash.get(hash_key(key))
        if caller is None:
            raise UnknownKey("The API key is not known.", remedy=_REMEDY)
        self._by_key[key] = caller
        return caller

    def _bearer(self, authorization: str | None) -> Caller:
        if not authorization:
            raise Unauthenticated("The request has no API key.", remedy=_REMEDY)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or self._tokens is None:
            raise Unauthenticated("This authorization is not accepted here.", remedy=_REMEDY)
        caller = self._by_subject.get(self._tokens.subject_of(token.strip()))
        if caller is None:
            raise NotAllowed(
                "The token is good, but its subject is not registered here.",
                remedy="Ask the operators to register it: 'mlops serve add-subject NAME SUBJECT'.",
            )
        return caller

    async def refresh(self) -> None:
        """Read callers, and the tokens' keys where due; what cannot be read leaves the known."""
        await self._refresh(at_once=False)

    async def _refresh(self, *, at_once: bool) -> None:
        self._read_at = self._now()
        if self._tokens is not None:
            await self._tokens.refresh(at_once=at_once)
        try:
            self._take(await asyncio.to_thread(self._store.load))
        except MlopsError as exc:
            self._problem = str(exc)
            log.warning("API keys not read, the known ones stay", extra={"cause": str(exc)})

    def _take(self, registered: ApiKeys) -> None:
        callers = {key: key.caller() for key in registered.keys}
        self.generation += 1
        self._by_key = {}
        self._by_hash = {key.sha256: one for key, one in callers.items() if key.sha256}
        self._by_subject = {key.subject: one for key, one in callers.items() if key.subject}
        self._limits.keep(one.name for one in callers.values())
        self._problem = None if callers else "there are no keys yet"

    async def _reread(self, *, at_once: bool) -> None:
        """at_once: the tokens' keys, too, for one of them is missing."""
        async with self._lock:
            if self._now() - self._read_at >= self._pause:
                await self._refresh(at_once=at_once)


def presented(scope: Scope) -> tuple[str | None, str | None]:
    """The headers `X-Api-Key` and `Authorization`."""
    key = authorization = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            key = value.decode("latin-1")
        elif name == b"authorization":
            authorization = value.decode("latin-1")
    return key, authorization
