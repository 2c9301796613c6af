"""What somebody works with who operates endpoints, put together from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlops.aws import Aws
from mlops.clock import Clock
from mlops.deploying.endpoints import Changed, Endpoints
from mlops.deploying.moves import Rule, apply_move
from mlops.deploying.opening import open_target
from mlops.deploying.targets import Target
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
    target: Target

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.documents)

    def describe(self, endpoint: str | None) -> list[dict[str, Any]]:
        """What one endpoint serves, or every one. Raises NotFound."""
        names = [endpoint] if endpoint else list_endpoints(self.documents)
        return [self._described(self.endpoints.load(name)) for name in names]

    def _described(self, deployment: Deployment) -> dict[str, Any]:
        seen = self.target.describe(deployment, now=self.clock.now())
        return describe(deployment) | dict(seen)

    def change(
        self, endpoint: str, action: str, rule: Rule, *, reason: str, dry_run: bool = False
    ) -> Changed | None:
        """Make a move on the caller's account; None where it is so already.

        Raises InputError for a bad reason, NotFound, Refused, Conflict.
        """
        who = self.aws.identity
        require_person(who)
        change = Change(endpoint, endpoint, self.clock.now(), who, require_reason(reason))

        def move(current: Deployment | None) -> Deployment | None:
            if current is not None:
                self.target.check_move(action, current)
            return apply_move(current, rule, change)

        if dry_run:
            before = self.endpoints.load(endpoint)
            after = move(before)
            return Changed(before, after) if after else None
        done = self.endpoints.change(endpoint, action, move)
        if done is not None:
            tell(self.notices, describe_change(done.before, done.after), facts_of(action, done))
        return done


def open_deploy_desk(settings: Settings) -> DeployDesk:
    """S3 and SNS, as whoever the environment says."""
    names, aws = settings.names, Aws(region=settings.region)
    documents = S3Documents(aws, names.artifact_bucket)
    notices, clock = SnsNotices(aws, names.topic_arn), settings.build_clock()
    return DeployDesk(aws, documents, notices, clock, open_target(settings, aws, documents))
