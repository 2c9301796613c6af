"""Approving and rejecting versions: on the record first, in the registry second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mlops.clock import Clock
from mlops.errors import Conflict, MlopsError, Refused
from mlops.names import Names
from mlops.objects import Documents
from mlops.registry.checks import Case, judge, judge_rejection, require_all
from mlops.registry.policy import Rules, load_rules
from mlops.registry.record import (
    Check,
    Decision,
    Entry,
    Records,
    chain,
    endorsements,
    is_same_person,
    latest,
    others_who_approved,
    read_record,
)
from mlops.registry.rules import require_person, require_reason
from mlops.registry.trail import matches, note_for
from mlops.registry.versions import ModelRegistry, ModelVersion, Status

ATTEMPTS = 10
"""How often a decision is taken up again when others write to the model's record meanwhile."""


class Effect(StrEnum):
    """What a call to `Approvals.decide` did."""

    RECORDED = "recorded"
    ENDORSED = "endorsed"
    """On record as one of several approvals; the registry changes with the last of them."""
    COMPLETED = "completed"
    """It was on record already; the registry did not have it and now does."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Ask:
    """What somebody wants decided; `who` is their ARN as STS names it."""

    model: str
    version: int
    action: Literal["approve", "reject"]
    reason: str
    who: str
    ticket: str = ""

    @property
    def target(self) -> Status:
        return Status.APPROVED if self.action == "approve" else Status.REJECTED


@dataclass(frozen=True)
class Outcome:
    effect: Effect
    entry: Entry


@dataclass(frozen=True)
class Approvals:
    """Decisions on versions, over a registry, a record and the buckets of models and data."""

    registry: ModelRegistry
    records: Records
    documents: Documents
    data: Documents
    names: Names
    clock: Clock

    def check(self, ask: Ask) -> list[Check]:
        """Every rule that this approval would have to keep, with its outcome; changes nothing."""
        return judge(self._case(ask, self.registry.get(ask.model, ask.version)))

    def decide(self, ask: Ask) -> Outcome:
        """Record a decision and carry it to the registry; safe to run again.

        Raises InputError for a bad reason, NotFound for an unknown version, Refused when a rule
        forbids it, Conflict when somebody decided otherwise meanwhile.
        """
        require_reason(ask.reason)
        require_person(ask.who)
        seen = latest(self._entries(ask.model), ask.version)
        for _ in range(ATTEMPTS):
            try:
                return self._decide_once(ask, seen)
            except _PlaceTaken:
                continue
        raise Conflict(
            f"The record of '{ask.model}' is written to all the time; nothing was decided. "
            "Try again."
        )

    def _decide_once(self, ask: Ask, seen: Entry | None) -> Outcome:
        version = self.registry.get(ask.model, ask.version)
        entries = self._entries(ask.model)
        stands = latest(entries, ask.version)
        if stands is not None and stands.after is ask.target:
            return self._carry_out(version, stands, already=True)
        if stands != seen:
            raise _decided_otherwise(stands)
        entry = self._next(ask, version, entries)
        if entry in entries:
            return Outcome(Effect.UNCHANGED, entry)
        try:
            self.records.append(entry)
        except Conflict as exc:
            raise _PlaceTaken(str(exc)) from exc
        if not entry.decides:
            return Outcome(Effect.ENDORSED, entry)
        return self._carry_out(version, entry, already=False)

    def _next(self, ask: Ask, version: ModelVersion, entries: Sequence[Entry]) -> Entry:
        """The entry to add; or the one by which this person said the same already."""
        case = self._case(ask, version)
        checks = judge(case) if ask.target is Status.APPROVED else judge_rejection(case)
        require_all(case, checks, "approved" if ask.target is Status.APPROVED else "rejected")
        decision = self._decision(ask, version, case.rules, checks)
        if ask.target is Status.APPROVED:
            number = len(others_who_approved(decision, entries)) + 1
            decision = _counted(decision, number, case.rules)
        said = None if decision.decides else _said_already(decision, entries)
        return said or chain(decision, entries)

    def _case(self, ask: Ask, version: ModelVersion) -> Case:
        return Case(
            version=version,
            registry=self.registry,
            who=ask.who,
            ticket=ask.ticket,
            rules=load_rules(self.documents, ask.model).rules,
            names=self.names,
            documents=self.documents,
            data=self.data,
        )

    def _entries(self, model: str) -> list[Entry]:
        entries, problems = read_record(self.records, model)
        if problems:
            raise Refused(
                f"The record of '{model}' is broken: {'; '.join(problems)}. Nothing is decided "
                "on it until it is restored from its backup."
            )
        return entries

    def _decision(
        self, ask: Ask, version: ModelVersion, rules: Rules, checks: Sequence[Check]
    ) -> Decision:
        return Decision(
            model=ask.model,
            version=ask.version,
            action=ask.action,
            at=self.clock.now(),
            who=ask.who,
            reason=require_reason(ask.reason),
            before=version.status,
            after=ask.target,
            package_arn=version.package_arn,
            model_prefix=version.model_prefix,
            manifest_sha256=version.manifest_sha256,
            metrics=_finite(version),
            ticket=ask.ticket,
            rules_sha256=rules.sha256,
            checks=tuple(checks),
        )

    def _carry_out(self, version: ModelVersion, entry: Entry, *, already: bool) -> Outcome:
        if matches(version, entry):
            return Outcome(Effect.UNCHANGED, entry)
        try:
            self._follow(version, entry)
        except MlopsError as exc:
            raise type(exc)(
                f"The decision is on record (entry {entry.sequence}), but the registry was not "
                f"changed: {exc} Run the same command again to complete it."
            ) from exc
        return Outcome(Effect.COMPLETED if already else Effect.RECORDED, entry)

    def _follow(self, version: ModelVersion, entry: Entry) -> None:
        """Set the registry to the newest entry, also when one is added while we do."""
        written: Entry | None = None
        newest = entry
        while newest != written:
            self.registry.set_status(version, newest.after, note=note_for(newest))
            written, newest = newest, _newest(self.records.entries(entry.model), newest)


class _PlaceTaken(Conflict):
    """Another decision took the place in the record."""


def _counted(decision: Decision, approval: int, rules: Rules) -> Decision:
    """As the n-th of the approvals that are needed; until the last, the status stays."""
    update: dict[str, object] = {"approval": approval, "approvals_needed": rules.approvals}
    if approval < rules.approvals:
        update["after"] = decision.before
    return decision.model_copy(update=update)


def _said_already(decision: Decision, entries: Sequence[Entry]) -> Entry | None:
    """The approval by which the same person waits for others already."""
    waiting = endorsements(entries, decision.version)
    same = [entry for entry in waiting if entry.is_of_same_files(decision)]
    return next((entry for entry in same if is_same_person(entry.who, decision.who)), None)


def _newest(entries: Sequence[Entry], entry: Entry) -> Entry:
    return latest(entries, entry.version) or entry


def _finite(version: ModelVersion) -> dict[str, float]:
    return {name: value for name, value in version.metrics.items() if math.isfinite(value)}


def _decided_otherwise(entry: Entry | None) -> Conflict:
    if entry is None:
        return Conflict("The record was emptied meanwhile. See: mlops models history")
    return Conflict(
        f"Version {entry.version} of '{entry.model}' was set to {entry.after} meanwhile by "
        f"{entry.who}: {entry.reason}. Look again, and repeat the command if it still holds."
    )
