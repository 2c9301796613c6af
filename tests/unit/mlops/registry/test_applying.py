"""What putting a file's rules in force changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import NotFound
from mlops.registry.applying import RulesChange, models_with_rules
from mlops.registry.policy import Applied, Rules
from mlops.registry.tables import applying
from tests.approvals import NOW

ONE = Applied(model="fraud", rules=Rules(), applied_at=NOW, applied_by="arn:aws:iam::1:role/j")
TWO = ONE.model_copy(update={"rules": Rules(approvals=2)})


def test_a_rule_that_changes_is_told_with_both_values() -> None:
    assert list(RulesChange(applied=TWO, before=ONE).differences()) == ["approvals: 1 → 2"]


def test_the_same_rules_change_nothing() -> None:
    change = RulesChange(applied=ONE, before=ONE)
    assert not change.changes
    assert "in force already" in applying(change, dry_run=False)


def test_the_first_rules_are_applied_also_where_they_are_the_platforms_own() -> None:
    change = RulesChange(applied=ONE, before=Applied(model="fraud"))
    assert change.changes
    assert applying(change, dry_run=True) == "The rules would be applied."


def test_models_with_rules_are_those_whose_folder_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="Run from the repository"):
        models_with_rules()
    for model in ("fraud", "churn"):
        Path("pipelines", model).mkdir(parents=True)
        Path("pipelines", model, "approval.toml").touch()
    assert models_with_rules() == ["churn", "fraud"]
