"""A deployment document changes only under the hands of one writer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops.deployment import (
    Canary,
    DeployedVersion,
    Deployment,
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
