"""Has MLflow tell of its registry: one webhook for each environment, made or put right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mlops.errors import MlopsError
from mlops.names import Names
from mlops.registry.webhooks.change import EVENTS

RECEIVER_PATH = "/mlops/registry-events"
"""Of MLflow's own address, behind the same balancer: a name and a certificate less."""
_PAGE = 100


class Webhooks(Protocol):
    """What is used of an MLflow server."""

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]: ...

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...

    def delete(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Webhook:
    """The webhook that there is to be."""

    name: str
    url: str
    key: str = field(repr=False)
    """What deliveries are signed with; MLflow never tells it again."""

    def fields(self) -> dict[str, Any]:
        """As MLflow answers it: the description says which key it has, and not the key."""
        fingerprint = hashlib.sha256(self.key.encode()).hexdigest()[:12]
        return {
            "name": self.name,
            "url": self.url,
            "description": f"Tells the platform of changes; signed with key {fingerprint}",
            "status": "ACTIVE",
            "events": [{"entity": e.value.upper(), "action": a.upper()} for e, a in EVENTS],
        }


@dataclass(frozen=True)
class Step:
    """One call that brings MLflow nearer to what is wanted."""

    action: Literal["create", "update", "delete"]
    id: str = ""
    fields: tuple[str, ...] = ()
    """What is not as wanted."""

    def __str__(self) -> str:
        return f"{self.action} {', '.join(self.fields) or self.id}".strip()


def webhook_of(names: Names, url: str, key: str) -> Webhook:
    """The webhook of one environment."""
    return Webhook(f"{names.prefix}-registry", url, key)


def plan(found: Sequence[Mapping[str, Any]], wanted: Webhook | None, name: str) -> list[Step]:
    """What is to be done, so that there is this one webhook of the name, or none."""
    own = [one for one in found if one["name"] == name]
    kept = own[: 1 if wanted else 0]
    steps = [Step("delete", one["webhook_id"]) for one in own[len(kept) :]]
    if wanted is None:
        return steps
    if not kept:
        return [Step("create"), *steps]
    differing = tuple(_differing(kept[0], wanted.fields()))
    update = [Step("update", kept[0]["webhook_id"], differing)] if differing else []
    return [*update, *steps]


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        if _plain(found.get(name)) != _plain(value):
            yield name


def _plain(value: Any) -> Any:
    """MLflow keeps events in no order."""
    if isinstance(value, list):
        return sorted((event["entity"], event["action"]) for event in value)
    return value


def read_webhooks(server: Webhooks) -> list[dict[str, Any]]:
    """Every webhook, the newest first. Raises Refused for who is no administrator of MLflow."""
    found: list[dict[str, Any]] = []
    query = {"max_results": str(_PAGE)}
    while True:
        answer = server.get("webhooks", query)
        found += answer.get("webhooks", [])
        if not answer.get("next_page_token"):
            return found
        query["page_token"] = answer["next_page_token"]


def carry_out(server: Webhooks, steps: Sequence[Step], wanted: Webhook | None) -> None:
    """Take the steps; done twice, the second has none to take."""
    body = {**wanted.fields(), "secret": wanted.key} if wanted else {}
    for step in steps:
        if step.action == "create":
            server.post("webhooks", body)
        elif step.action == "update":
            server.patch(f"webhooks/{step.id}", body)
        else:
            server.delete(f"webhooks/{step.id}", {})


def try_out(server: Webhooks, name: str) -> int:
    """Have MLflow send an example; the status that the receiver answered.

    Raises MlopsError where it did not take it.
    """
    (own, *_) = [one for one in read_webhooks(server) if one["name"] == name]
    result = server.post(f"webhooks/{own['webhook_id']}/test", {}).get("result", {})
    status = int(result.get("response_status", 0))
    if not result.get("success"):
        why = result.get("error_message") or f"{status} {result.get('response_body', '')}"
        raise MlopsError(
            f"MLflow has the webhook, but its receiver at {own['url']} did not take an example: "
            f"{why.strip()} Is it deployed, with the same secret?"
        )
    return status
