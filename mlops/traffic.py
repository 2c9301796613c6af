"""Which version answers whom: a pure function of the deployment document and a key.

A key is hashed to a point of [0, 1), with the canary's version or the experiment's name as salt:
the same key always meets the same version, a weight that grows keeps whom it had, and another
canary or experiment begins with other keys. Whoever has the document and the keys, offline too,
finds the same assignment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import accumulate

from mlops.deployment import DeployedVersion, Deployment

SEPARATOR = "\x1f"
"""Between the ids of a key that is made of several."""


@dataclass(frozen=True)
class Share:
    """A part of [0, 1) and the version that answers it."""

    end: float
    """The part goes from the end of the one before up to, without, this point."""
    version: DeployedVersion
    use: str
    """'canary' or 'arm NAME', as in `Deployment.uses`."""
    arm: str | None = None


@dataclass(frozen=True)
class Split:
    """How traffic is divided; what no share covers the stable version answers."""

    salt: str
    shares: tuple[Share, ...]
    key: str | None
    """The id that decides; None for all of them, in the order of the feature service."""

    def choose(self, key: str) -> Share | None:
        """The share of a key, or None for the stable version."""
        point = point_of(self.salt, key)
        return next((share for share in self.shares if point < share.end), None)


def split_traffic(deployment: Deployment) -> Split | None:
    """None where all traffic is the stable version's."""
    canary, experiment = deployment.canary, deployment.experiment
    if canary is not None:
        share = Share(canary.weight, canary.version, "canary")
        return Split(f"{deployment.endpoint}/{canary.version.version}", (share,), canary.key)
    if experiment is not None:
        ends = (round(end, 9) for end in accumulate(arm.weight for arm in experiment.arms))
        shares = tuple(
            Share(end, arm.version, f"arm {arm.name}", arm.name)
            for end, arm in zip(ends, experiment.arms, strict=True)
        )
        return Split(f"{deployment.endpoint}/{experiment.name}", shares, experiment.key)
    return None


def point_of(salt: str, key: str) -> float:
    """Where a key lies in [0, 1): the first 53 bits of BLAKE2b over salt, a zero byte and key."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
