"""The same key always meets the same version, and weights mean what they say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deployment import Arm, Canary, DeployedVersion, Deployment, Experiment
from mlops.traffic import Split, point_of, split_traffic

KEYS = [f"customer-{n}" for n in range(20_000)]


def _version(number: int) -> DeployedVersion:
    prefix = f"s3://b/models/{number}/"
    arn, sha = f"arn:{number}", "0" * 64
    return DeployedVersion(
        version=number, package_arn=arn, model_prefix=prefix, manifest_sha256=sha
    )


def _split(**changes: Any) -> Split:
    deployment = Deployment(
        endpoint="fraud",
        model="fraud",
        stable=_version(1),
        changed_at=datetime(2018, 8, 8, tzinfo=UTC),
        changed_by="arn:ann",
        reason="test",
        **changes,
    )
    split = split_traffic(deployment)
    assert split is not None
    return split


def _canary(weight: float, version: int = 2) -> Split:
    return _split(canary=Canary(version=_version(version), weight=weight))


def _met(split: Split) -> set[str]:
    return {key for key in KEYS if split.choose(key)}


def test_a_canary_answers_its_share_of_the_keys() -> None:
    assert len(_met(_canary(0.05))) / len(KEYS) == pytest.approx(0.05, abs=0.005)


def test_a_canary_that_grows_keeps_whom_it_had() -> None:
    assert _met(_canary(0.05)) < _met(_canary(0.25))


def test_another_canary_begins_with_other_keys() -> None:
    both = _met(_canary(0.1, version=2)) & _met(_canary(0.1, version=3))
    assert len(both) / len(KEYS) == pytest.approx(0.01, abs=0.003)


def test_arms_get_their_shares_and_the_rest_is_outside_of_the_experiment() -> None:
    arms = tuple(
        Arm(name=name, version=_version(n), weight=weight)
        for n, (name, weight) in enumerate([("a", 0.2), ("b", 0.3)], start=2)
    )
    split = _split(experiment=Experiment(name="x", arms=arms))
    found = [share.arm if (share := split.choose(key)) else None for key in KEYS]
    shares = {arm: found.count(arm) / len(KEYS) for arm in ("a", "b", None)}
    assert shares == pytest.approx({"a": 0.2, "b": 0.3, None: 0.5}, abs=0.015)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.text())
def test_arms_whose_weights_are_all_of_it_leave_nobody_out(parts: list[int], key: str) -> None:
    arms = tuple(
        Arm(name=f"a{n}", version=_version(n + 1), weight=part / sum(parts))
        for n, part in enumerate(parts)
    )
    assert _split(experiment=Experiment(name="x", arms=arms)).choose(key) is not None


def test_the_assignment_is_the_documented_hash() -> None:
    by_b2sum = "967853ccf3823647"  # printf 'fraud/2\\0c1' | b2sum -l 64
    assert point_of("fraud/2", "c1") == pytest.approx(int(by_b2sum, 16) / 2**64, abs=1e-15)
