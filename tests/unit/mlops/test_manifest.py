"""Serving refuses a model that is not what its manifest says."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mlops.errors import InputError, Refused
from mlops.manifest import (
    GraphTensor,
    Manifest,
    ModelInput,
    Window,
    check_files,
    check_graph,
    check_plan,
    read_manifest,
)
from mlops.plan import FeaturePlan, PlannedField, PlannedView

START, END = datetime(2018, 8, 1, tzinfo=UTC), datetime(2018, 8, 8, tzinfo=UTC)


def _manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "model": "fraud",
        "feature_service": "fraud_v1",
        "plan_sha256": "0" * 64,
        "graph_input": "inputs",
        "inputs": (
            ModelInput(name="amount", origin="request", source="amount"),
            ModelInput(name="n", origin="feature", source="v:n", on_missing="default", default=0),
        ),
        "graph_output": "probabilities",
        "opset": 17,
        "files": {"model.onnx": hashlib.sha256(b"graph").hexdigest()},
        "training_window": Window(start=START, end=END),
        "test_window": Window(start=START, end=END),
        "data_snapshot": "s",
        "code_sha256": "c",
        "execution": "e",
        "trained_by": "t",
        "submitted_by": "u",
        "created": END,
        "metrics": {"auc_roc": 0.9},
        "reference": {},
    }
    return Manifest.model_validate(values | changes)


def _graph(**changes: Any) -> dict[str, Any]:
    fits = {"inputs": {"inputs": floats(2)}, "outputs": {"probabilities": floats(2)}, "opset": 17}
    return fits | changes


def floats(width: int, dtype: str = "Float32") -> GraphTensor:
    return GraphTensor(dtype, (None, width))


def test_a_manifest_from_before_datasets_is_still_read() -> None:
    written = _manifest().model_dump(mode="json")
    del written["dataset"]

    assert read_manifest(json.dumps(written).encode(), where="here").dataset is None


def test_a_fitting_graph_passes() -> None:
    check_graph(_manifest(), **_graph())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"inputs": {"inputs": floats(3)}}, r"is \['rows', 3\], the manifest says \['rows', 2\]"),
        ({"inputs": {"inputs": floats(2, "Float64")}}, "is Float64, the manifest says Float32"),
        ({"inputs": {"x": floats(2)}}, "not 'inputs'"),
        ({"inputs": {"inputs": floats(2), "extra": floats(1)}}, "also wants"),
        ({"outputs": {"label": floats(1, "Int64")}}, "not 'probabilities'"),
        ({"outputs": {"probabilities": floats(1, "Int64")}}, "is Int64, not Float32"),
        ({"opset": 18}, "opset 18"),
    ],
)
def test_another_graph_is_refused_with_the_difference(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        check_graph(_manifest(), **_graph(**changes))


def test_a_changed_or_missing_file_is_refused() -> None:
    check_files(_manifest(), {"model.onnx": b"graph"})
    with pytest.raises(Refused, match=r"model\.onnx has sha256"):
        check_files(_manifest(), {"model.onnx": b"another"})
    with pytest.raises(Refused, match=r"model\.onnx is missing"):
        check_files(_manifest(), {})


def _plan(feature: str) -> FeaturePlan:
    return FeaturePlan(
        service="fraud_v1",
        project="p",
        entities=(PlannedField(name="id", dtype="String"),),
        request=(PlannedField(name="amount", dtype="Float64"),),
        views=(
            PlannedView(
                name="v",
                join_keys=("id",),
                features=(PlannedField(name=feature, dtype="Int64"),),
                ttl_seconds=0,
            ),
        ),
        transformations=(),
    )


def test_a_model_needs_what_the_service_supplies() -> None:
    check_plan(_manifest(), _plan("n"))
    with pytest.raises(Refused, match="feature 'v:n'"):
        check_plan(_manifest(), _plan("renamed"))


def test_a_manifest_is_read_back_unchanged() -> None:
    manifest = _manifest()
    assert read_manifest(manifest.model_dump_json().encode(), where="here") == manifest


def test_what_is_no_manifest_names_the_file_and_the_field() -> None:
    with pytest.raises(InputError, match=r"s3://b/manifest\.json.*feature_service"):
        read_manifest(b'{"model": "fraud"}', where="s3://b/manifest.json")


def test_a_default_goes_with_default_only() -> None:
    with pytest.raises(ValidationError, match="a default goes with"):
        ModelInput(name="n", origin="feature", source="v:n", on_missing="refuse", default=0.0)


COLUMNS = (
    ModelInput(name="amount", origin="request", source="amount"),
    ModelInput(name="city", origin="feature", source="v:city", dtype="String"),
)


def test_a_graph_may_take_a_tensor_for_each_column() -> None:
    manifest = _manifest(layout="columns", graph_input="", inputs=COLUMNS)
    tensors = {"amount": floats(1), "city": floats(1, "String")}
    check_graph(manifest, **_graph(inputs=tensors))
    with pytest.raises(Refused, match="not 'city'"):
        check_graph(manifest, **_graph(inputs={"amount": floats(1)}))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"inputs": COLUMNS}, "a matrix is Float32"),
        ({"layout": "columns"}, "graph_input names the tensor"),
        ({"graph_input": ""}, "graph_input names the tensor"),
        ({"classes": ("yes",)}, "fewer than two"),
    ],
)
def test_a_manifest_contradicts_itself_nowhere(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        _manifest(**changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"dtype": "String", "on_missing": "default", "default": 0.0}, "is no String"),
        ({"on_missing": "default", "default": "none"}, "is no Float32"),
        ({"dtype": "Int64", "on_missing": "null"}, "Int64 has no null"),
    ],
)
def test_an_inputs_default_is_of_its_type(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ModelInput(name="n", origin="feature", source="v:n", **changes)
