"""Lambda: an approval or rejection in the registry becomes the endpoint's deployment document.

Invoked by EventBridge with 'SageMaker Model Package State Change'. The event only says where to
look: what is deployed follows from the approval record and the registry as they are now, so
duplicated, delayed and reordered events end in the same deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.aws import Aws
from mlops.clock import Clock
from mlops.deployment import DeployedVersion, Deployment, load_deployment, save_deployment
from mlops.errors import Conflict, InputError, NotFound, Refused
from mlops.names import Names
from mlops.notices import Notices, SnsNotices
from mlops.objects import Document, Documents, S3Documents
from mlops.registry.dynamodb import DynamoRecords
from mlops.registry.record import Entry, Records, latest, standing_approvals, verify
from mlops.registry.sagemaker import SageMakerRegistry
from mlops.registry.versions import ModelRegistry, ModelVersion, Status
from mlops.rollout import KEPT, Change, describe_change, roll_out
from mlops.settings import load_settings

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Model Package State Change"
ATTEMPTS = 10


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Deploy what an event's version calls for, and say what was done.

    Raises, so that the invocation is retried and counted as an error, when the registry was
    changed around the approval record.
    """
    settings = load_settings()
    names, aws = settings.names, Aws(region=settings.region)
    deployer = ModelDeployer(
        registry=SageMakerRegistry(aws, names),
        records=DynamoRecords(aws, names.records_table),
        documents=S3Documents(aws, names.artifact_bucket),
        notices=SnsNotices(aws, names.topic_arn),
        clock=settings.build_clock(),
    )
    change = read_event(event, names)
    if change is None:
        return {"action": "ignored"}
    return deployer.deploy(*change)


def read_event(event: Mapping[str, Any], names: Names) -> tuple[str, int] | None:
    """The model and version whose status changed; None for any other event.

    Writing metadata to an approved version sends 'Approved' again: only an event whose updated
    fields hold the status is a decision.
    """
    detail = event.get("detail")
    if event.get("source") != SOURCE or not isinstance(detail, Mapping):
        raise InputError(f"This Lambda takes events of {SOURCE}, '{DETAIL_TYPE}'; not {event}.")
    group, start = detail.get("ModelPackageGroupName", ""), names.model_group("")
    changed = detail.get("UpdatedModelPackageFields") or []
    if "ModelApprovalStatus" not in changed or not group.startswith(start):
        return None
    return group.removeprefix(start), int(detail["ModelPackageVersion"])


@dataclass(frozen=True)
class ModelDeployer:
    """Brings an endpoint's document in line with the record; safe to run at any time."""

    registry: ModelRegistry
    records: Records
    documents: Documents
    notices: Notices
    clock: Clock

    def deploy(self, model: str, version: int) -> dict[str, Any]:
        """Bring the model's endpoint up to date after a decision on one version."""
        for _ in range(ATTEMPTS):
            try:
                return self._deploy_once(model, version)
            except _ChangedMeanwhile:
                continue
        raise Conflict(f"Endpoint '{model}' is changed all the time; nothing was deployed.")

    def _deploy_once(self, model: str, version: int) -> dict[str, Any]:
        # The document is read first: what changes the record later also changes the document.
        current, document = self._current(model)
        entries = self._entries(model)
        decided = decision_on(self.registry.get(model, version), entries)
        if decided is None:
            return {"action": "ignored", "model": model, "version": version}
        change = Change(model, model, self.clock.now(), decided.who, decided.reason)
        after = roll_out(current, self._approved(entries, current), change)
        if after is None:
            return {"action": "unchanged", "model": model, "version": version}
        self._save(after, document)
        return self._tell(current, after, decided)

    def _current(self, endpoint: str) -> tuple[Deployment | None, Document | None]:
        try:
            return load_deployment(self.documents, endpoint)
        except NotFound:
            return None, None

    def _entries(self, model: str) -> list[Entry]:
        entries = self.records.entries(model)
        if problems := verify(model, entries):
            raise Refused(
                f"The record of '{model}' is broken: {'; '.join(problems)}. "
                "Nothing is deployed from it. See: mlops models history " + model
            )
        return entries

    def _approved(
        self, entries: Sequence[Entry], current: Deployment | None
    ) -> list[DeployedVersion]:
        """The newest approvals that the registry confirmed, now or when they were deployed."""
        deployed = _deployed(current)
        approvals = standing_approvals(entries)
        found: list[DeployedVersion] = []
        for entry in approvals:
            version = _deployable(entry)
            if version in deployed or self._is_confirmed(entry):
                found.append(version)
            if len(found) > KEPT:
                break
        return found

    def _is_confirmed(self, entry: Entry) -> bool:
        try:
            version = self.registry.get(entry.model, entry.version)
        except NotFound:
            return False
        return version.status is Status.APPROVED and _is_what_was_approved(version, entry)

    def _save(self, after: Deployment, document: Document | None) -> None:
        try:
            save_deployment(self.documents, after, replacing=document)
        except Conflict as exc:
            raise _ChangedMeanwhile(str(exc)) from exc

    def _tell(self, before: Deployment | None, after: Deployment, decided: Entry) -> dict[str, Any]:
        done = {
            "action": "deployed",
            "endpoint": after.endpoint,
            "stable": after.stable.version if after.stable else None,
            "before": before.stable.version if before and before.stable else None,
            "revision": after.revision,
            "decision": f"{decided.action} version {decided.version}",
            "who": decided.who,
            "reason": decided.reason,
            "record": decided.sequence,
            "message": describe_change(before, after),
        }
        self.notices.publish(str(done["message"]), done)
        return done


class _ChangedMeanwhile(Conflict):
    """Another invocation wrote the document first."""


def decision_on(version: ModelVersion, entries: Sequence[Entry]) -> Entry | None:
    """The record's decision that the registry carries out; None while none is made.

    Raises Refused when the registry says what the record does not: somebody went around it, or
    a decision is on its way and a retry will find it.
    """
    decided = latest(entries, version.version)
    label = f"Version {version.version} of '{version.model}'"
    if decided is None and version.status is Status.PENDING:
        return None
    if decided is None:
        raise Refused(
            f"{label} was set to {version.status} around the approval record. Nothing is "
            "deployed. Decide with 'mlops models approve' or 'mlops models reject'."
        )
    if decided.after is not version.status:
        raise Refused(
            f"{label} is {version.status} in the registry, but entry {decided.sequence} of the "
            f"record says {decided.after}. Nothing is deployed. "
            f"Complete it: mlops models {decided.action} {version.model} {version.version}"
        )
    if decided.after is Status.APPROVED and not _is_what_was_approved(version, decided):
        raise Refused(
            f"{label} points to other files than those that entry {decided.sequence} of the "
            "record approved. Nothing is deployed. Train and register it again."
        )
    return decided


def _is_what_was_approved(version: ModelVersion, entry: Entry) -> bool:
    found = (version.package_arn, version.model_prefix, version.manifest_sha256)
    return found == (entry.package_arn, entry.model_prefix, entry.manifest_sha256)


def _deployable(entry: Entry) -> DeployedVersion:
    return DeployedVersion(
        version=entry.version,
        package_arn=entry.package_arn,
        model_prefix=entry.model_prefix,
        manifest_sha256=entry.manifest_sha256,
    )


def _deployed(current: Deployment | None) -> tuple[DeployedVersion, ...]:
    if current is None:
        return ()
    return (*filter(None, [current.stable]), *current.history)
