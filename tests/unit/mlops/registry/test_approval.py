"""Deciding on versions: who may, on what, and what happens when it goes wrong half-way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mlops.errors import Conflict, InputError, NotFound, Refused, Unavailable
from mlops.manifest import MANIFEST, MODEL
from mlops.registry.approval import Effect
from mlops.registry.memory import MemoryRecords, MemoryRegistry
from mlops.registry.policy import load_rules
from mlops.registry.record import Decision, Entry, chain, verify
from mlops.registry.trail import matches
from mlops.registry.versions import ModelVersion, Status
from tests.approvals import (
    APPROVER,
    NAMES,
    NOW,
    OTHER_APPROVER,
    SUBMITTER,
    TRAINER,
    Office,
    upload_model,
)


@pytest.fixture
def office() -> Office:
    office = Office()
    office.register(1)
    return office


def test_an_approval_is_recorded_and_carried_to_the_registry(office: Office) -> None:
    outcome = office.decide("approve", 1)
    version = office.registry.get("fraud", 1)
    assert outcome.effect is Effect.RECORDED
    assert version.status is Status.APPROVED
    assert matches(version, outcome.entry)


def test_the_record_says_who_when_why_from_what_to_what_and_on_which_files(office: Office) -> None:
    before = office.registry.get("fraud", 1)
    entry = office.decide("approve", 1, reason="  beats\nversion 0 ").entry
    assert (entry.who, entry.at, entry.reason) == (APPROVER, NOW, "beats version 0")
    assert (entry.before, entry.after) == (Status.PENDING, Status.APPROVED)
    assert (entry.package_arn, entry.model_prefix, entry.manifest_sha256, entry.metrics) == (
        before.package_arn,
        before.model_prefix,
        before.manifest_sha256,
        before.metrics,
    )


def test_approving_an_approved_version_changes_nothing_and_says_so(office: Office) -> None:
    first = office.decide("approve", 1)
    again = office.decide("approve", 1, who=OTHER_APPROVER, reason="me too")
    assert again.effect is Effect.UNCHANGED
    assert again.entry == first.entry
    assert len(office.records.entries("fraud")) == 1


def test_a_rejection_after_an_approval_is_a_second_entry(office: Office) -> None:
    office.decide("approve", 1)
    entry = office.decide("reject", 1, reason="drifts").entry
    assert (entry.sequence, entry.before, entry.after) == (2, Status.APPROVED, Status.REJECTED)
    assert office.registry.get("fraud", 1).status is Status.REJECTED


@pytest.mark.parametrize("reason", ["", "  \n\t "])
def test_a_decision_without_a_reason_is_refused(office: Office, reason: str) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        office.decide("approve", 1, reason=reason)
    assert office.records.entries("fraud") == []


def test_a_reason_too_long_for_the_registry_is_refused(office: Office) -> None:
    with pytest.raises(InputError, match="901 characters"):
        office.decide("approve", 1, reason="x" * 901)


def test_an_unknown_version_is_not_found(office: Office) -> None:
    with pytest.raises(NotFound, match="no version 9"):
        office.decide("approve", 9)


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize(
    "who",
    [
        SUBMITTER,
        f"arn:aws:sts::{NAMES.account}:assumed-role/{NAMES.prefix}-approver/carol",
        f"arn:aws:sts::{NAMES.account}:assumed-role/{NAMES.prefix}-training-job/SageMaker",
        TRAINER,
    ],
)
def test_who_trained_or_submitted_it_does_not_decide_on_it(
    office: Office, action: str, who: str
) -> None:
    with pytest.raises(Refused, match="Someone else"):
        office.decide(action, 1, who=who)  # type: ignore[arg-type]  # both literals
    assert office.records.entries("fraud") == []


def test_the_account_root_does_not_decide_because_it_is_nobody(office: Office) -> None:
    with pytest.raises(Refused, match="local env --role approver"):
        office.decide("approve", 1, who=f"arn:aws:iam::{NAMES.account}:root")


def test_the_manifest_names_the_submitter_where_the_registry_was_rewritten(office: Office) -> None:
    written = upload_model(office.documents, 2, submitted_by=APPROVER)
    office.register(2, **(written | {"submitted_by": SUBMITTER}))
    upload_model(office.documents, 2, submitted_by=APPROVER)
    with pytest.raises(Refused, match="submitted by"):
        office.decide("approve", 2)


@pytest.mark.parametrize(
    "change",
    [
        {"trained_by": ""},
        {"submitted_by": ""},
        {"submitted_by": "unknown"},
        {"manifest_sha256": ""},
        {"complete": False},
        {"metrics": {}},
        {"metrics": {"auc_roc": float("nan")}},
        {"model_prefix": "s3://elsewhere/models/fraud/run-1/"},
    ],
)
def test_a_version_that_is_not_whole_is_not_approved_but_can_be_rejected(
    office: Office, change: dict[str, Any]
) -> None:
    office.register(1, **change)
    with pytest.raises(Refused):
        office.decide("approve", 1)
    assert office.decide("reject", 1).effect is Effect.RECORDED


@pytest.mark.parametrize("name", [MODEL, MANIFEST])
def test_a_file_that_changed_after_registration_is_found(office: Office, name: str) -> None:
    office.documents.put(f"models/fraud/run-1/{name}", b"something else")
    with pytest.raises(Refused, match="sha256"):
        office.decide("approve", 1)


@pytest.mark.parametrize("name", [MODEL, MANIFEST])
def test_a_file_that_is_missing_is_named(office: Office, name: str) -> None:
    office.documents.delete(f"models/fraud/run-1/{name}")
    with pytest.raises(Refused, match=rf"{name} is missing"):
        office.decide("approve", 1)


def test_nothing_is_decided_on_a_broken_record(office: Office) -> None:
    entry = office.decide("approve", 1).entry
    office.records.stored["fraud", 1] = entry.model_copy(update={"reason": "nicer"})
    with pytest.raises(Refused, match="entry 1 was changed"):
        office.decide("reject", 1)


@dataclass
class _FailingRegistry(MemoryRegistry):
    """Refuses the next changes of status."""

    failures: int = 1

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("SageMaker does not answer.")
        super().set_status(version, status, note=note)


def test_a_registry_that_fails_after_the_record_is_completed_by_the_next_run() -> None:
    office = Office(registry=_FailingRegistry())
    office.register(1)
    with pytest.raises(Unavailable, match=r"on record.*Run the same command again"):
        office.decide("approve", 1)
    assert office.registry.get("fraud", 1).status is Status.PENDING
    outcome = office.decide("approve", 1)
    assert outcome.effect is Effect.COMPLETED
    assert office.registry.get("fraud", 1).status is Status.APPROVED
    assert len(office.records.entries("fraud")) == 1


def test_an_approval_around_the_record_is_put_on_record_by_approving_it() -> None:
    office = Office()
    office.register(1, status=Status.APPROVED)
    outcome = office.decide("approve", 1)
    assert outcome.effect is Effect.RECORDED
    assert matches(office.registry.get("fraud", 1), outcome.entry)


@dataclass
class _BusyRecords(MemoryRecords):
    """Somebody else gets the next place first, with a decision of theirs."""

    rival: Decision | None = None

    def append(self, entry: Entry) -> None:
        if self.rival is not None:
            rival, self.rival = self.rival, None
            super().append(chain(rival, self.entries(entry.model)))
        super().append(entry)


def _rival(version: ModelVersion, after: Status) -> Decision:
    return Decision(
        model="fraud",
        version=version.version,
        action="approve" if after is Status.APPROVED else "reject",
        at=NOW,
        who=OTHER_APPROVER,
        reason="I was first",
        before=version.status,
        after=after,
        package_arn=version.package_arn,
        model_prefix=version.model_prefix,
        manifest_sha256=version.manifest_sha256,
        metrics=version.metrics,
    )


def test_two_approvers_who_agree_at_once_leave_one_entry() -> None:
    office = Office(records=(records := _BusyRecords()))
    records.rival = _rival(office.register(1), Status.APPROVED)
    outcome = office.decide("approve", 1)
    assert outcome.entry.who == OTHER_APPROVER
    assert [e.who for e in records.entries("fraud")] == [OTHER_APPROVER]
    assert office.registry.get("fraud", 1).status is Status.APPROVED


def test_of_two_approvers_who_disagree_at_once_the_second_is_told() -> None:
    office = Office(records=(records := _BusyRecords()))
    records.rival = _rival(office.register(1), Status.REJECTED)
    with pytest.raises(Conflict, match=r"set to Rejected meanwhile by .*ben: I was first"):
        office.decide("approve", 1)
    assert len(records.entries("fraud")) == 1


def test_decisions_on_two_versions_at_once_both_enter_the_record() -> None:
    office = Office(records=(records := _BusyRecords()))
    office.register(1)
    records.rival = _rival(office.register(2), Status.APPROVED)
    assert office.decide("approve", 1).entry.sequence == 2
    assert verify("fraud", records.entries("fraud")) == []


@dataclass
class _SlowRegistry(MemoryRegistry):
    """While one decision is carried out, the next one overtakes it."""

    office: Office | None = None

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        if self.office is not None:
            office, self.office = self.office, None
            office.decide("reject", version.version, who=OTHER_APPROVER, reason="stop")
        super().set_status(version, status, note=note)


def test_a_decision_that_is_overtaken_while_it_is_carried_out_leaves_the_newer_one() -> None:
    registry = _SlowRegistry()
    office = Office(registry=registry)
    office.register(1)
    registry.office = office
    office.decide("approve", 1)
    assert [e.after for e in office.records.entries("fraud")] == [
        Status.APPROVED,
        Status.REJECTED,
    ]
    assert matches(registry.get("fraud", 1), office.records.entries("fraud")[-1])


def test_with_two_approvers_the_registry_changes_with_the_second(office: Office) -> None:
    office.apply(approvals=2)
    first = office.decide("approve", 1)
    assert (first.effect, first.entry.approval, first.entry.approvals_needed) == (
        Effect.ENDORSED,
        1,
        2,
    )
    assert office.registry.get("fraud", 1).status is Status.PENDING
    second = office.decide("approve", 1, who=OTHER_APPROVER)
    assert (second.effect, second.entry.approval) == (Effect.RECORDED, 2)
    assert office.registry.get("fraud", 1).status is Status.APPROVED
    assert verify("fraud", office.records.entries("fraud")) == []


def test_one_person_is_not_two_approvers_also_in_another_role(office: Office) -> None:
    office.apply(approvals=2, approvers=["*"])
    first = office.decide("approve", 1)
    role = f"arn:aws:sts::{NAMES.account}:assumed-role/{NAMES.prefix}-lead/ann"
    again = office.decide("approve", 1, who=role)
    assert (again.effect, again.entry) == (Effect.UNCHANGED, first.entry)
    assert office.registry.get("fraud", 1).status is Status.PENDING


def test_a_rejection_needs_one_person_and_takes_back_the_approvals_that_wait(
    office: Office,
) -> None:
    office.apply(approvals=2, ticket="RISK-[0-9]+")
    office.decide("approve", 1, ticket="RISK-1")
    office.decide("reject", 1, who=OTHER_APPROVER)
    again = office.decide("approve", 1, who=OTHER_APPROVER, ticket="RISK-2")
    assert (again.effect, again.entry.approval) == (Effect.ENDORSED, 1)
    assert again.entry.after is Status.REJECTED


def test_approvals_of_other_files_do_not_count(office: Office) -> None:
    office.apply(approvals=2)
    office.decide("approve", 1)
    office.register_with(1, data_snapshot="payments@other")
    assert office.decide("approve", 1, who=OTHER_APPROVER).effect is Effect.ENDORSED


def test_of_two_first_approvers_at_once_the_later_is_the_second() -> None:
    office = Office(records=(records := _BusyRecords()))
    version = office.register(1)
    office.apply(approvals=2)
    first = {"after": Status.PENDING, "approvals_needed": 2}
    records.rival = _rival(version, Status.APPROVED).model_copy(update=first)
    outcome = office.decide("approve", 1)
    assert (outcome.effect, outcome.entry.approval) == (Effect.RECORDED, 2)


def test_the_record_keeps_the_rules_their_outcomes_and_the_ticket(office: Office) -> None:
    office.apply(ticket="RISK-[0-9]+", at_least={"auc_roc": 0.8})
    entry = office.decide("approve", 1, ticket="RISK-12").entry
    kept = {check.rule: check.found for check in entry.checks if check.passed}
    assert entry.ticket == kept["ticket"] == "RISK-12"
    assert kept["at_least.auc_roc"] == "0.85, at least 0.8 is asked for"
    assert entry.rules_sha256 == load_rules(office.documents, "fraud").rules.sha256


def test_a_refusal_names_every_rule_that_is_not_kept_and_leaves_no_entry(office: Office) -> None:
    office.apply(ticket="RISK-[0-9]+", at_least={"auc_roc": 0.9}, dataset=True)
    with pytest.raises(Refused) as refusal:
        office.decide("approve", 1, ticket="none")
    for rule in ("ticket", "at_least.auc_roc", "dataset"):
        assert f"\n- {rule}: " in str(refusal.value)
    assert office.records.entries("fraud") == []


def test_who_is_no_approver_decides_neither_way(office: Office) -> None:
    actions: tuple[Literal["approve", "reject"], ...] = ("approve", "reject")
    for action in actions:
        with pytest.raises(Refused, match=r"- approver: mlops-local-jenkins/x may not decide"):
            office.decide(
                action,
                1,
                who=f"arn:aws:sts::{NAMES.account}:assumed-role/{NAMES.prefix}-jenkins/x",
            )
