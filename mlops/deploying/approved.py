"""The approvals that an endpoint may serve: on record, carried out by the registry, files whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from mlops.deployment import DeployedVersion, Deployment
from mlops.errors import NotFound, Refused
from mlops.manifest import MANIFEST, read_verified_manifest
from mlops.objects import Documents
from mlops.registry.record import Entry, standing_approvals
from mlops.registry.trail import has_files_of
from mlops.registry.versions import ModelRegistry, Status
from mlops.rollout import KEPT, Approval
from mlops.strategy import ALL_AT_ONCE, Strategy


def approvals_of(
    entries: Sequence[Entry],
    current: Deployment | None,
    registry: ModelRegistry,
    documents: Documents,
) -> list[Approval]:
    """The approvals of what the endpoint has, and the newest others that the registry confirms.

    Raises Refused where the manifest of a new one is not the one that was approved.
    """
    known = {(_files(version), version.approval) for version in _known(current)}
    found: list[Approval] = []
    others = 0
    for entry in standing_approvals(entries):
        version = _deployable(entry)
        if known & {(_files(version), None), (_files(version), version.approval)}:
            found.append(Approval(version))
        elif others <= KEPT and _is_confirmed(entry, registry):
            found.append(Approval(version, _strategy(version, documents)))
            others += 1
    return found


def _is_confirmed(entry: Entry, registry: ModelRegistry) -> bool:
    try:
        version = registry.get(entry.model, entry.version)
    except NotFound:
        return False
    return version.status is Status.APPROVED and has_files_of(version, entry)


def _strategy(version: DeployedVersion, documents: Documents) -> Strategy:
    """The manifest's own; it was approved with everything else that the manifest says."""
    key = urlsplit(version.model_prefix).path.lstrip("/") + MANIFEST
    try:
        body = documents.get(key).body
    except NotFound as exc:
        raise Refused(
            f"{version.model_prefix}{MANIFEST} is gone, so version {version.version} cannot be "
            "deployed, nor what was decided with it. Reject it: mlops models reject"
        ) from exc
    return read_verified_manifest(body, version.manifest_sha256, where=key).rollout or ALL_AT_ONCE


def _deployable(entry: Entry) -> DeployedVersion:
    return DeployedVersion(
        version=entry.version,
        package_arn=entry.package_arn,
        model_prefix=entry.model_prefix,
        manifest_sha256=entry.manifest_sha256,
        approval=entry.sequence,
    )


def _known(current: Deployment | None) -> Iterable[DeployedVersion]:
    if current is None:
        return ()
    trial = (current.rollout.version,) if current.rollout else ()
    back = (taken.version for taken in current.taken_back)
    return (*filter(None, [current.stable]), *current.history, *trial, *back)


def _files(version: DeployedVersion) -> tuple[int, str, str, str]:
    files = (version.package_arn, version.model_prefix, version.manifest_sha256)
    return (version.version, *files)
