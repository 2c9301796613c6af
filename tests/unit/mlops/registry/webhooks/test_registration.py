"""MLflow has one webhook for an environment, as it is wanted, however often that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlops.errors import MlopsError
from mlops.registry.webhooks.desk import WebhookDesk
from mlops.registry.webhooks.registration import Webhook, plan, webhook_of
from tests.approvals import NAMES

WANTED = webhook_of(NAMES, "https://mlflow.example.com/mlops/registry-events", "a key")
OTHERS: dict[str, Any] = {"webhook_id": "theirs", "name": "somebody else's", "url": "https://x"}


@dataclass
class Server:
    """Webhooks as MLflow keeps them, two to a page; it never tells a secret."""

    webhooks: list[dict[str, Any]] = field(default_factory=lambda: [dict(OTHERS)])
    secrets: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] = field(
        default_factory=lambda: {"success": True, "response_status": 200}
    )

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        assert path == "webhooks"
        start = int(query.get("page_token", "0"))
        more = {"next_page_token": str(start + 2)} if len(self.webhooks) > start + 2 else {}
        return {"webhooks": self.webhooks[start : start + 2], **more}

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if path.endswith("/test"):
            return {"result": self.result}
        made = {"webhook_id": f"w{len(self.webhooks)}", "events": []}
        self.webhooks.append(made)
        return self.patch(f"webhooks/{made['webhook_id']}", body)

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        found = self._find(path)
        fields = dict(body)
        self.secrets[found["webhook_id"]] = fields.pop("secret")
        found.update(fields, events=list(reversed(fields["events"])))
        return {"webhook": found}

    def delete(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.webhooks.remove(self._find(path))
        return {}

    def _find(self, path: str) -> dict[str, Any]:
        return next(w for w in self.webhooks if path == f"webhooks/{w['webhook_id']}")


def _desk(server: Server, wanted: Webhook = WANTED) -> WebhookDesk:
    return WebhookDesk(server, wanted)


def test_a_webhook_is_made_once() -> None:
    server = Server()
    first = _desk(server).keep(dry_run=False)
    kept = [dict(one) for one in server.webhooks]
    assert (first["steps"], first["answered"]) == (["create"], 200)
    assert _desk(server).keep(dry_run=False)["steps"] == []
    assert server.webhooks == kept
    assert server.secrets == {"w1": "a key"}


def test_a_dry_run_says_so_and_changes_nothing() -> None:
    server = Server()
    assert _desk(server).keep(dry_run=True)["steps"] == ["create"]
    assert server.webhooks == [OTHERS]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "https://elsewhere"}, "url"),
        ({"status": "DISABLED"}, "status"),
        ({"events": []}, "events"),
    ],
)
def test_what_somebody_changed_is_put_right(changed: dict[str, Any], field: str) -> None:
    server = Server()
    _desk(server).keep(dry_run=False)
    server.webhooks[1].update(changed)
    assert _desk(server).keep(dry_run=False)["steps"] == [f"update {field}"]
    assert _desk(server).keep(dry_run=False)["steps"] == []


def test_a_changed_secret_is_handed_over_though_mlflow_never_tells_the_old_one() -> None:
    server = Server()
    _desk(server).keep(dry_run=False)
    other = webhook_of(NAMES, WANTED.url, "another key")
    assert _desk(server, other).keep(dry_run=False)["steps"] == ["update description"]
    assert server.secrets == {"w1": "another key"}
    assert "another key" not in str(server.webhooks)


def test_webhooks_of_the_same_name_are_taken_out_but_one_and_other_names_stay() -> None:
    server = Server()
    for _ in range(3):
        server.post("webhooks", {**WANTED.fields(), "secret": WANTED.key})
    found = server.webhooks
    assert [step.action for step in plan(found, WANTED, WANTED.name)] == ["delete", "delete"]
    _desk(server).keep(dry_run=False)
    assert [one["name"] for one in server.webhooks] == [OTHERS["name"], WANTED.name]
    assert len(_desk(server).remove(dry_run=True)["steps"]) == 1
    _desk(server).remove(dry_run=False)
    assert server.webhooks == [OTHERS]
    assert _desk(server).remove(dry_run=False)["steps"] == []


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({"response_status": 401, "response_body": "not signed"}, "401 not signed"),
        ({"error_message": "Failed to test webhook: no route"}, "no route"),
        ({}, "0"),
    ],
)
def test_a_receiver_that_takes_no_example_is_named(result: dict[str, Any], why: str) -> None:
    with pytest.raises(MlopsError, match=f"{WANTED.url} did not take an example: .*{why}"):
        _desk(Server(result=result)).keep(dry_run=False)


def test_the_key_stands_in_no_text() -> None:
    assert "a key" not in repr(WANTED) + str(WANTED.fields())
