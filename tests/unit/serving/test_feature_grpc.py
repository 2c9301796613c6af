"""Feature reads over gRPC, by a client that knows no more than the .proto file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from mlops.clock import FixedClock
from mlops.errors import Unavailable
from mlops.plan import PlannedField, PlannedView
from mlops.stores.online import FeatureStatus, ViewRead, ViewTable
from serving.messages import read_fields
from serving.proxy import feature_messages
from serving.proxy.feature_messages import MESSAGES, SERVICE, STATUSES, TABLE, write_features
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.read_grpc import grpc_reads
from serving.proxy.read_log import ReadLog
from serving.proxy.read_route import FeatureReads
from serving.proxy.settings import ProxySettings
from serving.spans import Tracing
from serving.tracing import OtelTracing
from tests.ports import free_port
from tests.serving_examples import NOW
from tests.serving_processes import Services

PROTO = Path(feature_messages.__file__).with_name("feature_reader.proto")


class Client:
    """The two methods, with the metadata of a caller."""

    def __init__(self, channel: Any, key: str) -> None:
        coded = {
            "request_serializer": MESSAGES["ReadRequest"].SerializeToString,
            "response_deserializer": MESSAGES["ReadResponse"].FromString,
        }
        self._read = channel.unary_unary(f"/{SERVICE}/Read", **coded)
        self._stream = channel.stream_stream(f"/{SERVICE}/ReadStream", **coded)
        self.metadata = [("x-api-key", key)]

    async def read(self, request: Any) -> Any:
        return await self._read(request, metadata=self.metadata)

    async def stream(self, *requests: Any) -> list[Any]:
        call = self._stream(iter(requests), metadata=self.metadata)
        return [answer async for answer in call]


@asynccontextmanager
async def connected(services: Services, tracing: Tracing | None = None) -> AsyncIterator[Client]:
    downsync = services.downsync
    log = ReadLog(downsync.flows.current, downsync.log)
    reads = FeatureReads(services.feature_services, services.doorkeeper, FixedClock(NOW), 1000, log)
    settings = ProxySettings(grpc_port=free_port())
    observe = ProxyMetrics().observe_request
    async with (
        grpc_reads(reads, observe, settings, tracing),
        grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc_port}") as channel,
    ):
        yield Client(channel, services.proxy.headers["X-Api-Key"])


@pytest.fixture
async def client(services: Services) -> AsyncIterator[Client]:
    async with connected(services) as made:
        yield made


def asked(*customers: str, terminal: str = "t1", **changes: Any) -> Any:
    column = MESSAGES["Column"]
    entities = {
        "customer_id": column(strings=customers),
        "terminal_id": column(strings=[terminal] * len(customers)),
    }
    fields = {"feature_service": "payments_v1", "entities": entities} | changes
    return MESSAGES["ReadRequest"](**fields)


def by_name(answer: Any) -> dict[str, Any]:
    return {feature.name: feature for feature in answer.features}


async def test_values_come_in_typed_columns_with_statuses_and_times(client: Client) -> None:
    answer = await client.read(asked("c1", "nobody", id="7"))
    features = by_name(answer)
    assert list(features["spend:payments"].values.integers) == [4, 0]
    assert list(features["spend:payments"].statuses) == [1, 3]
    assert list(features["risk:risk"].values.doubles) == [0.1, 0.1]
    assert (answer.id, answer.feature_service) == ("7", "payments_v1")
    at = int(NOW.timestamp()) * 1_000_000
    assert list(answer.event_times["spend"].microseconds) == [at, 0]
    assert len(answer.request_id) == 32


async def test_a_row_that_is_wrong_has_its_own_error(client: Client) -> None:
    answer = await client.read(asked("c1", ""))
    (error,) = answer.errors
    assert (error.row, error.field) == (1, "entities.customer_id[1]")
    assert list(by_name(answer)["spend:payments"].statuses) == [1, 0]


async def test_only_named_features_are_read(client: Client) -> None:
    request = MESSAGES["ReadRequest"](
        feature_service="payments_v1",
        features=["risk:risk"],
        entities={"terminal_id": MESSAGES["Column"](strings=["t1"])},
    )
    assert list(by_name(await client.read(request))) == ["risk:risk"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"feature_service": "other"}, grpc.StatusCode.NOT_FOUND),
        ({"features": ["spend:nothing"]}, grpc.StatusCode.NOT_FOUND),
        ({"entities": {}}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"entities": {"customer_id": MESSAGES["Column"]()}}, grpc.StatusCode.INVALID_ARGUMENT),
        (
            {"entities": {"customer_id": MESSAGES["Column"](doubles=[1.0])}},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
async def test_a_request_that_is_wrong_ends_with_a_status(
    client: Client, changes: dict[str, Any], code: Any
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.read(asked("c1", **changes))
    assert failed.value.code() == code


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([], grpc.StatusCode.UNAUTHENTICATED),
        ([("x-api-key", "wrong")], grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_without_a_key_nothing_is_read(client: Client, metadata: Any, code: Any) -> None:
    client.metadata = metadata
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.read(asked("c1"))
    assert failed.value.code() == code


async def test_a_key_that_may_not_read_it_is_refused(services: Services, client: Client) -> None:
    services.keys.stored, key = services.keys.stored.add("other", now=NOW)
    client.metadata = [("x-api-key", key)]
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.read(asked("c1"))
    assert failed.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_redis_that_is_down_is_unavailable(services: Services, client: Client) -> None:
    services.store.down = Unavailable("Redis at secret-host:6379 does not answer")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.read(asked("c1"))
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "secret-host" not in str(failed.value.details())


async def test_a_stream_answers_each_request_in_its_order_and_goes_on_after_an_error(
    client: Client,
) -> None:
    first, wrong, last = await client.stream(
        asked("c1", id="a"), asked("c1", id="b", feature_service="other"), asked("nobody", id="c")
    )
    assert [first.id, wrong.id, last.id] == ["a", "b", "c"]
    assert list(by_name(first)["spend:payments"].values.integers) == [4]
    assert (wrong.error.code, len(wrong.features)) == ("unknown_feature_service", 0)
    assert list(by_name(last)["spend:payments"].statuses) == [STATUSES[FeatureStatus.NOT_FOUND]]


def test_values_without_a_kind_of_their_own_are_json() -> None:
    types = {"list": "Array(Float64)", "at": "UnixTimestamp", "raw": "Bytes", "name": "String"}
    fields = tuple(PlannedField(name=name, dtype=dtype) for name, dtype in types.items())
    view = PlannedView(name="v", join_keys=("k",), features=fields, ttl_seconds=0)
    first = [[0.5, 1.5], NOW + timedelta(seconds=1), b"x", "k"]
    values: list[list[Any]] = [[value, None] for value in first]
    present = [FeatureStatus.PRESENT, FeatureStatus.PRESENT]
    table = ViewTable(ViewRead(view, tuple(types)), present, [1, 2], values, {})
    written = {f.name: f.values for f in write_features([table])["features"]}
    assert list(written["v:list"].json) == ["[0.5,1.5]", ""]
    assert list(written["v:at"].integers) == [int(NOW.timestamp()) + 1, 0]
    assert list(written["v:raw"].bytes) == [b"x", b""]
    assert list(written["v:name"].strings) == ["k", ""]


def test_the_proto_file_says_what_the_messages_are() -> None:
    text = re.sub(r"//[^\n]*", "", PROTO.read_text())
    found = {}
    for name, body in re.findall(r"message (\w+) \{(.*?)\}", text, re.DOTALL):
        fields = re.sub(r"map<string, (\w+)>", r"map \1", body).replace("Status ", "int32 ")
        found[name] = read_fields(fields)
    assert found == TABLE
    statuses = dict(re.findall(r"(\w+) = (\d);", text[text.index("enum Status") :]))
    assert {str(status): str(number) for status, number in STATUSES.items()} == statuses


async def test_each_read_of_a_stream_is_traced_within_the_trace_of_its_call(
    services: Services,
) -> None:
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(
        SimpleSpanProcessor(exporter), service="proxy", environment="local", ratio=1.0
    )
    async with connected(services, tracing) as client:
        client.metadata.append(("traceparent", f"00-{'4b' * 16}-{'00f0' * 4}-01"))
        await client.stream(asked("c1"), asked("c1", feature_service="nothing"))
    spans = exporter.get_finished_spans()
    reads = [span for span in spans if span.name == f"gRPC {SERVICE}/ReadStream"]
    codes = [dict(span.attributes or {})["http.response.status_code"] for span in reads]
    assert codes == ["OK", "NOT_FOUND"]
    assert {f"{context_of(span).trace_id:x}" for span in spans} == {"4b" * 16}
    (features,) = (span for span in spans if span.name == "features")
    assert features.parent == context_of(reads[0])


def context_of(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found
