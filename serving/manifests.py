"""The manifest that a deployment names, and no other."""

from __future__ import annotations

import hashlib

from mlops.deployment import DeployedVersion
from mlops.errors import Refused
from mlops.manifest import MANIFEST, Manifest, read_manifest


def verified_manifest(deployed: DeployedVersion, body: bytes) -> Manifest:
    """Raises Refused when it was changed after registration, InputError when it is no manifest."""
    found = hashlib.sha256(body).hexdigest()
    if found != deployed.manifest_sha256:
        raise Refused(
            f"{deployed.model_prefix}{MANIFEST} has sha256 {found[:12]}, version "
            f"{deployed.version} was registered with {deployed.manifest_sha256[:12]}. "
            "It was changed after registration; train again."
        )
    return read_manifest(body, where=deployed.model_prefix + MANIFEST)
