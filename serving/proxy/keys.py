"""Registered callers and where they are kept: hashes of keys and subjects of tokens, no secrets.

A key is 32 random bytes, so a plain SHA-256 of it cannot be searched, unlike that of a password.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.aws import Aws, error_code, read_secret, translated
from mlops.errors import Conflict, InputError, NotFound, SettingsError
from serving.proxy.callers import PERMISSION, PREDICT, Caller, Rate

PREFIX = "mlops_"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Permission = Annotated[str, Field(pattern=PERMISSION)]


class CallerRate(BaseModel):
    """How often a caller may ask each process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_second: Annotated[float, Field(gt=0, le=1e6)]
    burst: Annotated[int, Field(ge=1, le=10**6)]


def build_rate(per_second: float | None, burst: int | None) -> CallerRate | None:
    """None without a rate; without a burst, the requests of a second. Raises InputError."""
    if per_second is None:
        if burst is not None:
            raise InputError("A burst needs a rate. Give --rate, too.")
        return None
    try:
        rate = CallerRate(per_second=per_second, burst=1 if burst is None else burst)
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InputError(f"The rate is wrong: {first['loc'][0]}: {first['msg']}.") from exc
    return rate if burst else rate.model_copy(update={"burst": math.ceil(per_second)})


class ApiKey(BaseModel):
    """A caller, and how it proves who it is: by a key, or by tokens of the identity provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=_NAME)]
    permissions: tuple[Permission, ...] = (PREDICT,)
    """What the caller may do; see `serving.proxy.callers.PERMISSION`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The key's hash."""
    subject: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Whose tokens are this caller's."""
    rate: CallerRate | None = None
    created: datetime

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if (self.sha256 is None) == (self.subject is None):
            raise ValueError("a caller has either the hash of a key or a subject")
        return self

    def caller(self) -> Caller:
        """As the routes see it."""
        mine = {PREDICT + ":*" if one == PREDICT else one for one in self.permissions}
        rate = Rate(self.rate.per_second, self.rate.burst) if self.rate else None
        return Caller(self.name, frozenset(mine), rate)


class ApiKeys(BaseModel):
    """The document that holds every caller."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()

    def find(self, presented: str) -> ApiKey | None:
        """The owner of a key."""
        digest = hash_key(presented)
        return next((key for key in self.keys if key.sha256 == digest), None)

    def add(
        self,
        name: str,
        *,
        now: datetime,
        permissions: Sequence[str] = (PREDICT,),
        rate: CallerRate | None = None,
    ) -> tuple[ApiKeys, str]:
        """These and a new key, and the key itself, which is nowhere else.

        Raises Conflict where the name is taken, InputError.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        proof = {"sha256": hash_key(secret)}
        return self._with(name, now=now, permissions=permissions, rate=rate, **proof), secret

    def add_subject(
        self,
        name: str,
        subject: str,
        *,
        now: datetime,
        permissions: Sequence[str] = (PREDICT,),
        rate: CallerRate | None = None,
    ) -> ApiKeys:
        """These and a caller that comes with tokens. Raises Conflict, InputError."""
        if taken := next((key.name for key in self.keys if key.subject == subject), None):
            raise Conflict(f"The tokens of this subject are those of '{taken}' already.")
        return self._with(name, now=now, permissions=permissions, rate=rate, subject=subject)

    def _with(self, name: str, *, now: datetime, **given: Any) -> ApiKeys:
        if any(key.name == name for key in self.keys):
            raise Conflict(
                f"'{name}' is registered already. Revoke it first: 'mlops serve revoke-key {name}'."
            )
        try:
            key = ApiKey(name=name, created=now, **given)
        except ValidationError as exc:
            raise InputError(_complaint(name, exc)) from exc
        return ApiKeys(keys=(*self.keys, key))

    def remove(self, name: str) -> ApiKeys:
        """Raises NotFound."""
        kept = tuple(key for key in self.keys if key.name != name)
        if len(kept) == len(self.keys):
            raise NotFound(f"'{name}' is not registered. See 'mlops serve keys'.")
        return ApiKeys(keys=kept)


def _complaint(name: str, error: ValidationError) -> str:
    first = error.errors()[0]
    if first["loc"][:1] == ("name",):
        return f"'{name}' is no name for a caller: use letters, digits, '.', '_', '-'."
    return f"Caller '{name}' cannot be registered: {first['loc'][0]}: {first['msg']}."


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
