"""What surrounds the work of a job: its folders, its failure, its training set."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest

from mlops.errors import InputError
from pipelines.fraud.settings import DEFAULTS
from pipelines.fraud.train import fit
from pipelines.training.container import Container, run_script, run_step
from pipelines.training.dataset import rows_sha256, to_matrix, write_rows
from pipelines.training.native import load_native, native_scores
from pipelines.training.run import RUN
from pipelines.training.steps.preprocess import (
    Split,
    apart,
    check_split,
    together,
)
from pipelines.training.steps.train import train
from tests.unit.training import examples


def test_folders_lie_where_sagemaker_puts_them() -> None:
    container = Container.of({})

    assert container.input("run") == Path("/opt/ml/processing/input/run")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("no rows of 2018"), "InputError: no rows of 2018"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (ValueError("é" * 2000), None),
    ],
)
def test_a_step_that_fails_leaves_its_cause_as_the_exit_message(
    error: Exception, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))

    def step(container: Container) -> NoReturn:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_step(step)

    said = (tmp_path / "output" / "message").read_text(encoding="utf-8")
    assert ended.value.code == 1
    assert said == message or len(said.encode()) <= 1024


def test_a_training_script_ends_with_a_line_that_the_toolkit_takes_for_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script() -> NoReturn:
        raise InputError("2 rows have no 'amount'")

    with pytest.raises(SystemExit, match="1"):
        run_script(script)

    assert capsys.readouterr().err == "Exception: InputError: 2 rows have no 'amount'\n"


def test_the_training_script_makes_a_model_from_its_channels(tmp_path: Path) -> None:
    rows = examples.rows(200)
    write_rows(rows, tmp_path)
    (tmp_path / RUN).write_text(examples.run().model_dump_json())
    folders = ["--train", str(tmp_path), "--run", str(tmp_path), "--model-dir", str(tmp_path)]

    chosen = ["--algorithm", "gradient_boosting", "--hyperparameters", '{"max_iter": 5}']

    train(fit, label="is_fraud", arguments=[*chosen, *folders])

    scores = native_scores(load_native(tmp_path), to_matrix(rows, DEFAULTS.inputs))
    assert len(set(scores)) > 1


def test_a_window_without_frauds_is_refused_with_the_remedy() -> None:
    rows = examples.rows(50)
    innocent = rows.assign(is_fraud=0)

    with pytest.raises(
        InputError, match=r"test window 2018-08-08 to 2018-08-15 has 50 rows with 0"
    ):
        check_split(Split(rows, innocent), examples.run(), "is_fraud")


def test_a_window_without_rows_is_refused_with_the_remedy() -> None:
    rows = examples.rows(50)

    with pytest.raises(InputError, match=r"training window .* has 0 rows .* --set test_end=DATE"):
        check_split(Split(rows[:0], rows), examples.run(), "is_fraud")


def test_training_and_test_rows_come_apart_as_they_were_put_together() -> None:
    split = Split(examples.rows(20), examples.rows(10, seed=1))

    back = apart(together(split))

    pd.testing.assert_frame_equal(back.train, split.train)
    pd.testing.assert_frame_equal(back.test, split.test)


def test_rows_are_named_by_what_they_hold_in_their_order() -> None:
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})

    assert rows_sha256(rows) == rows_sha256(rows.copy())
    assert rows_sha256(rows) != rows_sha256(rows[::-1])
    assert rows_sha256(rows) != rows_sha256(rows.rename(columns={"a": "c"}))
    assert rows_sha256(rows) != rows_sha256(rows.assign(a=[1.0, 3.0]))
