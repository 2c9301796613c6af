"""Inference serves the one model of a folder, as SageMaker hands it over."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import NotFound
from mlops.manifest import MANIFEST, MODEL
from mlops.settings import load_settings
from serving.inference.compose import compose
from serving.inference.settings import InferenceSettings
from tests.serving_examples import build_manifest, build_plan, onnx_model, write_repo

ENVIRON = {"MLOPS_ENV": "dev", "MLOPS_ACCOUNT": "1" * 12, "MLOPS_REGION": "eu-west-1"}


def test_the_version_of_a_folder_is_loaded_without_any_aws(tmp_path: Path) -> None:
    graph = onnx_model()
    manifest = build_manifest(build_plan(write_repo(tmp_path / "repo")), graph)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / MODEL).write_bytes(graph)
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    section = InferenceSettings(model_dir=folder, model_version=7)
    repository = compose(load_settings(ENVIRON), section).repository
    repository.refresh()
    assert repository.get("fraud").version == 7


def test_a_folder_without_a_manifest_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="MLOPS_INFERENCE_MODEL_DIR"):
        compose(load_settings(ENVIRON), InferenceSettings(model_dir=tmp_path))
