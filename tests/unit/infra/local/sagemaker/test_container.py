"""The container contract: paths, environment, where objects go."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.sagemaker.container import (
    Container,
    below_root,
    lay_out,
    process_environment,
    relocate,
)
from infra.local.sagemaker.storage import relative_name

BASE = Path("/jobs/one/ml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/ml", "/jobs/one/ml"),
        ("/opt/ml/input/data", "/jobs/one/ml/input/data"),
        (
            "tar xf /opt/ml/a.tar && ls '/opt/ml/b'",
            "tar xf /jobs/one/ml/a.tar && ls '/jobs/one/ml/b'",
        ),
        ("/x:/opt/ml/code", "/x:/jobs/one/ml/code"),
        ("--out=/opt/ml/model", "--out=/jobs/one/ml/model"),
        ("/opt/mlflow", "/opt/mlflow"),
        ("/mnt/opt/ml", "/mnt/opt/ml"),
        ("s3://bucket/opt/ml/x", "s3://bucket/opt/ml/x"),
    ],
)
def test_only_paths_of_the_container_are_relocated(text: str, expected: str) -> None:
    assert relocate(text, BASE) == expected


@pytest.mark.parametrize("path", ["/tmp/x", "opt/ml/x", "/opt/ml/../x", "/opt/mlflow"])
def test_a_path_elsewhere_is_refused_by_name(path: str) -> None:
    with pytest.raises(ValueError, match=path):
        below_root(path)


def test_a_path_is_named_below_the_root() -> None:
    assert below_root("/opt/ml/processing/input") == "processing/input"


@pytest.mark.parametrize(
    ("key", "prefix", "expected"),
    [
        ("data/train/a.csv", "data/train/", "a.csv"),
        ("data/train/a.csv", "data/train", "a.csv"),
        ("data/train/deep/a.csv", "data/train", "deep/a.csv"),
        ("data/train/a.csv", "data/train/a.csv", "a.csv"),
        ("data/training/a.csv", "data/train", "training/a.csv"),
        ("a.csv", "", "a.csv"),
    ],
)
def test_objects_keep_the_folders_below_their_prefix(key: str, prefix: str, expected: str) -> None:
    assert relative_name(key, prefix) == expected


def container(**environment: str) -> Container:
    return Container(
        command=("python3",),
        environment=environment,
        folders=("model", "input/data"),
        files={"input/config/hyperparameters.json": {"out": "/opt/ml/model"}},
        inputs=(),
        code=("code",),
    )


def test_folders_and_files_are_made_and_their_paths_are_real(tmp_path: Path) -> None:
    lay_out(container(), tmp_path)
    assert (tmp_path / "model").is_dir()
    text = (tmp_path / "input/config/hyperparameters.json").read_text()
    assert f'"{tmp_path}/model"' in text


def test_a_job_cannot_take_another_identity() -> None:
    platform = {"PATH": "/bin", "AWS_ACCESS_KEY_ID": "the role's"}
    seen = process_environment(
        container(AWS_ACCESS_KEY_ID="mine", PATH="/my/bin"), BASE, platform=platform
    )
    assert seen["AWS_ACCESS_KEY_ID"] == "the role's"
    assert seen["PATH"] == "/my/bin"


def test_modules_are_searched_in_the_code_first() -> None:
    seen = process_environment(container(PYTHONPATH="/opt/ml/libraries"), BASE, platform={})
    assert seen["PYTHONPATH"] == f"{BASE}/code:{BASE}/libraries:{BASE}/packages"
