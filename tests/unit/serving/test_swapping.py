"""Versions change whole: what fails to load or to fit leaves the one before it serving."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mlops.deployment import DeployedVersion
from mlops.errors import Unavailable
from mlops.manifest import MODEL
from mlops.objects import Document
from mlops.plan import PlannedField, save_plan
from tests.serving_examples import COLUMNS, build_manifest, onnx_model, publish
from tests.serving_processes import Services, serving


async def version(services: Services) -> Any:
    answer = await services.predict()
    assert answer.status_code == 200, answer.text
    return answer.json()["version"]


async def failed(services: Services) -> dict[str, str]:
    state = (await services.inference.get("/v2/health/ready")).json()
    reasons: dict[str, str] = state["models"]["fraud"]["failed"]
    return reasons


async def test_a_new_version_takes_over(services: Services) -> None:
    services.deploy(services.publish(2))
    await services.follow()
    assert await version(services) == 2


async def test_the_proxy_waits_for_inference_to_hold_the_version(services: Services) -> None:
    services.deploy(services.publish(2))
    await services.catalog.refresh()
    assert await version(services) == 1
    assert "not loaded version 2" in services.catalog.state()["fraud"]["problem"]
    await services.follow()
    assert await version(services) == 2


async def test_there_is_something_to_follow_until_all_is_served(services: Services) -> None:
    catalog, followed = services.catalog, list[dict[str, Any]]()
    catalog.listeners.append(lambda: followed.append(catalog.state()["fraud"]))
    assert not catalog.look()
    services.deploy(services.publish(2))
    assert catalog.look()
    await catalog.follow()
    assert catalog.look(), "inference has not loaded it"
    services.repository.refresh()
    await catalog.follow()
    assert not catalog.look()
    assert [one["version"] for one in followed] == [1, 2]


async def test_what_changed_is_followed_though_the_look_that_found_it_failed(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.deploy(services.publish(2))
    services.repository.refresh()

    def away() -> None:
        raise Unavailable("the plans are away")

    with monkeypatch.context() as patch:
        patch.setattr(services.catalog.plans, "refresh", away)
        with pytest.raises(Unavailable):
            services.catalog.look()
    await services.catalog.refresh()
    assert await version(services) == 2


async def test_the_old_version_answers_until_the_proxy_has_switched(services: Services) -> None:
    services.deploy(services.publish(2))
    services.repository.refresh()
    assert await version(services) == 1


async def test_the_old_version_is_dropped_when_nobody_asks_for_it_any_more(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.deploy(services.publish(2))
    await services.follow()
    assert sorted(services.repository.endpoints["fraud"].loaded) == [1, 2]
    monkeypatch.setattr(services.repository, "_retire_seconds", 0.0)
    services.repository.refresh()
    assert sorted(services.repository.endpoints["fraud"].loaded) == [2]


async def test_a_proxy_that_lags_behind_a_dropped_version_catches_up_within_the_request(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.repository, "_retire_seconds", 0.0)
    services.deploy(services.publish(2))
    services.repository.refresh()
    assert sorted(services.repository.endpoints["fraud"].loaded) == [2]
    assert await version(services) == 2


def broken_checksum(services: Services) -> DeployedVersion:
    published = services.publish(2)
    services.models.put("models/fraud/2/" + MODEL, onnx_model(seed=9))
    return published


def changed_manifest(services: Services) -> DeployedVersion:
    return services.publish(2).model_copy(update={"manifest_sha256": "0" * 64})


def too_few_columns(services: Services) -> DeployedVersion:
    return services.publish(2, columns=COLUMNS[:-1])


def wrong_opset(services: Services) -> DeployedVersion:
    return services.publish(2, opset=9)


def wrong_input(services: Services) -> DeployedVersion:
    return services.publish(2, graph_input="rows")


def labels_for_probabilities(services: Services) -> DeployedVersion:
    return services.publish(2, graph_output="label")


def no_graph(services: Services) -> DeployedVersion:
    graph = b"no graph at all"
    return publish(services.models, build_manifest(services.plan, graph), graph, version=2)


def no_manifest(services: Services) -> DeployedVersion:
    graph, body = onnx_model(), b'{"version": 1}'
    published = publish(services.models, build_manifest(services.plan, graph), graph, version=2)
    services.models.put("models/fraud/2/manifest.json", body)
    return published.model_copy(update={"manifest_sha256": hashlib.sha256(body).hexdigest()})


def no_files(services: Services) -> DeployedVersion:
    return services.publish(2).model_copy(update={"model_prefix": "s3://models/nowhere/"})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (broken_checksum, "changed after registration"),
        (changed_manifest, "was registered with"),
        (too_few_columns, "the manifest says ['rows', 5]"),
        (wrong_opset, "opset 17, the manifest says 9"),
        (wrong_input, "not 'rows'"),
        (labels_for_probabilities, "'label' is Int64"),
        (no_graph, "ONNX Runtime"),
        (no_manifest, "no valid manifest"),
        (no_files, "does not exist"),
    ],
)
async def test_a_version_that_does_not_fit_leaves_the_old_one_and_is_reported(
    services: Services, spoil: Any, reason: str
) -> None:
    services.deploy(spoil(services))
    await services.follow()
    assert await version(services) == 1
    assert reason in (await failed(services))["2"]
    metrics = (await services.inference.get("/metrics")).text
    assert 'mlops_inference_version_failed{model="fraud",version="2"} 1.0' in metrics


async def test_a_failed_version_is_tried_again_and_may_recover(services: Services) -> None:
    good = services.publish(2)
    graph = services.models.stored.pop("models/fraud/2/" + MODEL)
    services.deploy(good)
    await services.follow()
    assert await version(services) == 1
    services.models.put("models/fraud/2/" + MODEL, graph)
    await services.follow()
    assert await version(services) == 2
    assert await failed(services) == {}


async def test_a_proxy_that_starts_beside_a_broken_version_serves_the_one_inference_kept(
    services: Services,
) -> None:
    first = services.publish(1)
    services.deploy(broken_checksum(services), first)
    services.repository.refresh()
    services.catalog.endpoints.clear()
    await services.catalog.refresh()
    assert await version(services) == 1


async def test_a_model_that_needs_what_the_feature_service_lacks_is_not_switched_to(
    services: Services,
) -> None:
    strange = COLUMNS[1].model_copy(update={"source": "spend:unheard_of"})
    services.deploy(services.publish(2, columns=(strange, *COLUMNS[1:])))
    await services.follow()
    assert await version(services) == 1
    assert "spend:unheard_of" in services.catalog.state()["fraud"]["problem"]


async def test_a_plan_whose_function_this_image_lacks_is_not_switched_to(
    services: Services,
) -> None:
    (context,) = services.plan.transformations
    newer = context.model_copy(update={"sha256": "f" * 64})
    save_plan(services.documents, services.plan.model_copy(update={"transformations": (newer,)}))
    await services.follow()
    assert await version(services) == 1
    assert "ffffffffffff" in services.catalog.state()["fraud"]["problem"]


async def test_a_changed_plan_is_followed(services: Services) -> None:
    request = (*services.plan.request, PlannedField(name="channel", dtype="String"))
    save_plan(services.documents, services.plan.model_copy(update={"request": request}))
    await services.follow()
    answer = await services.predict()
    assert answer.json()["error"]["field"] == "instances[0].channel"
    assert services.catalog.state()["fraud"]["trained_on_this_plan"] is False


async def test_a_deployment_document_that_cannot_be_read_changes_nothing(
    services: Services,
) -> None:
    services.documents.put("deployments/fraud.json", b"{}")
    await services.follow()
    assert await version(services) == 1


async def test_documents_that_cannot_be_listed_change_nothing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: str) -> dict[str, str]:
        raise Unavailable("S3 is down")

    monkeypatch.setattr(services.documents, "etags", down)
    with pytest.raises(Unavailable):
        await services.catalog.refresh()
    with pytest.raises(Unavailable):
        services.repository.refresh()
    assert await version(services) == 1


async def test_documents_are_read_again_only_when_they_change(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    get = services.documents.get

    def counting(key: str) -> Document:
        read.append(key)
        return get(key)

    monkeypatch.setattr(services.documents, "get", counting)
    await services.follow()
    assert read == []
    services.deploy(services.publish(2))
    read.clear()
    await services.follow()
    assert read == ["deployments/fraud.json"] * 2


async def test_a_model_without_a_stable_version_is_not_served(services: Services) -> None:
    services.deploy(None)
    await services.follow()
    assert (await services.predict()).status_code == 404


async def test_a_deployed_version_that_inference_never_had_is_a_503_saying_so(
    services: Services,
) -> None:
    services.catalog.endpoints.clear()
    services.repository.endpoints.clear()
    services.deploy(broken_checksum(services))
    await services.follow()
    answer = await services.predict()
    assert answer.status_code == 503
    assert "not loaded version 2" in answer.json()["error"]["message"]
    assert (await services.proxy.get("/readyz")).status_code == 503
    assert (await services.inference.get("/v2/health/ready")).status_code == 503


async def test_a_version_beyond_the_memory_budget_is_not_loaded(tmp_path: Path) -> None:
    graph = len(onnx_model(seed=1))
    async with serving(tmp_path / "repo", budget_bytes=int(4.5 * graph)) as services:
        services.deploy(services.publish(2))
        await services.follow()
        assert await version(services) == 1
        assert "MLOPS_INFERENCE_MEMORY_MB" in (await failed(services))["2"]
