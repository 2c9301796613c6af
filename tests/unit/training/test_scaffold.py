"""A new model's name is free and can be one, or nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mlops.errors import InputError, Refused
from pipelines.training.cli import workflows
from pipelines.training.scaffold import new_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pipelines" / "training").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["", "Churn", "1st", "a", "with-hyphen", "x" * 16, "class", "../x"]
)
def test_a_name_that_cannot_be_one_is_refused(name: str, root: Path) -> None:
    with pytest.raises(InputError, match="cannot name a model"):
        new_model(name, root)


@pytest.mark.parametrize("name", ["fraud", "upsync", "drift", "training"])
def test_a_name_that_is_taken_is_refused(name: str, root: Path) -> None:
    with pytest.raises(Refused, match="already"):
        new_model(name, root)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkout"):
        new_model("churn", tmp_path)


def test_a_dry_run_names_the_files_and_writes_none(root: Path) -> None:
    done = CliRunner().invoke(workflows, ["new", "churn", "--into", str(root), "--dry-run"])
    assert "would write pipelines/churn/train.py" in done.output
    assert not (root / "pipelines" / "churn").exists()


def test_making_it_twice_is_refused_and_changes_nothing(root: Path) -> None:
    new_model("churn", root).write(root)
    mine = root / "pipelines" / "churn" / "train.py"
    mine.write_text("mine")
    with pytest.raises(Refused, match="pipelines/churn"):
        new_model("churn", root)
    assert mine.read_text() == "mine"
