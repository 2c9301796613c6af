"""Who may approve a model's versions, and what must hold of them: rules from git, as applied.

They are written beside the model's code (`pipelines/<model>/approval.toml`) and count once they
were applied to the environment, which approvers cannot do.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.errors import InputError, NotFound, Refused
from mlops.names import Names
from mlops.objects import Documents
from mlops.registry.comparison import better_direction

FILE = "approval.toml"
PREFIX = "approval/"
_ENVIRONMENTS = "environments"

Bounds = Mapping[str, Annotated[float, Field(allow_inf_nan=False)]]


class Rules(BaseModel):
    """The rules of one model in one environment; what is not said is not asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approvers: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "arn:aws:sts::{account}:assumed-role/{prefix}-approver/*",
    )
    """Who may decide: ARNs as STS names them, with * and ?; {account}, {prefix} and {env} stand
    for the environment's own."""
    approvals: Annotated[int, Field(ge=1, le=5)] = 1
    """How many of them must say yes, each another person."""
    ticket: str | None = None
    """What the ticket of a decision must look like, as a regular expression; None asks for none."""
    at_least: Bounds = {}
    """The least that a metric must reach."""
    at_most: Bounds = {}
    """The most that a metric may be."""
    not_worse: Bounds = {}
    """By how much a metric may be worse than the approved version's on the same rows."""
    onnx_parity: Annotated[float, Field(gt=0)] | None = None
    """The largest difference between what is served and what was trained."""
    dataset: bool = False
    """Whether the data set that it was trained on must be on record."""
    latency_ms: Annotated[float, Field(gt=0)] | None = None
    """What 99 of 100 predictions of one row may take at most, as measured at registration."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if unknown := [name for name in self.not_worse if better_direction(name) is None]:
            raise ValueError(
                f"not_worse: nobody knows whether more or less {', '.join(unknown)} is better; "
                "bound it by at_least or at_most"
            )
        try:
            re.compile(self.ticket or "")
        except re.error as exc:
            raise ValueError(f"ticket is no regular expression: {exc}") from exc
        return self

    @property
    def sha256(self) -> str:
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def admits(self, who: str, names: Names) -> bool:
        """Whether an identity is among those who may decide."""
        return any(fnmatchcase(who, pattern) for pattern in self.approvers_in(names))

    def approvers_in(self, names: Names) -> list[str]:
        """The patterns, with the environment's own names in them."""
        known = {"account": names.account, "prefix": names.prefix, "env": names.env}
        return [_filled(pattern, known) for pattern in self.approvers]


class Applied(BaseModel):
    """Rules in force, and who put them there; times UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    rules: Rules = Rules()
    applied_at: datetime | None = None
    """None where none were applied, and the platform's own are in force."""
    applied_by: str = ""


def read_rules(text: str, *, env: str, where: str) -> Rules:
    """The rules of an environment: the file's own, with what [environments.ENV] says instead.

    Raises InputError naming the file and everything that is wrong in it.
    """
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InputError(f"{where} is no TOML: {exc}.") from exc
    special = written.pop(_ENVIRONMENTS, {})
    try:
        for values in special.values():
            Rules.model_validate(written | values)
        return Rules.model_validate(written | special.get(env, {}))
    except (ValidationError, TypeError, AttributeError) as exc:
        raise InputError(f"{where}: {_wrong(exc)}. Rules are: {_known()}.") from exc


def rules_key(model: str) -> str:
    return f"{PREFIX}{model}.json"


def load_rules(documents: Documents, model: str) -> Applied:
    """What is in force. Raises Refused where it cannot be read."""
    try:
        body = documents.get(rules_key(model)).body
    except NotFound:
        return Applied(model=model)
    try:
        return Applied.model_validate_json(body)
    except ValidationError as exc:
        raise Refused(
            f"The approval rules of '{model}' cannot be read: {_wrong(exc)}. "
            f"Apply them again: mlops models rules {model} --apply"
        ) from exc


def save_rules(documents: Documents, applied: Applied) -> None:
    """Put rules in force."""
    documents.put(rules_key(applied.model), applied.model_dump_json(indent=1).encode())


def _filled(pattern: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern


def _known() -> str:
    return ", ".join(Rules.model_fields)


def _wrong(error: Any) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'rules'}: {e['msg']}" for e in error.errors()
    )
