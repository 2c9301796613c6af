"""Spans reach a real OTLP collector, and a dead one delays nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.spans import open_tracing, outgoing_headers, stage
from serving.tracing import otlp_tracing


@dataclass
class Collector:
    """What came to an address."""

    url: str = ""
    got: list[ExportTraceServiceRequest] = field(default_factory=list)

    def spans(self) -> dict[str, Any]:
        return {
            span.name: span
            for request in self.got
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.got.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_collector_gets_the_tree_of_a_request(collector: Collector) -> None:
    tracing = open_tracing(collector.url, service="mlops-proxy", environment="local", ratio=1.0)
    assert tracing is not None
    with tracing.request({}) as trace, stage("features", {"mlops.model": "fraud"}, leaves=True):
        assert outgoing_headers()["traceparent"].split("-")[1] == trace.id
        trace.answered("POST /here", {"http.response.status_code": 200}, failed=False)
    tracing.close()
    found = collector.spans()
    assert found["features"].parent_span_id == found["POST /here"].span_id
    resource = collector.got[0].resource_spans[0].resource.attributes
    named = {attribute.key: attribute.value.string_value for attribute in resource}
    assert named["service.name"] == "mlops-proxy"


def test_a_collector_that_is_gone_ends_neither_a_request_nor_the_process() -> None:
    tracing = otlp_tracing(
        "http://127.0.0.1:9/v1/traces",
        service="mlops-proxy",
        environment="local",
        ratio=1.0,
        export_seconds=0.2,
    )
    with tracing.request({}), stage("features"):
        answer = "given"
    tracing.close()
    assert answer == "given"
