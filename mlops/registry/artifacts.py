"""Whether a version's files are those that were registered."""

from __future__ import annotations

import hashlib

from mlops.errors import NotFound, Refused
from mlops.manifest import MANIFEST, MODEL, Manifest, check_files, read_manifest
from mlops.objects import Documents
from mlops.registry.versions import ModelVersion


def check_artifacts(documents: Documents, bucket: str, version: ModelVersion) -> Manifest:
    """Read the manifest and compare every checksum: registry to manifest, manifest to files.

    documents: the bucket named `bucket`, which holds every model.
    Raises Refused when something was changed, is missing or lies elsewhere.
    """
    prefix = key_prefix(bucket, version)
    body = _read(documents, prefix + MANIFEST, version)
    found = hashlib.sha256(body).hexdigest()
    if found != version.manifest_sha256:
        raise Refused(
            f"{_label(version)}: {MANIFEST} has sha256 {found[:12]}, the registry says "
            f"{version.manifest_sha256[:12] or 'nothing'}. It was changed after registration; "
            "train again."
        )
    manifest = read_manifest(body, where=f"s3://{bucket}/{prefix}{MANIFEST}")
    if manifest.model != version.model or MODEL not in manifest.files:
        raise Refused(
            f"{_label(version)}: its manifest describes model '{manifest.model}' with files "
            f"{sorted(manifest.files)}. Train and register it again."
        )
    names = manifest.files
    check_files(manifest, {name: _read(documents, prefix + name, version) for name in names})
    return manifest


def key_prefix(bucket: str, version: ModelVersion) -> str:
    """The key prefix of a version's files. Raises Refused when they lie in another bucket."""
    start = f"s3://{bucket}/"
    if not version.model_prefix.startswith(start) or not version.model_prefix.endswith("/"):
        raise Refused(
            f"{_label(version)} has its files at '{version.model_prefix}', not under {start}. "
            "Register it through its workflow: mlops workflows run " + version.model
        )
    return version.model_prefix.removeprefix(start)


def _read(documents: Documents, key: str, version: ModelVersion) -> bytes:
    try:
        return documents.get(key).body
    except NotFound as exc:
        raise Refused(f"{_label(version)}: {key} is missing. Train again.") from exc


def _label(version: ModelVersion) -> str:
    return f"Version {version.version} of '{version.model}'"
