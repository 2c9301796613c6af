"""The root command turns errors into one line and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def _mlops(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("mlops")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False)


def test_help_lists_the_groups_with_examples() -> None:
    done = _mlops("--help")
    assert done.returncode == 0
    for group in ("data", "features", "infra", "local", "models", "serve", "workflows"):
        assert group in done.stdout
    assert "Examples:" in done.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    done = _mlops("conjure")
    assert done.returncode == 2
    assert "No such command 'conjure'" in done.stderr


@pytest.mark.parametrize("command", [["features", "plan"], ["models", "list", "fraud"]])
def test_missing_settings_are_named_and_exit_with_3(command: list[str]) -> None:
    done = _mlops(*command, PATH="/usr/bin:/bin")
    assert done.returncode == 3
    assert "Settings missing: MLOPS_ENV, MLOPS_ACCOUNT" in done.stderr
    assert "mlops local env" in done.stderr
    assert "Traceback" not in done.stderr
