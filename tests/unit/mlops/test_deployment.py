"""A deployment document changes only under the hands of one writer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mlops.answering import Answering
from mlops.deployment import (
    Arm,
    Canary,
    DeployedVersion,
    Deployment,
    Experiment,
    deployment_key,
    list_endpoints,
    load_deployment,
    save_deployment,
)
from mlops.errors import Conflict, NotFound
from mlops.objects import MemoryDocuments


def _version(number: int) -> DeployedVersion:
    return DeployedVersion(
        version=number,
        package_arn=f"arn:{number}",
        model_prefix=f"s3://b/models/{number}/",
        manifest_sha256="0" * 64,
    )


def _deployment(number: int) -> Deployment:
    return Deployment(
        endpoint="fraud",
        model="fraud",
        stable=_version(number),
        changed_at=datetime(2018, 8, 8, tzinfo=UTC),
        changed_by="arn:aws:sts::000000000000:assumed-role/approver/ann",
        reason="better",
    )


def _changed(**changes: Any) -> Deployment:
    return Deployment.model_validate(_deployment(1).model_dump() | changes)


def test_what_is_saved_is_loaded() -> None:
    documents = MemoryDocuments()
    save_deployment(documents, _deployment(1), replacing=None)
    assert load_deployment(documents, "fraud")[0] == _deployment(1)
    assert list_endpoints(documents) == ["fraud"]


def test_the_slower_of_two_writers_is_told() -> None:
    documents = MemoryDocuments()
    read = save_deployment(documents, _deployment(1), replacing=None)
    save_deployment(documents, _deployment(2), replacing=read)
    with pytest.raises(Conflict):
        save_deployment(documents, _deployment(3), replacing=read)


def test_the_first_write_must_be_the_first() -> None:
    documents = MemoryDocuments()
    save_deployment(documents, _deployment(1), replacing=None)
    with pytest.raises(Conflict):
        save_deployment(documents, _deployment(2), replacing=None)


def test_an_endpoint_without_a_deployment_names_the_remedy() -> None:
    with pytest.raises(NotFound, match="mlops models approve"):
        load_deployment(MemoryDocuments(), "fraud")


def test_inference_holds_every_version_named() -> None:
    canary = Canary(version=_version(2), weight=0.1)
    deployment = _deployment(1).model_copy(update={"canary": canary, "shadow": _version(3)})
    assert [v.version for v in deployment.versions] == [1, 2, 3]


def _arms(*weights: float) -> tuple[Arm, ...]:
    return tuple(
        Arm(name=f"a{n}", version=_version(n), weight=weight)
        for n, weight in enumerate(weights, start=2)
    )


def test_inference_holds_the_arms_of_an_experiment_each_version_once() -> None:
    arms = (*_arms(0.2, 0.2), Arm(name="control", version=_version(1), weight=0.2))
    deployment = _changed(experiment=Experiment(name="x", arms=arms))
    assert [v.version for v in deployment.versions] == [1, 2, 3]
    assert deployment.use_of(3) == "arm a3"
    assert deployment.use_of(4) == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"experiment": {"name": "x", "arms": _arms(0.6, 0.6)}}, "more than 1"),
        ({"experiment": {"name": "x", "arms": (*_arms(0.1), *_arms(0.1))}}, "one name"),
        (
            {
                "experiment": {"name": "x", "arms": _arms(0.1)},
                "canary": {"version": _version(2), "weight": 0.1},
            },
            "not both",
        ),
        ({"schema_version": 2}, "schema_version"),
        ({"answering": {"fallback_score": float("nan")}}, "fallback_score"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        Deployment.model_validate(_deployment(1).model_dump() | changes)


FIRST_RELEASE = {
    *("schema_version", "endpoint", "model", "stable", "canary", "shadow", "history"),
    *("revision", "changed_at", "changed_by", "reason"),
}
"""The first release refuses a document with any field beside these."""


def test_the_first_release_reads_what_uses_nothing_newer() -> None:
    canary = Canary(version=_version(2), weight=0.1)
    written = json.loads(_changed(canary=canary, shadow=_version(3)).model_dump_json())
    assert set(written) == FIRST_RELEASE
    assert set(written["canary"]) == {"version", "weight"}


def test_what_is_newer_is_written_where_it_says_something() -> None:
    answering = Answering(timeout_ms=20)
    deployment = _changed(
        canary=Canary(version=_version(2), weight=0.1, key="customer_id"),
        shadow=_version(3),
        shadow_share=0.5,
        answering=answering,
    )
    assert Deployment.model_validate_json(deployment.model_dump_json()) == deployment


def test_fields_of_a_later_release_are_kept_by_who_does_not_know_them() -> None:
    documents = MemoryDocuments()
    later = json.loads(_deployment(1).model_dump_json()) | {"pinned": {"by": "ann"}}
    read = documents.put(deployment_key("fraud"), json.dumps(later).encode())
    known, _ = load_deployment(documents, "fraud")
    save_deployment(documents, known.model_copy(update={"stable": _version(2)}), replacing=read)
    written = json.loads(documents.get(deployment_key("fraud")).body)
    assert (written["pinned"], written["stable"]["version"]) == ({"by": "ann"}, 2)


def test_operations_overrule_what_a_manifest_says_field_by_field() -> None:
    manifest = Answering(timeout_ms=20, fallback_score=0.5)
    assert Answering(fallback_score=0.0).over(manifest) == Answering(
        timeout_ms=20, fallback_score=0.0
    )
    assert Answering(timeout_ms=1).over(None) == Answering(timeout_ms=1)
