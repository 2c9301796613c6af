"""A rollout that cannot be had where a model is deployed is refused before it is deployed."""

from __future__ import annotations

import pytest

from infra.stacks.profile import PROFILES, target_setting
from mlops.errors import Refused
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.compiler import Bundle, compile_workflow
from pipelines.training.rollouts import require_rollout
from pipelines.training.settings import list_models, load_defaults, with_overrides
from tests.unit.training import examples

SAGEMAKER = {"MLOPS_TARGET": "sagemaker"}


@pytest.mark.parametrize("env", PROFILES)
@pytest.mark.parametrize("model", list_models())
def test_every_models_rollout_can_be_had_in_every_environment_as_it_is(
    model: str, env: str
) -> None:
    settings = examples.settings(MLOPS_ENV=env, **target_setting(PROFILES[env]))
    require_rollout(load_defaults(model), settings)


def test_what_sagemaker_cannot_do_is_refused_with_all_of_it_and_the_remedy() -> None:
    settings = examples.settings(MLOPS_ENV="prod", **SAGEMAKER)
    with pytest.raises(Refused) as refused:
        compile_workflow("fraud", settings, bundle=Bundle(b"code"), submitted_by="")
    for told in ("'fraud'", "'prod'", "key 'customer_id'", "steps (0.05, 0.25, 0.5)", "(0.25, 0.5"):
        assert told in str(refused.value)
    assert "pipelines/fraud/settings.py" in str(refused.value)


def test_what_sagemaker_can_do_is_not() -> None:
    even = with_overrides(DEFAULTS, {"rollout": '{"steps": [0.25, 0.5, 0.75]}'})
    require_rollout(even, examples.settings(MLOPS_ENV="prod", **SAGEMAKER))


def test_our_own_services_roll_out_whatever_settings_can_say() -> None:
    require_rollout(DEFAULTS, examples.settings(MLOPS_ENV="prod"))
