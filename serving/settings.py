"""The settings of a serving process: the environment's, and its own section of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.errors import SettingsError
from mlops.settings import Settings, load_settings
from serving.tls import Tls


class Section(BaseModel):
    """Settings of one process, read from `MLOPS_<SECTION>_<FIELD>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TracedSection(Section):
    """A process whose requests may be traced."""

    traces_endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """An OTLP/HTTP collector, such as http://collector:4318/v1/traces; without, nothing is."""
    traces_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The part of requests that is traced where the caller's `traceparent` does not decide."""


class TlsSection(Section):
    """A process that may serve TLS: https in place of http, and gRPC likewise."""

    tls_certificate_file: Path | None = None
    """PEM; without it there is no TLS."""
    tls_key_file: Path | None = None
    tls_clients_ca_file: Path | None = None
    """Callers must show a certificate of this authority."""

    @property
    def tls(self) -> Tls | None:
        if self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return Tls(self.tls_certificate_file, self.tls_key_file, self.tls_clients_ca_file)

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        pair = (self.tls_certificate_file, self.tls_key_file)
        if any(pair) != all(pair) or (self.tls_clients_ca_file and not all(pair)):
            raise ValueError("TLS needs TLS_CERTIFICATE_FILE and TLS_KEY_FILE; set both or none")
        return self


AnySection = TypeVar("AnySection", bound=Section)


def load_process_settings(
    kind: type[AnySection],
    prefix: str,
    environ: Mapping[str, str] | None = None,
    *,
    needs_redis: bool = False,
) -> tuple[Settings, AnySection]:
    """Read both. Raises SettingsError once, with everything that is missing or wrong."""
    environ = os.environ if environ is None else environ
    problems, settings, section = [], None, None
    try:
        settings = load_settings(environ)
    except SettingsError as exc:
        problems.append(str(exc))
    try:
        section = load_section(kind, prefix, environ)
    except SettingsError as exc:
        problems.append(str(exc))
    if needs_redis and not environ.get("MLOPS_REDIS_URL"):
        problems.append("Settings missing: MLOPS_REDIS_URL.")
    if settings is None or section is None or problems:
        raise SettingsError(" ".join(problems))
    return settings, section


def load_section(kind: type[AnySection], prefix: str, environ: Mapping[str, str]) -> AnySection:
    """Raises SettingsError with every variable that is missing or wrong."""
    values = {
        name: environ[prefix + name.upper()]
        for name in kind.model_fields
        if environ.get(prefix + name.upper())
    }
    try:
        return kind.model_validate(values)
    except ValidationError as exc:
        problems = "; ".join(f"{_variable(prefix, e['loc'])}: {e['msg']}" for e in exc.errors())
        raise SettingsError(f"Settings wrong: {problems}.") from exc


def _variable(prefix: str, loc: tuple[int | str, ...]) -> str:
    return prefix + str(loc[0]).upper() if loc else prefix + "*"
