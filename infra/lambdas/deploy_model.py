"""Lambda: an approval or rejection in the registry becomes the endpoint's deployment document.

Invoked by EventBridge with 'SageMaker Model Package State Change', and each minute by schedule.
What changed a version around the approval record is told at once, and deploys nothing.
The event only says where to look: what is deployed follows from the approval record and the
registry as they are now, so duplicated, delayed and reordered events end in the same deployment,
and a lost one is caught up with by the schedule, which also takes the steps of rollouts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.lambdas.rollouts import RolloutDriver
from mlops.aws import Aws
from mlops.clock import Clock
from mlops.deploying.approved import approvals_of
from mlops.deploying.endpoints import Changed, Endpoints
from mlops.deploying.opening import open_target
from mlops.deploying.telling import facts_of
from mlops.deployment import Deployment
from mlops.errors import InputError, Refused
from mlops.names import Names, Role
from mlops.notices import Notices, SnsNotices, tell
from mlops.objects import Documents, S3Documents
from mlops.registry.bypasses import Bypasses
from mlops.registry.delivery import SOURCE as MLFLOW_SOURCE
from mlops.registry.delivery import STATUS
from mlops.registry.opening import open_records, open_registry
from mlops.registry.record import Entry, Records, latest, verify
from mlops.registry.trail import has_files_of
from mlops.registry.versions import ModelRegistry, ModelVersion, Status
from mlops.rollout import Change, roll_out
from mlops.settings import load_settings

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Model Package State Change"
SCHEDULE = "aws.events"
"""The source of the events that a rule sends by its schedule."""
ROLE = Role.MODEL_DEPLOYER


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Deploy what an event's version calls for, and say what was done.

    Raises, so that the invocation is retried and counted as an error, when it cannot.
    """
    settings = load_settings()
    names, aws = settings.names, Aws(region=settings.region)
    deployer = ModelDeployer(
        registry=open_registry(settings, aws),
        records=open_records(settings, aws),
        documents=S3Documents(aws, names.artifact_bucket),
        notices=SnsNotices(aws, names.topic_arn),
        clock=settings.build_clock(),
    )
    if event.get("source") == SCHEDULE:
        documents, target = deployer.documents, open_target(settings, aws, deployer.documents)
        who = names.role_arn(ROLE)
        driver = RolloutDriver(documents, deployer.notices, deployer.clock, target, who)
        return as_answer(driver.drive(deployer.catch_up))
    change = read_event(event, names)
    return as_answer(react(deployer, change)) if change else {"action": "ignored"}


def react(deployer: ModelDeployer, change: RegistryChange) -> Mapping[str, Any]:
    """Roll out a decision, and tell of what was changed around the record.

    The decision goes first: it waits for no notice.
    """
    refused: Refused | None = None
    done: Mapping[str, Any] = {"action": "ignored", "model": change.model}
    try:
        if change.version is not None and change.decides:
            done = deployer.deploy(change.model, change.version)
    except Refused as exc:
        refused = exc
    problems = deployer.bypasses.look(change.model, change.version)
    if refused is not None and not problems:
        raise refused
    told = {"action": "bypassed", "model": change.model} if refused else done
    return {**told, "problems": problems} if problems else told


def as_answer(facts: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON: Lambda counts an answer that it cannot write as a failure, and invokes again."""
    answer: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return answer


@dataclass(frozen=True)
class RegistryChange:
    """Where to look."""

    model: str
    version: int | None
    """None where it is no version's, but which one is called the approved."""
    decides: bool
    """Whether the status changed, and not only what else the registry keeps."""


def read_event(event: Mapping[str, Any], names: Names) -> RegistryChange | None:
    """What changed; None where nothing of ours did.

    Writing metadata to an approved version has SageMaker send 'Approved' again: only an event whose
    updated fields hold the status is a decision. MLflow tells of the rest as well, as anyone who
    may write to a model can change its files there.
    """
    detail, source = event.get("detail"), event.get("source")
    if source not in {SOURCE, MLFLOW_SOURCE} or not isinstance(detail, Mapping):
        raise InputError(f"This Lambda takes events of {SOURCE}, '{DETAIL_TYPE}'; not {event}.")
    group, start = detail.get("ModelPackageGroupName", ""), names.model_group("")
    changed = detail.get("UpdatedModelPackageFields") or []
    decides = STATUS in changed
    if not group.startswith(start) or not (decides or (changed and source == MLFLOW_SOURCE)):
        return None
    version = detail.get("ModelPackageVersion")
    return RegistryChange(
        group.removeprefix(start), None if version is None else int(version), decides
    )


@dataclass(frozen=True)
class ModelDeployer:
    """Brings an endpoint's document in line with the record; safe to run at any time."""

    registry: ModelRegistry
    records: Records
    documents: Documents
    notices: Notices
    clock: Clock

    @property
    def bypasses(self) -> Bypasses:
        return Bypasses(self.registry, self.records, self.documents, self.notices, self.clock)

    def deploy(self, model: str, version: int) -> dict[str, Any]:
        """Bring the model's endpoint up to date after a decision on one version.

        Raises Conflict when others change the endpoint all the time.
        """
        decided: list[Entry] = []

        def move(current: Deployment | None) -> Deployment | None:
            # The document was read first: what changes the record later also changes it.
            entries = self._entries(model)
            found = decision_on(self.registry.get(model, version), entries)
            decided[:] = [found] if found else []
            return self._rolled_out(current, entries, found) if found else None

        done = Endpoints(self.documents).change(model, "decide", move)
        if done is not None:
            return self._tell(done, decided[0])
        action = "unchanged" if decided else "ignored"
        return {"action": action, "model": model, "version": version}

    def catch_up(self, model: str) -> dict[str, Any] | None:
        """Bring an endpoint up to date with its whole record; None where it is.

        An endpoint without a record is left as it is: nobody decided on it.
        """
        newest = next((e for e in reversed(self._entries(model)) if e.decides), None)
        if newest is None:
            return None
        done = Endpoints(self.documents).change(
            model, "decide", lambda now: self._rolled_out(now, self._entries(model), newest)
        )
        return self._tell(done, newest) if done else None

    def _rolled_out(
        self, current: Deployment | None, entries: Sequence[Entry], decided: Entry
    ) -> Deployment | None:
        model = decided.model
        change = Change(model, model, self.clock.now(), decided.who, decided.reason)
        approved = approvals_of(entries, current, self.registry, self.documents)
        return roll_out(current, approved, change)

    def _entries(self, model: str) -> list[Entry]:
        entries = self.records.entries(model)
        if problems := verify(model, entries):
            raise Refused(
                f"The record of '{model}' is broken: {'; '.join(problems)}. "
                "Nothing is deployed from it. See: mlops models history " + model
            )
        return entries

    def _tell(self, done: Changed, decided: Entry) -> dict[str, Any]:
        facts = facts_of("deployed", done) | {
            "decision": f"{decided.action} version {decided.version}",
            "record": decided.sequence,
        }
        tell(self.notices, facts["message"], facts)
        return facts


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
    if decided.after is Status.APPROVED and not has_files_of(version, decided):
        raise Refused(
            f"{label} points to other files than those that entry {decided.sequence} of the "
            "record approved. Nothing is deployed. Train and register it again."
        )
    return decided
