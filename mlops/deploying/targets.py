"""What makes an endpoint serve what its document says: our own services, or SageMaker's endpoints.

The document and its record are the same for both. What a target cannot do it refuses by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from mlops.deploying.figures import forget_observations, read_observations
from mlops.deploying.stepping import Step, assess, look, step
from mlops.deployment import Deployment
from mlops.objects import Documents


class Target(Protocol):
    """Where the versions of an environment's endpoints run, and what moves their traffic."""

    def check_move(self, action: str, deployment: Deployment) -> None:
        """Raises Refused where nobody can do this by hand to such an endpoint, as it is."""

    def advance(self, deployment: Deployment, *, now: datetime, by: str) -> Step | None:
        """Carry the document out as far as that is due; what is due of its rollout, else None.

        Called again and again, and after whoever did it before was killed.
        """

    def forget(self, endpoint: str) -> None:
        """Nothing is on trial any more."""

    def describe(self, deployment: Deployment, *, now: datetime) -> Mapping[str, Any]:
        """What is seen of the endpoint, for `mlops deploy status`."""


@dataclass(frozen=True)
class ServiceTarget:
    """Our services, which read the document themselves and write down what they saw."""

    documents: Documents

    def check_move(self, action: str, deployment: Deployment) -> None:
        """All of them can be done."""

    def advance(self, deployment: Deployment, *, now: datetime, by: str) -> Step | None:
        if deployment.rollout is None:
            return None
        seen = look(deployment, read_observations(self.documents, deployment.endpoint))
        due = step(deployment, seen, now=now, by=by)
        figures = {"trial": seen.trial.describe(), "stable": seen.stable.describe()}
        return replace(due, figures=figures) if due else None

    def forget(self, endpoint: str) -> None:
        forget_observations(self.documents, endpoint, read_observations(self.documents, endpoint))

    def describe(self, deployment: Deployment, *, now: datetime) -> Mapping[str, Any]:
        if deployment.rollout is None:
            return {}
        seen = look(deployment, read_observations(self.documents, deployment.endpoint))
        verdict = assess(deployment.rollout, seen, now=now)
        figures = {"trial": seen.trial.describe(), "stable": seen.stable.describe()}
        return {"verdict": {"says": verdict.says, "out": verdict.out} | figures}
