"""Spans of the request under way: what the code says of its stages, whoever listens or nobody.

Where a process does not trace, a stage costs a look at one variable. See `serving.tracing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar, copy_context
from typing import Protocol

Attributes = Mapping[str, str | int]


class RequestTrace(Protocol):
    """The trace of one request, from when it came to when it was answered."""

    id: str
    """32 hexadecimal digits."""
    is_kept: bool
    """Whether its spans are sent anywhere; else only the decision not to is handed on."""

    def stage(
        self, name: str, attributes: Attributes, *, leaves: bool
    ) -> AbstractContextManager[None]:
        """A span within the innermost that is open; `leaves` where another process is asked."""

    def headers(self) -> dict[str, str]:
        """What tells another process of the innermost open span."""

    def answered(self, name: str, attributes: Attributes, *, failed: bool) -> None:
        """Say what the request was, once that is known."""


class Tracing(Protocol):
    """Where spans go."""

    def request(self, headers: Mapping[str, str]) -> AbstractContextManager[RequestTrace]:
        """The span of a request; part of the caller's trace where its headers name one."""

    def close(self) -> None:
        """Send what waits; blocking."""


current: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)
"""The trace of the request that this task answers; None where it is not traced."""

_NOTHING: AbstractContextManager[None] = nullcontext()


def stage(
    name: str, attributes: Attributes | None = None, *, leaves: bool = False
) -> AbstractContextManager[None]:
    """A span of the request under way, where it is traced."""
    trace = current.get()
    if trace is None:
        return _NOTHING
    return trace.stage(name, attributes or {}, leaves=leaves)


def traced_context() -> Context | None:
    """This task's context, for work that is done for it elsewhere; None where it is not traced."""
    return None if current.get() is None else copy_context()


def context_of_one(contexts: Iterable[Context | None]) -> Context | None:
    """Where work for several requests belongs: to one whose spans are kept, else to any traced
    one, else to no trace.

    None where the task that asks may go on in its own context.
    """
    traced = [one for one in contexts if one is not None]
    if traced:
        return next((one for one in traced if _is_kept(one)), traced[0]).copy()
    if current.get() is None:
        return None
    alone = copy_context()
    alone.run(current.set, None)
    return alone


def _is_kept(context: Context) -> bool:
    trace = context.get(current)
    return trace is not None and trace.is_kept


def outgoing_headers() -> dict[str, str]:
    """W3C `traceparent` for a request to another process; nothing where this one is not traced."""
    trace = current.get()
    return {} if trace is None else trace.headers()


def open_tracing(
    endpoint: str | None, *, service: str, environment: str, ratio: float
) -> Tracing | None:
    """Send spans to this OTLP/HTTP address; None where there is none: nothing is then traced."""
    if endpoint is None:
        return None
    from serving.tracing import otlp_tracing  # noqa: PLC0415  # the SDK takes 0.2 s and 10 MB

    return otlp_tracing(endpoint, service=service, environment=environment, ratio=ratio)
