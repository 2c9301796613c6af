"""What an approver works with, put together from the settings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.aws import Aws
from mlops.deployment import Deployment, load_deployment
from mlops.errors import NotFound
from mlops.names import Names
from mlops.objects import Documents, S3Documents
from mlops.registry.approval import Approvals
from mlops.registry.delivery import deliver
from mlops.registry.dossier import Dossier, read_dossier
from mlops.registry.opening import identify, open_records, open_registry
from mlops.registry.policy import Applied, read_rules
from mlops.registry.record import Records
from mlops.registry.versions import ModelRegistry, ModelVersion, Status
from mlops.settings import Settings


@dataclass
class Desk:
    """The registry, the record and the deployments of one environment, as one identity."""

    aws: Aws
    names: Names
    registry: ModelRegistry
    records: Records
    documents: Documents
    approvals: Approvals
    settings: Settings
    _deployments: dict[str, Deployment | None] = field(default_factory=dict)

    @property
    def who(self) -> str:
        """The caller's ARN, from STS or the MLflow server."""
        return identify(self.settings, self.aws)

    def serves(self, version: ModelVersion) -> str:
        """What the version's endpoint uses it for: 'stable', 'canary', 'shadow' or ''."""
        deployment = self._deployment(version.model)
        return deployment.use_of(version.version) if deployment else ""

    def describe(self, version: ModelVersion) -> dict[str, Any]:
        """The version as JSON values, with what it serves."""
        # A metric that is no number is null here: JSON has no NaN.
        return {**json.loads(version.model_dump_json()), "serves": self.serves(version)}

    def dossier(self, model: str, version: int) -> Dossier:
        """A version with its manifest and scorecard, as far as there are any."""
        found = self.registry.get(model, version)
        return read_dossier(self.documents, self.names.artifact_bucket, found)

    def tell_rollout(self, version: ModelVersion) -> None:
        """Deliver a decision, where the registry does not do so itself."""
        if self.settings.registry == "mlflow":
            deliver(self.aws, self.names, [version])

    def deliver_decisions(self) -> list[ModelVersion]:
        """Tell the rollout of every version that was decided on, again."""
        found = [v for model in self.registry.models() for v in self.registry.versions(model)]
        decided = [version for version in found if version.status is not Status.PENDING]
        deliver(self.aws, self.names, decided)
        return decided

    def rules_of_file(self, model: str, path: Path) -> Applied:
        """The rules that a file has for this environment, as they would be applied now.

        Raises NotFound, InputError.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as exc:
            raise NotFound(
                f"{path}: {exc.strerror}. Name the file of the rules: --file PATH"
            ) from exc
        rules = read_rules(text, env=self.names.env, where=str(path))
        now = self.approvals.clock.now()
        return Applied(model=model, rules=rules, applied_at=now, applied_by=self.aws.identity)

    def _deployment(self, endpoint: str) -> Deployment | None:
        if endpoint not in self._deployments:
            try:
                self._deployments[endpoint] = load_deployment(self.documents, endpoint)[0]
            except NotFound:
                self._deployments[endpoint] = None
        return self._deployments[endpoint]


def open_desk(settings: Settings) -> Desk:
    """The registry, the record and the buckets that the settings name, as whoever calls."""
    names, aws = settings.names, Aws(region=settings.region)
    registry = open_registry(settings, aws)
    records = open_records(settings, aws)
    documents = S3Documents(aws, names.artifact_bucket)
    clock = settings.build_clock()
    data = S3Documents(aws, names.data_bucket)
    approvals = Approvals(registry, records, documents, data, names, clock)
    return Desk(aws, names, registry, records, documents, approvals, settings)
