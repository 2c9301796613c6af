"""The manifest that a deployment names, and no other."""

from __future__ import annotations

from mlops.deployment import DeployedVersion
from mlops.manifest import MANIFEST, Manifest, read_verified_manifest


def verified_manifest(deployed: DeployedVersion, body: bytes) -> Manifest:
    """Raises Refused when it was changed after registration, InputError when it is no manifest."""
    where = f"{deployed.model_prefix}{MANIFEST} of version {deployed.version}"
    return read_verified_manifest(body, deployed.manifest_sha256, where=where)
