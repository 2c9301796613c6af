"""`mlops models` explains itself."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from mlops.registry.cli import models


@pytest.mark.parametrize("command", sorted(models.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    answer = CliRunner().invoke(models, [command, "--help"])
    assert answer.exit_code == 0
    assert f"mlops models {command}" in answer.output
    assert "--json" in answer.output


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_a_decision_asks_for_its_reason(command: str) -> None:
    answer = CliRunner().invoke(models, [command, "fraud", "3"])
    assert answer.exit_code == 2
    assert "--reason" in answer.output


@pytest.mark.parametrize(
    "arguments",
    [(), ("fraud", "--all", "--apply"), ("--all",), ("--all", "--apply", "--file", __file__)],
)
def test_rules_are_of_one_model_or_applied_for_all(arguments: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(models, ["rules", *arguments])
    assert answer.exit_code == 2
    assert "--all --apply" in answer.output


@pytest.mark.parametrize("version", ["0", "-1", "latest"])
def test_a_version_is_a_positive_number(version: str) -> None:
    answer = CliRunner().invoke(models, ["show", "fraud", "--", version])
    assert answer.exit_code == 2
    assert "VERSION" in answer.output
