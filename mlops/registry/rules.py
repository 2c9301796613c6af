"""Who may decide on a version, and which versions may be approved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress

from mlops.errors import InputError, Refused
from mlops.registry.principal import Kind, Principal, parse_principal
from mlops.registry.versions import ModelVersion

LONGEST_REASON = 900
"""SageMaker keeps 1,024 characters, and the record's hash stands beside the reason."""


def require_reason(text: str) -> str:
    """The reason on one line. Raises InputError when it says nothing or too much."""
    reason = " ".join(text.split())
    if not reason:
        raise InputError('A decision needs a reason that others can read later: --reason "…".')
    if len(reason) > LONGEST_REASON:
        raise InputError(
            f"The reason has {len(reason)} characters; {LONGEST_REASON} are kept. "
            "Shorten it, and link to the rest."
        )
    return reason


def require_person(arn: str) -> Principal:
    """Who decides. Raises Refused for the account's root, which is nobody in particular."""
    principal = parse_principal(arn)
    if principal.kind is Kind.ROOT:
        raise Refused(
            f"You act as the root of account {principal.account}, which does not say who you "
            "are. Act as yourself in the approver role: on AWS with AWS_PROFILE, on the local "
            'AWS with eval "$(mlops local env --role approver)".'
        )
    return principal


def require_other_person(
    approver: Principal,
    version: ModelVersion,
    *,
    trainers: Iterable[str],
    submitters: Iterable[str],
) -> None:
    """Raises Refused when who decides also trained or submitted the version.

    trainers, submitters: ARNs as the registry and the manifest name them; what is no ARN is
    nobody's, see `require_identities`.
    """
    for trainer in _principals(trainers):
        if approver.shares_role(trainer):
            raise _own_work(approver, version, f"trained by {trainer.label}")
    for submitter in _principals(submitters):
        if approver.is_same_person(submitter):
            raise _own_work(approver, version, f"submitted by {submitter.label}")


def require_identities(version: ModelVersion, arns: Iterable[str]) -> None:
    """Raises Refused when one of those who trained or submitted it is no AWS identity."""
    for arn in arns:
        if not list(_principals([arn])):
            raise Refused(
                f"Version {version.version} of '{version.model}' names '{arn}' as who trained or "
                "submitted it, which is no AWS identity. Start its run with "
                f"'mlops workflows run {version.model}'."
            )


def require_approvable(version: ModelVersion) -> None:
    """Raises Refused when the version is not whole: its package, lineage or metrics."""
    missing = [
        name
        for name in ("trained_by", "submitted_by", "manifest_sha256", "model_prefix")
        if not getattr(version, name)
    ]
    label = f"Version {version.version} of '{version.model}'"
    if not version.complete:
        raise Refused(f"{label} is not complete in the registry. Wait for it, or train again.")
    if missing:
        raise Refused(
            f"{label} was registered without {', '.join(missing)}, so nobody can tell where it "
            f"comes from. Register it through its workflow: mlops workflows run {version.model}"
        )
    broken = sorted(name for name, value in version.metrics.items() if not math.isfinite(value))
    if broken or not version.metrics:
        raise Refused(
            f"{label} has no usable metrics ({', '.join(broken) or 'none at all'}). Train again."
        )


def _principals(arns: Iterable[str]) -> Iterator[Principal]:
    for arn in arns:
        with suppress(InputError):
            yield parse_principal(arn)


def _own_work(approver: Principal, version: ModelVersion, deed: str) -> Refused:
    return Refused(
        f"Version {version.version} of '{version.model}' was {deed}, and you act as "
        f"{approver.label}. Someone else has to decide on it."
    )
