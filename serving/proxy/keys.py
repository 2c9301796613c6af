"""Callers' API keys: only hashes are stored, and comparing them takes the same time always.

A key is 32 random bytes, so a plain SHA-256 of it cannot be searched, unlike that of a password.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Protocol

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops.aws import Aws, error_code, translated
from mlops.errors import Conflict, InputError, MlopsError, NotFound, SettingsError
from mlops.secrets import read_secret
from serving.errors import NotAllowed, Unauthenticated

log = logging.getLogger("serving.keys")

PREFIX = "mlops_"
PREDICT = "predict"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REMEDY = "Send a key in the header X-Api-Key; 'mlops serve create-key NAME' makes one."


class ApiKey(BaseModel):
    """A caller, and the hash of its key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=_NAME.pattern)]
    permissions: tuple[str, ...] = (PREDICT,)
    """What the caller may do: 'predict', 'push:SOURCE', 'push:*'."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: datetime

    def may(self, permission: str) -> bool:
        kind, _, what = permission.partition(":")
        return permission in self.permissions or (bool(what) and f"{kind}:*" in self.permissions)


class ApiKeys(BaseModel):
    """The document that holds every key's hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()

    def find(self, presented: str) -> ApiKey | None:
        """The key and its owner; every stored hash is compared."""
        digest, found = hash_key(presented), None
        for key in self.keys:
            if hmac.compare_digest(digest, key.sha256):
                found = key
        return found

    def add(
        self, name: str, *, now: datetime, permissions: Sequence[str] = (PREDICT,)
    ) -> tuple[ApiKeys, str]:
        """These and a new key, and the key itself, which is nowhere else. Raises Conflict."""
        if not _NAME.fullmatch(name):
            raise InputError(
                f"'{name}' is no name for a caller: use letters, digits, '.', '_', '-'."
            )
        if any(key.name == name for key in self.keys):
            raise Conflict(
                f"'{name}' has a key already. Revoke it first: 'mlops serve revoke-key {name}'."
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            name=name, permissions=tuple(permissions), sha256=hash_key(secret), created=now
        )
        return ApiKeys(keys=(*self.keys, key)), secret

    def remove(self, name: str) -> ApiKeys:
        """Raises NotFound."""
        kept = tuple(key for key in self.keys if key.name != name)
        if len(kept) == len(self.keys):
            raise NotFound(f"'{name}' has no key. See 'mlops serve keys'.")
        return ApiKeys(keys=kept)


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def parse_keys(text: str, *, where: str) -> ApiKeys:
    """An empty object is no keys. Raises SettingsError; the message never shows the content."""
    try:
        return ApiKeys.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as exc:
        raise SettingsError(
            f'{where} holds no API keys. It must be {{"keys": []}} at the start; '
            "'mlops serve create-key' fills it."
        ) from exc


class KeyStore(Protocol):
    """Where the hashes are kept."""

    def load(self) -> ApiKeys:
        """No keys where nothing was stored yet. Raises SettingsError, Refused, Unavailable."""

    def save(self, keys: ApiKeys) -> None:
        """Replace them all. Nobody else may do so at the same time."""


class SecretKeys:
    """The hashes in a secret of Secrets Manager."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self._name = aws, name

    def load(self) -> ApiKeys:
        try:
            text = read_secret(self._aws, self._name)
        except NotFound:
            return ApiKeys()
        return parse_keys(text, where=f"Secret '{self._name}'")

    def save(self, keys: ApiKeys) -> None:
        client, text = self._aws.client("secretsmanager"), keys.model_dump_json()
        with translated(f"Writing secret '{self._name}'"):
            try:
                client.update_secret(SecretId=self._name, SecretString=text)
            except ClientError as exc:
                if error_code(exc) != "ResourceNotFoundException":
                    raise
                client.create_secret(Name=self._name, SecretString=text)


class FileKeys:
    """The hashes in a file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> ApiKeys:
        if not self._path.exists():
            return ApiKeys()
        return parse_keys(self._path.read_text(encoding="utf-8"), where=str(self._path))

    def save(self, keys: ApiKeys) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(keys.model_dump_json(indent=1), encoding="utf-8")
        fresh.replace(self._path)


class Doorkeeper:
    """Knows callers by their keys; reads the keys again now and then, and for an unknown one."""

    def __init__(
        self,
        store: KeyStore,
        *,
        pause_seconds: float = 2.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """pause_seconds: how often unknown keys may make it read again."""
        self._store = store
        self._pause, self._now = pause_seconds, now
        self._keys = ApiKeys()
        self._read_at = -float("inf")
        self._lock = asyncio.Lock()
        self.problem: str | None = "the keys were not read yet"

    async def identify(self, presented: str | None, permission: str = PREDICT) -> str:
        """The caller's name. Raises Unauthenticated, or NotAllowed without the permission."""
        if not presented:
            raise Unauthenticated("The request has no API key.", remedy=_REMEDY)
        key = self._keys.find(presented)
        if key is None or not key.may(permission):
            await self._reread()
            key = self._keys.find(presented)
        if key is None:
            raise Unauthenticated("The API key is not known.", remedy=_REMEDY)
        if not key.may(permission):
            raise NotAllowed(
                f"The key of '{key.name}' does not allow '{permission}'.",
                remedy="Ask for a key with this permission; 'mlops serve create-key --help'.",
            )
        return key.name

    async def refresh(self) -> None:
        """Read the keys; what cannot be read leaves the known ones valid."""
        self._read_at = self._now()
        try:
            self._keys = await asyncio.to_thread(self._store.load)
            self.problem = None if self._keys.keys else "there are no keys yet"
        except MlopsError as exc:
            self.problem = str(exc)
            log.warning("API keys not read, the known ones stay", extra={"cause": str(exc)})

    async def _reread(self) -> None:
        async with self._lock:
            if self._now() - self._read_at >= self._pause:
                await self.refresh()
