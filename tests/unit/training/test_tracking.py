"""MLflow's file is made by one process at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from pipelines.training.tracking import alone


def test_a_file_is_used_first_by_one_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "new" / "mlflow.db"
    with (
        alone(file),
        file.with_name("mlflow.db.lock").open("w") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with alone(file):
        pass
