"""A model made from the template passes its test and compiles, in a checkout of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops.registry.policy import read_rules
from pipelines.training.scaffold import new_model

ROOT = Path(__file__).resolve().parents[3]
_COMPILE = """
from pipelines.training.compiler import Bundle, compile_workflow
from mlops.settings import load_settings
environment = {"MLOPS_ENV": "dev", "MLOPS_ACCOUNT": "111122223333", "MLOPS_REGION": "eu-west-1"}
settings = load_settings(environment)
compiled = compile_workflow("churn", settings, bundle=Bundle(b""), submitted_by="me")
print(compiled.definition["States"]["Train"]["Parameters"]["HyperParameters"]["sagemaker_program"])
"""

_LINT = """
from importlinter.cli import lint_imports
raise SystemExit(lint_imports(config_filename="layers.toml", no_cache=True))
"""


def layers(text: str) -> str:
    """The contracts that concern models, over the packages of the checkout."""
    head, *contracts = text[text.index("[tool.importlinter]") :].split("\n[[")
    [shared] = [one for one in contracts if "What models share" in one]
    return "\n[[".join([head.replace(', "serving", "infra"', ""), shared])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of the repository as a model leans on, with a new model in it."""
    root = tmp_path_factory.mktemp("checkout")
    skip = shutil.ignore_patterns("__pycache__")
    for package in ("mlops", "pipelines"):
        shutil.copytree(ROOT / package, root / package, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", root)
    new_model("churn", root).write(root)
    return root


def run_there(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_own_test_passes(checkout: Path) -> None:
    done = run_there(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/churn")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_its_workflow_compiles_with_its_own_script(checkout: Path) -> None:
    done = run_there(checkout, "-c", _COMPILE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "pipelines/churn/train.py"


def test_its_files_are_as_the_house_formats_them(checkout: Path) -> None:
    done = run_there(checkout, "-m", "ruff", "check", "pipelines/churn", "tests/unit/churn")
    assert done.returncode == 0, done.stdout
    done = run_there(checkout, "-m", "ruff", "format", "--check", "pipelines/churn")
    assert done.returncode == 0, done.stdout


def test_its_rules_of_approval_can_be_read(checkout: Path) -> None:
    path = checkout / "pipelines/churn/approval.toml"
    rules = read_rules(path.read_text(), env="prod", where=str(path))
    assert (rules.approvals, rules.dataset) == (2, True)


def test_what_models_share_may_not_import_it(checkout: Path) -> None:
    (checkout / "layers.toml").write_text(layers((checkout / "pyproject.toml").read_text()))
    kept = run_there(checkout, "-c", _LINT)
    assert kept.returncode == 0, kept.stdout

    mistake = checkout / "pipelines/data/mistake.py"
    mistake.write_text("from pipelines.churn.settings import DEFAULTS\n")
    broken = run_there(checkout, "-c", _LINT)
    mistake.unlink()

    assert broken.returncode == 1
    assert "pipelines.data is not allowed to import pipelines.churn" in broken.stdout
