"""What MLflow tells becomes the event that SageMaker's registry sends."""

from __future__ import annotations

from typing import Any

import pytest

from infra.lambdas.deploy_model import RegistryChange, read_event
from mlops.bus import REGISTRY
from mlops.errors import InputError
from mlops.registry.webhooks.change import read_change
from tests.approvals import NAMES
from tests.mlflow_webhooks import body_of

TAG = "model_version_tag"


def _change(entity: str, action: str, **data: Any) -> RegistryChange | None:
    detail = read_change(body_of(entity, action, **data), NAMES)
    return None if detail is None else read_event({"source": REGISTRY, "detail": detail}, NAMES)


@pytest.mark.parametrize("action", ["set", "deleted"])
def test_the_tag_of_a_decision_is_a_decision(action: str) -> None:
    found = _change(TAG, action, version="3", key="mlops_approval")
    assert found == RegistryChange("fraud", 3, decides=True)


def test_a_version_may_be_made_with_its_decision_in_it() -> None:
    assert _change("model_version", "created", version="3") == RegistryChange("fraud", 3, True)


@pytest.mark.parametrize("action", ["set", "deleted"])
def test_another_tag_changes_a_version_and_decides_nothing(action: str) -> None:
    found = _change(TAG, action, version="3", key="manifest_sha256")
    assert found == RegistryChange("fraud", 3, decides=False)


def test_the_alias_is_the_model_s_wherever_it_points() -> None:
    whole = RegistryChange("fraud", None, decides=False)
    assert _change("model_version_alias", "created", alias="approved", version="3") == whole
    assert _change("model_version_alias", "deleted", alias="approved") == whole


def test_an_alias_of_somebody_s_own_is_passed_over() -> None:
    assert _change("model_version_alias", "created", alias="champion", version="3") is None


def test_another_environment_s_model_is_passed_over() -> None:
    body = body_of(TAG, "set", version="3", key="mlops_approval")
    assert read_change(body.replace(b"mlops-local-", b"mlops-prod-"), NAMES) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"entity": "prompt", "action": "created", "data": {"name": "mlops-local-fraud"}}',
        body_of(TAG, "set", key="mlops_approval"),
        body_of(TAG, "set", key="mlops_approval", version="0"),
        body_of(TAG, "set", key="mlops_approval", version="../3"),
        body_of(TAG, "set", key="mlops_approval", version=3),
    ],
)
def test_what_is_no_change_of_a_version_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        read_change(body, NAMES)
