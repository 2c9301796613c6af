"""Models of several frameworks, fitted on the same seeded rows, as graphs with their manifests."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.manifest import MODEL, Manifest, ModelInput
from tests.serving_examples import build_manifest, build_plan, write_repo

WIDTH = 5
OPSETS = {"": 17, "ai.onnx.ml": 3}
NAMES = tuple(f"f{n}" for n in range(WIDTH))


@dataclass(frozen=True)
class Example:
    """A graph, its manifest, and what the native model says of `rows`."""

    manifest: Manifest
    graph: bytes
    tensors: dict[str, Any]
    expected: Any


@cache
def rows() -> Any:
    return np.random.default_rng(3).normal(size=(40, WIDTH)).astype(np.float32)


def labels() -> Any:
    return (rows().sum(axis=1) > 0).astype(int)


def inputs(names: tuple[str, ...] = NAMES) -> tuple[ModelInput, ...]:
    return tuple(ModelInput(name=name, origin="request", source=name) for name in names)


def example(
    folder: Path, graph: bytes, tensors: dict[str, Any], expected: Any, **manifest: Any
) -> Example:
    import onnx

    columns = manifest.pop("columns", inputs())
    imports = onnx.load_model_from_string(graph).opset_import
    opset = max((i.version for i in imports if i.domain in ("", "ai.onnx")), default=0)
    described = build_manifest(
        build_plan(write_repo(folder)),
        graph,
        columns=columns,
        opset=opset,
        files={MODEL: hashlib.sha256(graph).hexdigest()},
        **{"graph_input": "X"} | manifest,
    )
    return Example(described, graph, tensors, expected)


def scikit_learn(folder: Path) -> Example:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(10, random_state=0).fit(rows(), labels())
    graph = to_onnx(model, rows()[:1], options={"zipmap": False}, target_opset=OPSETS)
    found = model.predict_proba(rows())
    return example(folder, graph.SerializeToString(), {"X": rows()}, found)


def regressor(folder: Path) -> Example:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(rows(), rows()[:, 0] * 3 + 1)
    graph = to_onnx(model, rows()[:1], target_opset=OPSETS)
    found = model.predict(rows()).reshape(-1, 1)
    options = {"graph_output": "variable", "output": "value"}
    return example(folder, graph.SerializeToString(), {"X": rows()}, found, **options)


def three_classes(folder: Path) -> Example:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(rows(), np.digitize(rows()[:, 0], [-0.5, 0.5]))
    graph = to_onnx(model, rows()[:1], options={"zipmap": False}, target_opset=OPSETS)
    found = model.predict_proba(rows())
    classes = {"classes": ("low", "middle", "high")}
    return example(folder, graph.SerializeToString(), {"X": rows()}, found, **classes)


def texts_and_numbers(folder: Path) -> Example:
    """A pipeline that encodes a text beside numbers: a tensor for each column."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    cities = np.array(["Seoul", "Busan", "서울"], dtype=object)[np.arange(40) % 3]
    frame = pd.DataFrame({"amount": rows()[:, 0], "city": cities})
    encoder = ColumnTransformer(
        [("text", OneHotEncoder(), ["city"]), ("number", StandardScaler(), ["amount"])]
    )
    model = make_pipeline(encoder, LogisticRegression()).fit(frame, labels())
    kinds = [("amount", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    graph = to_onnx(
        model, initial_types=kinds, options={"zipmap": False}, target_opset=OPSETS
    ).SerializeToString()
    columns = (
        ModelInput(name="amount", origin="request", source="amount"),
        ModelInput(
            name="city",
            origin="request",
            source="city",
            dtype="String",
            on_missing="default",
            default="Seoul",
        ),
    )
    tensors = {"amount": rows()[:, :1], "city": cities.reshape(-1, 1)}
    options = {"columns": columns, "layout": "columns", "graph_input": ""}
    return example(folder, graph, tensors, model.predict_proba(frame), **options)


def xgboost(folder: Path) -> Example:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=10, random_state=0, base_score=0.5).fit(rows(), labels())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_xgboost(
            model, initial_types=[("X", FloatTensorType([None, WIDTH]))], target_opset=15
        )
    found = model.predict_proba(rows())
    return example(folder, graph.SerializeToString(), {"X": rows()}, found)


def lightgbm(folder: Path) -> Example:
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = LGBMClassifier(n_estimators=10, random_state=0, verbose=-1, min_child_samples=2)
    model.fit(rows(), labels())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_lightgbm(
            model,
            initial_types=[("X", FloatTensorType([None, WIDTH]))],
            target_opset=15,
            zipmap=False,
        )
        found = model.predict_proba(rows())
    return example(folder, graph.SerializeToString(), {"X": rows()}, found)


def boosted_values(folder: Path) -> Example:
    """A regression of XGBoost."""
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=10, random_state=0, base_score=0.5)
    model.fit(rows(), rows()[:, 0] * 3 + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_xgboost(
            model, initial_types=[("X", FloatTensorType([None, WIDTH]))], target_opset=15
        )
    found = model.predict(rows()).reshape(-1, 1)
    options = {"graph_output": "variable", "output": "value"}
    return example(folder, graph.SerializeToString(), {"X": rows()}, found, **options)


def made_elsewhere(name: str, **manifest: Any) -> Callable[[Path], Example]:
    """A committed graph, or the one that 'make test-torch' made anew."""
    graphs = Path(os.environ.get("MLOPS_TEST_GRAPHS") or Path(__file__).parent / "graphs")

    def read(folder: Path) -> Example:
        said = json.loads((graphs / f"{name}.json").read_text())
        tensors = {"X": np.array(said["rows"], dtype=np.float32)}
        graph = (graphs / f"{name}.onnx").read_bytes()
        return example(folder, graph, tensors, np.array(said["answer"]), **manifest)

    return read


EXAMPLES = {
    "scikit-learn": scikit_learn,
    "regressor": regressor,
    "three-classes": three_classes,
    "texts": texts_and_numbers,
    "xgboost": xgboost,
    "xgboost-regressor": boosted_values,
    "lightgbm": lightgbm,
    "torch": made_elsewhere("torch"),
    "tensorflow": made_elsewhere("tensorflow", graph_output="probability", output="probability"),
}
