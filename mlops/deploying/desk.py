"""What somebody works with who operates endpoints, put together from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlops.aws import Aws
from mlops.clock import Clock
from mlops.deploying.endpoints import Changed, Endpoints
from mlops.deploying.figures import read_observations
from mlops.deploying.moves import Rule, apply_move
from mlops.deploying.stepping import assess, look
from mlops.deploying.telling import describe, facts_of
from mlops.deployment import Deployment, list_endpoints
from mlops.notices import Notices, SnsNotices, tell
from mlops.objects import Documents, S3Documents
from mlops.registry.rules import require_person, require_reason
from mlops.rollout import Change, describe_change
from mlops.settings import Settings


@dataclass(frozen=True)
class DeployDesk:
    """The endpoints of one environment, as one identity."""

    aws: Aws
    documents: Documents
    notices: Notices
    clock: Clock

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.documents)

    def describe(self, endpoint: str | None) -> list[dict[str, Any]]:
        """What one endpoint serves, or every one. Raises NotFound."""
        names = [endpoint] if endpoint else list_endpoints(self.documents)
        return [self._described(self.endpoints.load(name)) for name in names]

    def _described(self, deployment: Deployment) -> dict[str, Any]:
        told = describe(deployment)
        if deployment.rollout is None:
            return told
        seen = look(deployment, read_observations(self.documents, deployment.endpoint))
        verdict = assess(deployment.rollout, seen, now=self.clock.now())
        figures = {"trial": seen.trial.describe(), "stable": seen.stable.describe()}
        return told | {"verdict": {"says": verdict.says, "out": verdict.out} | figures}

    def change(
        self, endpoint: str, action: str, rule: Rule, *, reason: str, dry_run: bool = False
    ) -> Changed | None:
        """Make a move on the caller's account; None where it is so already.

        Raises InputError for a bad reason, NotFound, Refused, Conflict.
        """
        who = self.aws.identity
        require_person(who)
        change = Change(endpoint, endpoint, self.clock.now(), who, require_reason(reason))
        if dry_run:
            before = self.endpoints.load(endpoint)
            after = apply_move(before, rule, change)
            return Changed(before, after) if after else None
        done = self.endpoints.change(endpoint, action, lambda now: apply_move(now, rule, change))
        if done is not None:
            tell(self.notices, describe_change(done.before, done.after), facts_of(action, done))
        return done


def open_deploy_desk(settings: Settings) -> DeployDesk:
    """S3 and SNS, as whoever the environment says."""
    names, aws = settings.names, Aws(region=settings.region)
    documents = S3Documents(aws, names.artifact_bucket)
    return DeployDesk(aws, documents, SnsNotices(aws, names.topic_arn), settings.build_clock())
