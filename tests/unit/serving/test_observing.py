"""While a version is on trial, the proxy writes down what it saw of it and of the stable one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlops.deploying.figures import figures_of, read_observations
from mlops.deployment import Canary
from mlops.errors import Unavailable
from mlops.manifest import Distribution
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services, serving

REFERENCE = {
    "score": Distribution(
        mean=0.5, std=0.1, missing=0, quantiles=(0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1)
    )
}
OTHERS = [INSTANCE | {"customer_id": f"x{n}"} for n in range(20)]


async def observed(services: Services, version: int, use: str) -> tuple[int, dict[str, int], int]:
    """Answers, failures by code, and scores."""
    await services.predictor.observer.write(services.catalog)
    seen = read_observations(services.documents, "fraud")
    found = figures_of(seen, version, since=2, use=use)
    return found.answers, dict(found.failures), sum(found.scores)


async def test_answers_are_counted_by_version_and_use(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        one = services.publish(1, reference=REFERENCE)
        two = services.publish(2, reference=REFERENCE)
        services.deploy(one, canary=Canary(version=two, weight=0.5), revision=2)
        await services.follow()
        for instance in (INSTANCE, *OTHERS):
            await services.predict(instance)
        stable, canary = [
            await observed(services, version, use)
            for version, use in ((1, "stable"), (2, "canary"))
        ]
        assert stable[0] + canary[0] == 21
        assert min(stable[0], canary[0]) > 2
        failed = sum(stable[1].values()) + sum(canary[1].values())
        assert (failed, stable[2] + canary[2]) == (20, 1)
        assert set(stable[1]) | set(canary[1]) == {"features_missing"}


async def test_a_version_that_does_not_answer_counts_as_failed(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        one, two = services.publish(1), services.publish(2)
        services.deploy(one, canary=Canary(version=two, weight=0.99), revision=2)
        await services.follow()
        services.way.cut = Unavailable("gone")
        assert (await services.predict(INSTANCE)).status_code == 503
        assert await observed(services, 2, "canary") == (1, {"inference_unavailable": 1}, 0)


async def test_fallbacks_count_as_failed(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        one, two = services.publish(1), services.publish(2)
        canary = Canary(version=two, weight=0.99)
        services.deploy(one, canary=canary, revision=2, answering={"fallback_score": 0.5})
        await services.follow()
        services.way.cut = Unavailable("gone")
        assert (await services.predict(INSTANCE)).status_code == 200
        assert await observed(services, 2, "canary") == (1, {"inference_unavailable": 1}, 0)


async def test_a_shadow_is_counted_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        one, two = services.publish(1), services.publish(2, reference=REFERENCE)
        services.deploy(one, shadow=two, revision=2)
        await services.follow()
        await services.predict(INSTANCE)
        await asyncio.gather(*services.predictor.shadows._running)
        assert await observed(services, 2, "shadow") == (1, {}, 1)
        assert (await observed(services, 1, "stable"))[0] == 1


async def test_a_version_that_is_not_served_is_told_with_its_reason(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        one = services.publish(1)
        broken = services.publish(2).model_copy(update={"manifest_sha256": "0" * 64})
        services.deploy(one, canary=Canary(version=broken, weight=0.5), revision=2)
        await services.follow()
        await services.predictor.observer.write(services.catalog)
        (seen,) = read_observations(services.documents, "fraud")
        assert (seen.revision, "version 2" in seen.problems[2]) == (2, True)


async def test_without_a_version_on_trial_nothing_is_written(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        await services.predict(INSTANCE)
        await services.predictor.observer.write(services.catalog)
        assert read_observations(services.documents, "fraud") == []


async def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as services:
        services.deploy(services.publish(1), shadow=services.publish(2), revision=2)
        await services.follow()
        await services.predictor.observer.write(services.catalog)
        services.documents.delete(next(iter(services.documents.keys("observed/"))))
        await services.predictor.observer.write(services.catalog)
        assert read_observations(services.documents, "fraud") == []
