"""What the schedule drives: every endpoint follows its record, and every rollout takes its step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.clock import Clock
from mlops.deploying.endpoints import Changed, Endpoints
from mlops.deploying.stepping import Step
from mlops.deploying.targets import Target
from mlops.deploying.telling import facts_of
from mlops.deployment import list_endpoints
from mlops.errors import MlopsError
from mlops.notices import Notices, tell
from mlops.objects import Documents

Follow = Callable[[str], Mapping[str, Any] | None]
"""Brings one endpoint in line with its approval record; None where it is already."""


@dataclass(frozen=True)
class RolloutDriver:
    """Looks after every endpoint once; safe to run at any time and several times at once."""

    documents: Documents
    notices: Notices
    clock: Clock
    target: Target
    who: str
    """The ARN that it acts as."""

    def drive(self, follow: Follow) -> dict[str, Any]:
        """Raises, after all were looked after, when one could not be."""
        done, failed = [], []
        for endpoint in list_endpoints(self.documents):
            try:
                done += self._look_after(endpoint, follow)
            except MlopsError as exc:
                failed.append(f"{endpoint}: {exc}")
        if failed:
            raise MlopsError(f"{len(failed)} endpoints not looked after. " + " ".join(failed))
        return {"action": "driven", "changed": done}

    def _look_after(self, endpoint: str, follow: Follow) -> list[Mapping[str, Any]]:
        Endpoints(self.documents).complete(endpoint)
        return [done for done in (follow(endpoint), self.advance(endpoint)) if done]

    def advance(self, endpoint: str) -> dict[str, Any] | None:
        """Have the endpoint serve its document, take the step that is due, and tell of it."""
        endpoints = Endpoints(self.documents)
        current = endpoints.load(endpoint)
        due = self.target.advance(current, now=self.clock.now(), by=self.who)
        if due is None:
            return None
        # Only what was looked at is changed; whatever somebody made of it is looked at next time.
        done = endpoints.change(
            endpoint, due.action, lambda now: due.deployment if now == current else None
        )
        if done is None:
            return None
        if done.after.rollout is None:
            self.target.forget(endpoint)
        return self._told(due, done)

    def _told(self, due: Step, done: Changed) -> dict[str, Any]:
        facts = facts_of(due.action, done)
        if due.figures:
            facts["figures"] = dict(due.figures)
        tell(self.notices, f"{facts['message']} {facts['reason']}", facts)
        return facts
