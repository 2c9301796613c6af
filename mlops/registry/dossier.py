"""A version with what lies beside its model: the manifest and the scorecard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.errors import InputError, NotFound, Refused
from mlops.manifest import MANIFEST, Manifest, read_verified_manifest
from mlops.objects import Documents
from mlops.registry.artifacts import key_prefix
from mlops.registry.scorecard import Scorecard, read_scorecard
from mlops.registry.versions import ModelVersion

_OWN = ("scorecard_sha256", "report")
"""Facts of the registration itself, which tell nothing of where a version comes from."""


@dataclass(frozen=True)
class Dossier:
    """What is known of a version. A version that is not registered yet has number 0."""

    model: str
    number: int
    label: str
    metrics: Mapping[str, float]
    facts: Mapping[str, str]
    """Where it comes from: code, data, people."""
    manifest: Manifest | None
    card: Scorecard | None
    missing: tuple[str, ...] = ()
    """Why there is no manifest or scorecard."""


def from_registry(
    version: ModelVersion,
    manifest: Manifest | None,
    card: Scorecard | None,
    missing: tuple[str, ...] = (),
) -> Dossier:
    people = {"trained_by": version.trained_by, "submitted_by": version.submitted_by}
    facts = {name: text for name, text in version.lineage.items() if name not in _OWN} | people
    number = version.version
    label = f"version {number}"
    return Dossier(version.model, number, label, version.metrics, facts, manifest, card, missing)


def read_dossier(documents: Documents, bucket: str, version: ModelVersion) -> Dossier:
    """Read what there is, and say why the rest is not there."""
    missing: list[str] = []
    manifest, card = None, None
    try:
        prefix = key_prefix(bucket, version)
        body = documents.get(prefix + MANIFEST).body
        manifest = read_verified_manifest(body, version.manifest_sha256, where=prefix + MANIFEST)
        card = read_scorecard(documents, bucket, version)
        if card is None:
            missing.append(f"version {version.version} was registered without a scorecard")
    except (NotFound, Refused, InputError) as exc:
        missing.append(str(exc))
    return from_registry(version, manifest, card, tuple(missing))
