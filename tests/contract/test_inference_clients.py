"""Public clients of the Open Inference Protocol talk with the inference endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from serving.deadline import Deadline
from serving.grpc_server import code_of
from serving.inference.messages import MESSAGES
from tests.inference_models import EXAMPLES, Example
from tests.inference_server import Addresses, inference_server
from tests.json_lines import json_lines


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    folder: Path = tmp_path_factory.mktemp("models")
    return {name: make(folder / name) for name, make in EXAMPLES.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def addresses(examples: dict[str, Example]) -> AsyncIterator[Addresses]:
    models = {name: (one.manifest, one.graph) for name, one in examples.items()}
    async with inference_server(models) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


def over_http(tensors: dict[str, Any], *, binary: bool) -> list[Any]:
    made = []
    for name, values in tensors.items():
        one = triton_http.InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
        one.set_data_from_numpy(values, binary_data=binary)
        made.append(one)
    return made


def over_grpc(tensors: dict[str, Any]) -> list[Any]:
    made = []
    for name, values in tensors.items():
        one = triton_grpc.InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
        one.set_data_from_numpy(values)
        made.append(one)
    return made


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", EXAMPLES)
async def test_rest_answers_as_the_native_model(
    addresses: Addresses, examples: dict[str, Example], name: str, *, binary: bool
) -> None:
    one = examples[name]
    answer = one.manifest.graph_output
    async with triton_http_aio.InferenceServerClient(addresses.http) as client:
        found = await client.infer(
            name,
            over_http(one.tensors, binary=binary),
            outputs=[triton_http.InferRequestedOutput(answer, binary_data=binary)],
            request_id="7",
        )
    assert found.get_response()["id"] == "7"
    np.testing.assert_allclose(found.as_numpy(answer), one.expected, atol=1e-5)


@pytest.mark.parametrize("allowed", [None, 30.0])
@pytest.mark.parametrize("name", EXAMPLES)
async def test_grpc_answers_as_the_native_model(
    addresses: Addresses, examples: dict[str, Example], name: str, allowed: float | None
) -> None:
    one = examples[name]
    answer = one.manifest.graph_output
    async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
        found = await client.infer(
            name, over_grpc(one.tensors), model_version="1", client_timeout=allowed
        )
    np.testing.assert_allclose(found.as_numpy(answer), one.expected, atol=1e-5)


async def test_a_call_whose_deadline_is_over_is_told_so_by_grpcs_own_status() -> None:
    error = Deadline.after(1, since=0.0).exceeded()
    assert code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_both_protocols_tell_the_same_of_a_model(addresses: Addresses) -> None:
    async with triton_http_aio.InferenceServerClient(addresses.http) as client:
        over_rest = await client.get_model_metadata("texts")
    async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
        over_rpc = await client.get_model_metadata("texts", as_json=True)
    assert [t["name"] for t in over_rest["inputs"]] == ["amount", "city"]
    assert [t["datatype"] for t in over_rest["inputs"]] == ["FP32", "BYTES"]
    assert over_rpc["inputs"] == [
        {**t, "shape": [str(side) for side in t["shape"]]} for t in over_rest["inputs"]
    ]


async def test_health_and_metadata_of_the_server(addresses: Addresses) -> None:
    async with triton_http_aio.InferenceServerClient(addresses.http) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("xgboost", "1")
        assert (await client.get_server_metadata())["name"] == "mlops-inference"
    async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("xgboost", "1")
        assert (await client.get_server_metadata()).name == "mlops-inference"


async def test_the_index_lists_every_version(addresses: Addresses) -> None:
    async with triton_http_aio.InferenceServerClient(addresses.http) as client:
        over_rest = await client.get_model_repository_index()
    async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
        over_rpc = await client.get_model_repository_index()
    assert {(m["name"], m["state"]) for m in over_rest} == {(n, "READY") for n in EXAMPLES}
    assert sorted(m.name for m in over_rpc.models) == sorted(EXAMPLES)


async def test_a_deployed_model_may_be_loaded_again_but_not_unloaded(addresses: Addresses) -> None:
    async with triton_http_aio.InferenceServerClient(addresses.http) as client:
        await client.load_model("xgboost")
        with pytest.raises(InferenceServerException, match="its deployment says so"):
            await client.unload_model("xgboost")
    async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
        await client.load_model("xgboost")
        with pytest.raises(InferenceServerException, match="its deployment says so"):
            await client.unload_model("xgboost")


async def test_mistakes_are_told_in_both_protocols(
    addresses: Addresses, examples: dict[str, Example]
) -> None:
    wrong = {"X": examples["xgboost"].tensors["X"][:, :2]}
    async with triton_http_aio.InferenceServerClient(addresses.http) as client:
        with pytest.raises(InferenceServerException, match="'shape' must be"):
            await client.infer("xgboost", over_http(wrong, binary=True))
        with pytest.raises(InferenceServerException, match="No model 'churn'"):
            await client.infer("churn", over_http(wrong, binary=True))
    async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
        with pytest.raises(InferenceServerException, match="'shape' must be") as caught:
            await client.infer("xgboost", over_grpc(wrong))
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
        with pytest.raises(InferenceServerException, match="No model 'churn'") as caught:
            await client.infer("churn", over_grpc(wrong))
        assert caught.value.status() == "StatusCode.NOT_FOUND"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosted(examples: dict[str, Example]) -> AsyncIterator[Addresses]:
    """One model alone, as SageMaker hosts it: it takes a text beside a number."""
    one = examples["texts"]
    async with inference_server({"texts": (one.manifest, one.graph)}) as running:
        yield running


@pytest.mark.parametrize("kind", ["application/json", "application/jsonlines", "text/csv"])
async def test_invocations_take_texts_in_each_format(
    hosted: Addresses, examples: dict[str, Example], kind: str
) -> None:
    one = examples["texts"]
    rows = list(
        zip(*(one.tensors[name].ravel().tolist() for name in ("amount", "city")), strict=True)
    )
    bodies = {
        "application/json": json.dumps({"instances": rows}),
        "application/jsonlines": "\n".join(map(json.dumps, rows)),
        "text/csv": "".join(f"{amount},{city}\n" for amount, city in rows),
    }
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"http://{hosted.http}/invocations",
            content=bodies[kind].encode(),
            headers={"Content-Type": kind, "Accept": "text/csv"},
        )
    assert answer.status_code == 200, answer.text
    found = [float(line) for line in answer.text.splitlines()]
    np.testing.assert_allclose(found, one.expected[:, 1], atol=1e-5)


async def test_a_call_over_grpc_is_logged_counted_and_known_by_the_callers_id(
    addresses: Addresses, examples: dict[str, Example]
) -> None:
    tensors = over_grpc(examples["xgboost"].tensors)
    with json_lines() as lines:
        async with triton_grpc_aio.InferenceServerClient(addresses.grpc) as client:
            await client.infer("xgboost", tensors, headers={"x-request-id": "order-17"})
            with pytest.raises(InferenceServerException):
                await client.infer("churn", tensors)
    found, refused = [line for line in lines if line["logger"] == "serving.access"]
    assert (found["request_id"], found["status"]) == ("order-17", "OK")
    assert (found["model"], found["version"]) == ("xgboost", 1)
    assert refused["status"] == "NOT_FOUND"
    assert len(refused["request_id"]) == 32
    counted = (
        'mlops_inference_requests_total{method="gRPC",'
        'route="inference.GRPCInferenceService/ModelInfer",status="NOT_FOUND"}'
    )
    async with httpx.AsyncClient() as client:
        assert counted in (await client.get(f"http://{addresses.http}/metrics")).text


async def test_the_messages_are_the_public_ones() -> None:
    for name, ours in MESSAGES.items():
        message = service_pb2
        for part in name.split("."):
            message = getattr(message, part)
        theirs = {field.name: field for field in message.DESCRIPTOR.fields}
        for field in ours.DESCRIPTOR.fields:
            other = theirs[field.name]
            found = (field.number, field.type, field.is_repeated)
            assert found == (other.number, other.type, other.is_repeated), f"{name}.{field.name}"
