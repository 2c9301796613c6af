"""The rules of approval held against one version and one person; every outcome is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mlops.errors import InputError, NotFound, Refused
from mlops.manifest import Manifest
from mlops.names import Names
from mlops.objects import Documents
from mlops.registry.artifacts import check_artifacts
from mlops.registry.comparison import better_direction
from mlops.registry.policy import Rules
from mlops.registry.record import Check
from mlops.registry.rules import (
    require_approvable,
    require_identities,
    require_other_person,
    require_person,
)
from mlops.registry.scorecard import Measured, Scorecard, on_same_rows, read_scorecard
from mlops.registry.versions import ModelRegistry, ModelVersion, newest_approved

PERSONAL = ("approver", "another_person", "ticket")
"""The rules on who decides and how, not on what."""
OF_REJECTIONS = ("approver", "another_person")
DATASET_RECORDS = "datasets/records/"


@dataclass(frozen=True)
class Case:
    """Everything that is judged: a version, who wants to decide on it, and the rules in force."""

    version: ModelVersion
    registry: ModelRegistry
    who: str
    ticket: str
    rules: Rules
    names: Names
    documents: Documents
    """The bucket of the models' files."""
    data: Documents
    """The bucket of the data sets' records."""

    @property
    def label(self) -> str:
        return f"Version {self.version.version} of '{self.version.model}'"

    @cached_property
    def manifest(self) -> Manifest:
        """Raises Refused where the files are not those that were registered."""
        return check_artifacts(self.documents, self.names.artifact_bucket, self.version)

    @cached_property
    def approved(self) -> ModelVersion | None:
        """The newest other version that is approved now."""
        versions = self.registry.versions(self.version.model)
        return newest_approved([v for v in versions if v.version != self.version.version])

    @cached_property
    def scorecard(self) -> Scorecard | None:
        return self.card_of(self.version)

    def card_of(self, version: ModelVersion) -> Scorecard | None:
        return read_scorecard(self.documents, self.names.artifact_bucket, version)


def judge(case: Case) -> list[Check]:
    """Every rule of approvals with its outcome, those on the person first."""
    return [_outcome(rule, check, case) for rule, check in _asked(case.rules)]


def judge_rejection(case: Case) -> list[Check]:
    """The rules that also a rejection must keep, which is never held up by the version itself."""
    asked = [found for found in _asked(case.rules) if found[0] in OF_REJECTIONS]
    return [_outcome(rule, check, case) for rule, check in asked]


def require_all(case: Case, checks: Sequence[Check], deed: str) -> None:
    """Raises Refused with every rule that forbids the deed, and its remedy."""
    if failed := [check for check in checks if not check.passed]:
        listed = "".join(f"\n- {check.rule}: {check.found}" for check in failed)
        raise Refused(f"{case.label} may not be {deed} by you now:{listed}")


Rule = Callable[[Case], str]
"""Says what it found. Raises Refused, with the remedy, where the rule is not kept."""


def _asked(rules: Rules) -> Iterator[tuple[str, Rule]]:
    yield "approver", _approver
    yield "another_person", _another_person
    if rules.ticket is not None:
        yield "ticket", _ticket
    yield "complete", _complete
    yield "files", _files
    yield from _asked_of_metrics(rules)
    if rules.onnx_parity is not None:
        yield "onnx_parity", _parity
    if rules.dataset:
        yield "dataset", _dataset
    if rules.latency_ms is not None:
        yield "latency_ms", _latency


def _asked_of_metrics(rules: Rules) -> Iterator[tuple[str, Rule]]:
    for name, bound in rules.at_least.items():
        yield f"at_least.{name}", _bound(name, bound, least=True)
    for name, bound in rules.at_most.items():
        yield f"at_most.{name}", _bound(name, bound, least=False)
    for name, allowed in rules.not_worse.items():
        yield f"not_worse.{name}", _not_worse(name, allowed)


def _outcome(name: str, rule: Rule, case: Case) -> Check:
    try:
        return Check(rule=name, passed=True, found=rule(case))
    except (Refused, InputError) as exc:
        return Check(rule=name, passed=False, found=str(exc))


def _approver(case: Case) -> str:
    who = require_person(case.who)
    if case.rules.admits(case.who, case.names):
        return f"{who.label} may decide"
    raise Refused(
        f"{who.label} may not decide on '{case.version.model}'; who may is "
        f"{' or '.join(case.rules.approvers_in(case.names))}. Ask one of them, or have the rule "
        "changed in its approval.toml."
    )


def _another_person(case: Case) -> str:
    """Also by the manifest's word, where the files are what was registered."""
    version = case.version
    trainers, submitters = [version.trained_by], [version.submitted_by]
    try:
        manifest = case.manifest
    except (Refused, InputError):  # the rule 'files' says so
        manifest = None
    if manifest is not None:
        trainers.append(manifest.trained_by)
        submitters.append(manifest.submitted_by)
    who = require_person(case.who)
    require_other_person(who, version, trainers=trainers, submitters=submitters)
    return f"{who.label} neither trained nor submitted it"


def _ticket(case: Case) -> str:
    pattern = case.rules.ticket or ""
    if re.fullmatch(pattern, case.ticket):
        return case.ticket
    said = f"'{case.ticket}' is none" if case.ticket else "none was given"
    raise Refused(f"a decision needs a ticket like {pattern}, {said}. Name it: --ticket …")


def _complete(case: Case) -> str:
    version = case.version
    require_approvable(version)
    require_identities(version, [version.trained_by, version.submitted_by])
    return f"registered whole, with {len(version.metrics)} metrics"


def _files(case: Case) -> str:
    manifest = case.manifest
    require_identities(case.version, [manifest.trained_by, manifest.submitted_by])
    files = ", ".join(sorted(manifest.files))
    return f"manifest.json and {files} are what was registered"


def _metric(case: Case, name: str) -> float:
    """By the manifest, whose checksum the registry has."""
    metrics: Mapping[str, float] = case.manifest.metrics
    if name not in metrics:
        raise Refused(
            f"it has no metric '{name}'; it has {', '.join(sorted(metrics))}. Train again."
        )
    return metrics[name]


def _bound(name: str, bound: float, *, least: bool) -> Rule:
    def check(case: Case) -> str:
        value, asked = _metric(case, name), f"at {'least' if least else 'most'} {bound:g}"
        if value >= bound if least else value <= bound:
            return f"{value:.6g}, {asked} is asked for"
        raise Refused(f"{value:.6g}, {asked} is asked for. Train a better one.")

    return check


def _parity(case: Case) -> str:
    return _bound("onnx_max_difference", case.rules.onnx_parity or 0.0, least=False)(case)


def _dataset(case: Case) -> str:
    named = case.manifest.dataset
    if not named:
        raise Refused(
            "it names no data set, so nobody can tell what it was trained on. Train it by its "
            f"workflow: mlops workflows run {case.version.model}"
        )
    name, _, version = named.rpartition("@")
    key = f"{DATASET_RECORDS}{name}/{version}.json"
    try:
        case.data.get(key)
    except NotFound as exc:
        raise Refused(f"data set {named} is not on record. Train again on one that is.") from exc
    return f"trained on {named}, which is on record"


def _latency(case: Case) -> str:
    card, bound = _card(case), case.rules.latency_ms or 0.0
    found = card.latency.p99_ms
    if found <= bound:
        return f"p99 {found:.3g} ms, at most {bound:g} ms is asked for"
    raise Refused(f"p99 {found:.3g} ms, at most {bound:g} ms is asked for. Train a smaller one.")


def _card(case: Case) -> Scorecard:
    if case.scorecard is None:
        raise Refused(
            "it was registered without a scorecard. Train again: mlops workflows run "
            + case.version.model
        )
    return case.scorecard


def _not_worse(name: str, allowed: float) -> Rule:
    def check(case: Case) -> str:
        approved = case.approved
        if approved is None:
            return "no other version is approved"
        reached, own = (_reached(measured, name) for measured in _both(case, approved))
        loss = (reached - own) * (better_direction(name) or 1)
        said = (
            f"{own:.6g}, version {approved.version} reaches {reached:.6g} on the same rows "
            f"(tolerance {allowed:g})"
        )
        if loss <= allowed:
            return said
        raise Refused(f"{said}. Train a better one.")

    return check


def _reached(measured: Measured, name: str) -> float:
    if name not in measured.metrics:
        raise Refused(
            f"the scorecard has no metric '{name}'; it has {', '.join(sorted(measured.metrics))}. "
            "Measure it in evaluate.py, or have the rule changed."
        )
    return measured.metrics[name]


def _both(case: Case, approved: ModelVersion) -> tuple[Measured, Measured]:
    theirs = (approved.version, case.card_of(approved))
    found = on_same_rows(theirs, (case.version.version, case.scorecard))
    if found is None:
        raise Refused(
            f"it was not measured on the same rows as version {approved.version}, which is "
            f"approved now. Train again, beside it: mlops workflows run {case.version.model}"
        )
    return found
