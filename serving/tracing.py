"""Spans in OpenTelemetry's terms, sent to a collector over OTLP.

A span holds routes, models, versions, counts, statuses and error codes: no id of an entity, no
value, no key, and no error's text, which may name them.
Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/, https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version

from opentelemetry import context as otel_context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.spans import Attributes, RequestTrace, current

_PROPAGATOR = TraceContextTextMapPropagator()


class OtelTracing:
    """Spans of one service. The caller's decision to trace holds, else the ratio's."""

    def __init__(
        self, processor: SpanProcessor, *, service: str, environment: str, ratio: float
    ) -> None:
        """service, environment: what every span says of the process."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create(
                {
                    "service.name": service,
                    "service.version": installed_version("feast-mlops"),
                    "deployment.environment.name": environment,
                }
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("serving")

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[RequestTrace]:
        carrier = {key: headers[key] for key in ("traceparent", "tracestate") if key in headers}
        parent = _PROPAGATOR.extract(carrier, otel_context.Context())
        with self._tracer.start_as_current_span(
            "request",
            parent,
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            trace = OtelRequest(self._tracer, span)
            token = current.set(trace)
            try:
                yield trace
            finally:
                current.reset(token)

    def close(self) -> None:
        self._provider.shutdown()


class OtelRequest:
    """One request's span, and those within it."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self.is_kept = span.is_recording()
        self.id = format_trace_id(span.get_span_context().trace_id)

    @contextmanager
    def stage(self, name: str, attributes: Attributes, *, leaves: bool) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT if leaves else SpanKind.INTERNAL,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier

    def answered(self, name: str, attributes: Attributes, *, failed: bool) -> None:
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if failed:
            self._span.set_status(StatusCode.ERROR)


def otlp_tracing(
    endpoint: str,
    *,
    service: str,
    environment: str,
    ratio: float,
    export_seconds: float = 2.0,
) -> OtelTracing:
    """Send spans in the background to an OTLP/HTTP address such as http://host:4318/v1/traces.

    A collector that does not answer costs spans, never a request. Its headers, such as a token,
    and its certificates are the exporter's own settings: OTEL_EXPORTER_OTLP_HEADERS, …_CERTIFICATE.

    export_seconds: how long it may take for one batch, the last one on shutdown included.
    """
    exporter = OTLPSpanExporter(endpoint, timeout=export_seconds)
    return OtelTracing(
        BatchSpanProcessor(exporter), service=service, environment=environment, ratio=ratio
    )
