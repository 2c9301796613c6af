"""Each model's approval rules lie beside its code, and ask for no less than its gate."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipelines
from mlops.registry.policy import FILE, Rules, read_rules
from pipelines.training.settings import list_models, load_defaults


def rules_of(model: str, env: str) -> Rules:
    path = Path(pipelines.__path__[0], model, FILE)
    return read_rules(path.read_text(encoding="utf-8"), env=env, where=str(path))


@pytest.mark.parametrize("model", list_models())
def test_what_the_gate_asks_for_approval_asks_for_too(model: str) -> None:
    rules, defaults = rules_of(model, "dev"), load_defaults(model)
    assert rules.at_least == defaults.thresholds
    assert rules.not_worse == defaults.tolerance
    assert (rules.dataset, rules.onnx_parity) == (True, defaults.onnx_bound)


@pytest.mark.parametrize("model", list_models())
def test_in_production_two_people_say_yes_and_name_a_ticket(model: str) -> None:
    rules = rules_of(model, "prod")
    assert rules.approvals == 2
    assert rules.ticket is not None
