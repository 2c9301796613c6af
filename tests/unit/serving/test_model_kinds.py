"""The proxy serves models of columns, texts among them, and of several classes."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from mlops.manifest import ModelInput
from mlops.plan import PlannedField, save_plan
from serving.proxy.input_values import read_value
from tests.serving_examples import COLUMNS, INSTANCE, OPSET, build_manifest, publish
from tests.serving_processes import Services

CITIES = ("Busan", "Seoul", "서울")
KINDS = (
    ModelInput(name="amount", origin="request", source="amount"),
    ModelInput(name="payments", origin="feature", source="spend:payments", dtype="Int64"),
    ModelInput(
        name="risk",
        origin="feature",
        source="risk:risk",
        dtype="Float64",
        on_missing="default",
        default=0.5,
    ),
    ModelInput(name="city", origin="request", source="city", dtype="String"),
)


@cache
def columns_graph() -> bytes:
    """A tensor of another type for each column, and three classes."""
    from onnx import TensorProto, helper, numpy_helper

    types = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.STRING)
    inputs = [
        helper.make_tensor_value_info(column.name, kind, [None, 1])
        for column, kind in zip(KINDS, types, strict=True)
    ]
    weights = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32) / 3
    places = {"keys_strings": CITIES, "values_int64s": range(len(CITIES)), "default_int64": -1}
    nodes = [
        helper.make_node("LabelEncoder", ["city"], ["place"], domain="ai.onnx.ml", **places),
        *(
            helper.make_node("Cast", [name], [f"{name}_"], to=TensorProto.FLOAT)
            for name in ("payments", "risk", "place")
        ),
        helper.make_node("Concat", ["amount", "payments_", "risk_", "place_"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["sums"]),
        helper.make_node("Softmax", ["sums"], ["probabilities"], axis=1),
    ]
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph(
        nodes, "kinds", inputs, [answer], [numpy_helper.from_array(weights, "weights")]
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def expected(**values: Any) -> list[float]:
    types = {"amount": np.float32, "payments": np.int64, "risk": np.float64, "city": object}
    tensors = {name: np.array([[value]], dtype=types[name]) for name, value in values.items()}
    session = onnxruntime.InferenceSession(columns_graph(), providers=["CPUExecutionProvider"])
    found: list[float] = session.run(["probabilities"], tensors)[0][0].tolist()
    return found


@pytest.fixture
async def cities(services: Services) -> Services:
    """A service whose callers say a city, and a model that takes it."""
    request = (*services.plan.request, PlannedField(name="city", dtype="String"))
    plan = services.plan.model_copy(update={"request": request})
    save_plan(services.documents, plan)
    manifest = build_manifest(
        plan,
        columns_graph(),
        columns=KINDS,
        layout="columns",
        graph_input="",
        classes=("fine", "odd", "fraud"),
    )
    services.deploy(publish(services.models, manifest, columns_graph(), version=2))
    await services.follow()
    return services


async def ask(services: Services, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    answer: httpx.Response = await services.predict(*(INSTANCE | change for change in changes))
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == 2
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


async def test_a_score_for_each_class_comes_with_the_likeliest(cities: Services) -> None:
    first, second = await ask(cities, {"city": "서울"}, {"city": "Busan", "terminal_id": "new"})
    wanted = expected(amount=12.5, payments=4, risk=0.1, city="서울")
    classes = ("fine", "odd", "fraud")
    assert first["scores"] == pytest.approx(dict(zip(classes, wanted, strict=True)), abs=1e-6)
    assert first["class"] == classes[int(np.argmax(wanted))]
    assert "score" not in first
    other = expected(amount=12.5, payments=4, risk=0.5, city="Busan")
    assert list(second["scores"].values()) == pytest.approx(other, abs=1e-6)
    assert second["features"]["risk"] == {"status": "NOT_FOUND", "defaulted": True}


async def test_a_text_that_is_no_text_is_told_by_its_field(cities: Services) -> None:
    answer = await cities.predict(INSTANCE | {"city": 7})
    assert answer.json()["error"]["field"] == "instances[0].city"


async def test_a_request_field_of_another_type_than_its_input_is_not_switched_to(
    services: Services,
) -> None:
    time = ModelInput(name="amount", origin="request", source="event_time")
    services.deploy(services.publish(2, columns=(time, *COLUMNS[1:])))
    await services.follow()
    assert "'event_time' is UnixTimestamp" in services.catalog.state()["fraud"]["problem"]


async def test_a_default_that_its_input_cannot_hold_is_not_switched_to(cities: Services) -> None:
    half = ModelInput.model_validate(
        KINDS[1].model_dump() | {"on_missing": "default", "default": 0.5}
    )
    manifest = build_manifest(
        cities.plan,
        columns_graph(),
        columns=(KINDS[0], half, *KINDS[2:]),
        layout="columns",
        graph_input="",
        classes=("fine", "odd", "fraud"),
    )
    cities.deploy(publish(cities.models, manifest, columns_graph(), version=3))
    await cities.follow()
    assert "0.5 of 'payments' (Int64)" in cities.catalog.state()["fraud"]["problem"]


@pytest.mark.parametrize(
    ("value", "dtype", "found"),
    [
        (3.0, "Int64", 3),
        (3.5, "Int64", None),
        (2**31, "Int32", None),
        (-(2**31), "Int32", -(2**31)),
        (float("inf"), "Float64", None),
        (1e300, "Float64", 1e300),
        (1e300, "Float32", None),
        (1, "Bool", True),
        (2, "Bool", None),
        (True, "Float32", 1.0),
        ("a", "String", "a"),
        (1, "String", None),
        ("1", "Int64", None),
        (None, "Float32", None),
    ],
)
def test_values_fit_an_input_or_are_missing(value: Any, dtype: Any, found: Any) -> None:
    assert read_value(value, dtype) == found
