"""The inference endpoint speaks the Open Inference Protocol and SageMaker's hosting contract."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.binary import from_bytes, to_bytes
from serving.errors import InvalidRequest
from serving.tensors import BY_PROTOCOL
from tests.serving_examples import (
    COLUMNS,
    build_manifest,
    deploy,
    onnx_model,
    publish,
    score_locally,
)
from tests.serving_processes import Services

ROW = [12.5, 4.0, 10.0, 0.1, 1.25, 1.0]
NAMES = [column.name for column in COLUMNS]
URL = "/v2/models/fraud/infer"


def tensor(**changes: Any) -> dict[str, Any]:
    base = {"name": "X", "datatype": "FP32", "shape": [1, 6], "data": ROW}
    return {"inputs": [base | changes], "outputs": [{"name": "probabilities"}]}


def expected(*rows: list[float]) -> Any:
    named = [dict(zip(NAMES, row, strict=True)) for row in rows]
    return pytest.approx(score_locally(onnx_model(seed=1), named), abs=1e-7)


@pytest.mark.parametrize("path", [URL, "/v2/models/fraud/versions/1/infer"])
async def test_rows_come_back_as_probabilities(services: Services, path: str) -> None:
    answer = (await services.inference.post(path, json={"id": "7"} | tensor())).json()
    (output,) = answer.pop("outputs")
    assert answer == {"model_name": "fraud", "model_version": "1", "id": "7"}
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [1, 2],
    )
    assert output["data"][1::2] == expected(ROW)


@pytest.mark.parametrize(("url", "body"), [(URL, tensor()), ("/invocations", {"instances": [ROW]})])
async def test_what_would_be_answered_too_late_is_not_run_and_counted(
    services: Services, url: str, body: dict[str, Any]
) -> None:
    late = await services.inference.post(url, json=body, headers={"X-Request-Timeout-Ms": "0.001"})
    assert late.status_code == 504
    assert "deadline_exceeded" in late.text
    metrics = (await services.inference.get("/metrics")).text
    assert 'mlops_inference_errors_total{code="deadline_exceeded",model="fraud"} 1.0' in metrics
    assert "mlops_inference_onnx_seconds_count{" not in metrics


async def test_in_time_is_answered(services: Services) -> None:
    timeout = {"X-Request-Timeout-Ms": "5000"}
    assert (await services.inference.post(URL, json=tensor(), headers=timeout)).is_success


async def test_a_timeout_that_is_none_is_refused(services: Services) -> None:
    answer = await services.inference.post(
        URL, json=tensor(), headers={"X-Request-Timeout-Ms": "soon"}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "X-Request-Timeout-Ms")


async def test_all_outputs_come_where_none_is_named(services: Services) -> None:
    answer = await services.inference.post(URL, json={"inputs": tensor()["inputs"]})
    found = {output["name"]: output["datatype"] for output in answer.json()["outputs"]}
    assert found == {"label": "INT64", "probabilities": "FP32"}


@pytest.mark.parametrize("data", [[ROW, ROW], ROW * 2])
async def test_data_may_be_flat_or_nested(services: Services, data: list[Any]) -> None:
    answer = await services.inference.post(URL, json=tensor(shape=[2, 6], data=data))
    assert answer.json()["outputs"][0]["data"][1::2] == expected(ROW, ROW)


async def test_null_is_no_number_to_the_model(services: Services) -> None:
    answer = await services.inference.post(URL, json=tensor(data=[None, *ROW[1:]]))
    assert answer.json()["outputs"][0]["data"] == [None, None]


async def test_a_large_batch_is_scored_off_the_event_loop(services: Services) -> None:
    model = services.repository.get("fraud")
    object.__setattr__(model, "seconds_per_row", 1.0)
    answer = await services.inference.post(URL, json=tensor(shape=[300, 6], data=ROW * 300))
    assert answer.json()["outputs"][0]["data"][1::2] == expected(*[ROW] * 300)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ([], "inputs"),
        (tensor(name="Y"), "inputs[0].name"),
        (tensor(datatype="FP8"), "inputs[0].datatype"),
        (tensor(datatype=None), "inputs[0].datatype"),
        (tensor(shape=[1, 5]), "inputs[0].shape"),
        (tensor(shape=[0, 6]), "inputs[0].shape"),
        (tensor(shape=[1.0, 6]), "inputs[0].shape"),
        (tensor(shape="1,6"), "inputs[0].shape"),
        (tensor(data=ROW[:5]), "inputs[0].data"),
        (tensor(data=["1"] * 6), "inputs[0].data"),
        (tensor(data=["1", None, 1, 1, 1, 1]), "inputs[0].data"),
        (tensor(data=[True] * 6), "inputs[0].data"),
        (tensor(data=[1e300] * 6), "inputs[0].data"),
        (tensor(data=[[1, 2], [3]]), "inputs[0].data"),
        (tensor(data=None), "inputs[0].data"),
        (tensor(data={"a": 1}), "inputs[0].data"),
        (tensor() | {"inputs": [*tensor()["inputs"], *tensor()["inputs"]]}, "inputs[1].name"),
        (tensor() | {"inputs": ["X"]}, "inputs[0]"),
        (tensor(parameters={"binary_data_size": 24}), "inputs[0].data"),
        (tensor() | {"outputs": [{"name": "odds"}]}, "outputs"),
        (tensor() | {"outputs": ["label"]}, "outputs"),
        (tensor() | {"outputs": 1}, "outputs"),
    ],
)
async def test_a_wrong_request_is_a_422_in_the_protocols_shape(
    services: Services, body: Any, field: str
) -> None:
    answer = await services.inference.post(URL, json=body)
    assert answer.status_code == 422
    assert isinstance(answer.json()["error"], str)
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    "path", ["/v2/models/churn", "/v2/models/fraud/versions/2", "/v2/models/fraud/versions/x/ready"]
)
async def test_an_unknown_model_or_version_is_a_404(services: Services, path: str) -> None:
    answer = await services.inference.get(path)
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


async def test_metadata_names_tensors_versions_and_columns(services: Services) -> None:
    metadata = (await services.inference.get("/v2/models/fraud")).json()
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 6]}]
    assert metadata["parameters"]["columns"] == NAMES


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/fraud/ready",
        "/v2/models/fraud/versions/1/ready",
        "/ping",
        "/healthz",
        "/readyz",
    ],
)
async def test_the_server_is_there_and_ready(services: Services, path: str) -> None:
    assert (await services.inference.get(path)).status_code == 200


@pytest.mark.parametrize("instance", [ROW, dict(zip(NAMES, ROW, strict=True))])
async def test_invocations_take_rows_or_objects(services: Services, instance: Any) -> None:
    answer = await services.inference.post("/invocations", json={"instances": [instance]})
    assert [p["score"] for p in answer.json()["predictions"]] == expected(ROW)


async def test_invocations_take_and_give_csv(services: Services) -> None:
    body = "\n".join([",".join(map(str, ROW))] * 2) + "\n"
    answer = await services.inference.post(
        "/invocations", content=body, headers={"Content-Type": "text/csv", "Accept": "text/csv"}
    )
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert [float(line) for line in answer.text.splitlines()] == expected(ROW, ROW)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b'{"instances": []}'),
        ("application/json", b'{"instances": [[1, 2]]}'),
        ("application/json", b'{"instances": [{"amount": 1}]}'),
        ("application/json", b'{"instances": ["1"]}'),
        ("text/csv", b"a,b\n"),
        ("text/csv", b"1,2\n"),
        ("text/csv", b""),
        ("text/csv", b"\xff"),
        ("application/x-npy", b""),
    ],
)
async def test_a_wrong_invocation_is_a_422(
    services: Services, content_type: str, body: bytes
) -> None:
    answer = await services.inference.post(
        "/invocations", content=body, headers={"Content-Type": content_type}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_input"


async def test_invocations_want_one_model(services: Services) -> None:
    graph = onnx_model(seed=5)
    other = publish(
        services.models, build_manifest(services.plan, graph), graph, version=1, endpoint="churn"
    )
    deploy(services.documents, other, endpoint="churn")
    await services.follow()
    answer = await services.inference.post("/invocations", json={"instances": [ROW]})
    assert "churn, fraud" in answer.json()["error"]["message"]


async def test_ping_fails_while_there_is_no_model(services: Services) -> None:
    services.repository.endpoints.clear()
    answer = await services.inference.get("/ping")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_invocations_take_and_give_json_lines(services: Services) -> None:
    lines = [json.dumps(ROW), json.dumps({"features": ROW})]
    answer = await services.inference.post(
        "/invocations",
        content="\n".join(lines) + "\n",
        headers={"Content-Type": "application/jsonlines"},
    )
    assert answer.headers["Content-Type"] == "application/jsonlines"
    found = [json.loads(line)["score"] for line in answer.text.splitlines()]
    assert found == expected(ROW, ROW)


async def test_the_plain_route_is_in_the_document(services: Services) -> None:
    paths = (await services.inference.get("/openapi.json")).json()["paths"]
    assert "post" in paths["/v2/models/{model}/infer"]
    assert "post" in paths["/v2/models/{model}/versions/{version}/infer"]


async def test_a_header_length_beyond_the_body_is_told(services: Services) -> None:
    answer = await services.inference.post(
        URL, json=tensor(), headers={"Inference-Header-Content-Length": "9999"}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "Inference-Header-Content-Length")


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5)
    | st.lists(st.floats(width=32, allow_nan=False), max_size=5)
)
def test_binary_tensors_are_read_as_they_were_written(values: list[Any]) -> None:
    kind = BY_PROTOCOL["FP32" if values and isinstance(values[0], float) else "BYTES"]
    tensor = np.array(values, dtype=kind.dtype)
    raw = memoryview(to_bytes(tensor, kind))
    assert from_bytes(raw, kind, field="data").tolist() == tensor.tolist()


@given(st.binary(max_size=40), st.sampled_from(sorted(BY_PROTOCOL)))
def test_any_bytes_are_a_tensor_or_a_mistake(raw: bytes, datatype: str) -> None:
    kind = BY_PROTOCOL[datatype]
    with contextlib.suppress(InvalidRequest):
        assert to_bytes(from_bytes(memoryview(raw), kind, field="data"), kind) == raw


@pytest.mark.parametrize("body", [b"\xff", b"{", b"[1]"])
async def test_what_the_framework_refuses_has_the_protocols_shape(
    services: Services, body: bytes
) -> None:
    answer = await services.inference.post(
        "/v2/repository/index", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"
    assert isinstance(answer.json()["error"], str)
