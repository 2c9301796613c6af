"""A traced request is one tree of spans through both services, and holds nothing private."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from serving.spans import context_of_one, open_tracing, outgoing_headers
from serving.tracing import OtelTracing
from tests.json_lines import json_lines
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


class Traced:
    """Services whose spans are kept."""

    def __init__(self, ratio: float) -> None:
        self.exporter = InMemorySpanExporter()
        self.ratio = ratio

    def tracing(self, service: str) -> OtelTracing:
        processor = SimpleSpanProcessor(self.exporter)
        return OtelTracing(processor, service=service, environment="local", ratio=self.ratio)

    def spans(self) -> dict[tuple[Any, str], ReadableSpan]:
        """By service and name."""
        return {
            (span.resource.attributes["service.name"], span.name): span
            for span in self.exporter.get_finished_spans()
        }


@pytest.fixture
async def always(tmp_path: Path) -> AsyncIterator[tuple[Services, Traced]]:
    traced = Traced(1.0)
    async with serving(tmp_path / "repo", tracing=traced.tracing) as running:
        traced.exporter.clear()
        yield running, traced


@pytest.fixture
async def never(tmp_path: Path) -> AsyncIterator[tuple[Services, Traced]]:
    traced = Traced(0.0)
    async with serving(tmp_path / "repo", tracing=traced.tracing) as running:
        traced.exporter.clear()
        yield running, traced


PREDICT = ("proxy", "POST /v1/models/{model}:predict")
INFER = ("inference", "POST /v2/models/{model}/versions/{version}/infer")


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    return context_of(span).span_id


def context_of(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


async def test_a_prediction_is_one_tree_of_stages(always: tuple[Services, Traced]) -> None:
    services, traced = always
    await services.predict()
    spans = traced.spans()
    root, infer = spans[PREDICT], spans[INFER]
    assert parent_of(root) is None
    for stage in ("parse", "features", "assemble", "inference", "log"):
        assert parent_of(spans["proxy", stage]) == id_of(root)
    assert parent_of(infer) == id_of(spans["proxy", "inference"])
    for stage in ("parse", "run", "write"):
        assert parent_of(spans["inference", stage]) == id_of(infer)
    assert len({context_of(span).trace_id for span in spans.values()}) == 1


async def test_a_span_says_model_version_route_and_status(
    always: tuple[Services, Traced],
) -> None:
    services, traced = always
    answer = await services.predict()
    found = dict(traced.spans()[PREDICT].attributes or {})
    assert found["http.route"] == "/v1/models/{model}:predict"
    assert found["http.response.status_code"] == 200
    assert (found["mlops.model"], found["mlops.version"]) == ("fraud", 1)
    assert found["mlops.request_id"] == answer.json()["request_id"]


async def test_the_callers_trace_goes_on(always: tuple[Services, Traced]) -> None:
    services, traced = always
    services.proxy.headers["traceparent"] = PARENT
    await services.predict()
    spans = traced.spans()
    assert parent_of(spans[PREDICT]) == 0x00F067AA0BA902B7
    assert f"{context_of(spans[INFER]).trace_id:032x}" == TRACE


@pytest.mark.parametrize("given", ["", "nonsense", PARENT.replace("00-", "ff-", 1), "0" * 600])
async def test_a_parent_that_is_none_begins_a_new_trace(
    always: tuple[Services, Traced], given: str
) -> None:
    services, traced = always
    services.proxy.headers["traceparent"] = given
    await services.predict()
    assert parent_of(traced.spans()[PREDICT]) is None


async def test_the_caller_decides_what_is_traced_and_else_the_ratio(
    always: tuple[Services, Traced], never: tuple[Services, Traced]
) -> None:
    services, traced = always
    services.proxy.headers["traceparent"] = UNSAMPLED
    await services.predict()
    assert not traced.spans()
    services, traced = never
    await services.predict()
    assert not traced.spans()
    services.proxy.headers["traceparent"] = PARENT
    await services.predict()
    assert PREDICT in traced.spans()


async def test_a_failed_stage_is_named_without_the_ids_of_its_message(
    always: tuple[Services, Traced],
) -> None:
    services, traced = always
    services.way.cut = RuntimeError("customer c1")
    await services.predict(INSTANCE)
    spans = traced.spans()
    assert (spans["proxy", "inference"].attributes or {})["error.type"] == "RuntimeError"
    assert not spans[PREDICT].status.is_ok
    assert not mentions(traced.exporter.get_finished_spans(), "c1", "12.5", "t1")


def mentions(spans: Sequence[ReadableSpan], *texts: str) -> list[str]:
    written = [span.to_json() for span in spans]
    return [
        text for text in texts if any(f'"{text}"' in span or f" {text}" in span for span in written)
    ]


async def test_of_joined_requests_one_that_is_kept_has_the_spans_of_inference(
    always: tuple[Services, Traced],
) -> None:
    services, traced = always
    url, body = "/v1/models/fraud:predict", {"instances": [INSTANCE]}
    asked = [
        services.proxy.post(url, json=body, headers={"traceparent": parent})
        for parent in (UNSAMPLED, PARENT, UNSAMPLED)
    ]
    assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 3
    spans = traced.spans()
    assert parent_of(spans[INFER]) == id_of(spans["proxy", "inference"])


async def test_work_for_requests_without_a_trace_belongs_to_none(
    always: tuple[Services, Traced],
) -> None:
    _, traced = always
    with traced.tracing("proxy").request({}):
        context = context_of_one([None, None])
        assert context is not None
        assert context.run(outgoing_headers) == {}
        assert outgoing_headers() != {}
    assert context_of_one([None]) is None


async def test_what_machines_ask_for_is_not_traced(always: tuple[Services, Traced]) -> None:
    services, traced = always
    for path in ("/healthz", "/readyz", "/metrics"):
        await services.proxy.get(path)
    assert not [name for name in traced.spans() if name[0] == "proxy"]


async def test_log_lines_of_a_traced_request_carry_its_trace(
    always: tuple[Services, Traced],
) -> None:
    services, _ = always
    services.proxy.headers["traceparent"] = PARENT
    with json_lines("serving.access") as lines:
        await services.predict()
    assert [line["trace_id"] for line in lines] == [TRACE, TRACE]


async def test_without_tracing_nothing_goes_out(services: Services) -> None:
    services.proxy.headers["traceparent"] = PARENT
    seen: list[str | None] = []
    ask = services.way.request

    async def watch(method: str, path: str, **content: Any) -> Any:
        seen.append(content["headers"].get("traceparent"))
        return await ask(method, path, **content)

    services.way.request = watch  # type: ignore[method-assign]  # of this test
    await services.predict()
    assert seen == [None]
    assert outgoing_headers() == {}


def test_tracing_is_off_without_an_address() -> None:
    assert open_tracing(None, service="proxy", environment="local", ratio=1.0) is None
