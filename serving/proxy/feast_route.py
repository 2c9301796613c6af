"""What Feast's own clients ask of its feature server, as plain ASGI.

POST /get-online-features is answered. POST /write-to-online-store, which its remote online store
calls to write, is refused by name: here rows are written by those who may push to their source.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.answers import error_body
from serving.deadline import TIMEOUT_KEY, deadline_of
from serving.errors import InvalidRequest, MethodNotAllowed, NotOffered
from serving.plain import Body, PlainRoute, answer, header, read_body
from serving.proxy.bodies import parse_object
from serving.proxy.callers import Caller
from serving.proxy.doorkeeper import presented
from serving.proxy.entity_columns import check_columns, check_features
from serving.proxy.feast_answers import write_feast_answer
from serving.proxy.feast_choice import compute, split_columns
from serving.proxy.feature_services import ReadableService
from serving.proxy.keys import PREFIX
from serving.proxy.read_route import FeatureReads

FEAST = "/get-online-features"
FEAST_WRITE = "/write-to-online-store"
_Work = Callable[[Scope, Receive], Awaitable[Body]]
_REMEDY = "Send what Feast's client sends: entities, and feature_service or features."


@dataclass(frozen=True)
class FeastRequest:
    """Feast's GetOnlineFeaturesRequest."""

    entities: dict[str, Any]
    feature_service: str | None
    features: tuple[str, ...]
    full_names: bool
    with_versions: bool


class FeastRoute:
    """Answers Feast's clients itself and leaves all other requests to the app."""

    def __init__(self, app: ASGIApp, reads: FeatureReads) -> None:
        self.app = app
        self._reads = reads
        self._routes: Mapping[str, tuple[PlainRoute, _Work]] = {
            FEAST: (PlainRoute(FEAST), self._read),
            FEAST_WRITE: (PlainRoute(FEAST_WRITE), self._write),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (found := self._routes.get(scope["path"])):
            scope["route"], work = found
            await answer(work(scope, receive), send, shape=error_body)
        else:
            await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        caller = await self._reads.doorkeeper.admit(*presented_by_feast(scope))
        scope["state"]["log"]["caller"] = caller.name
        return caller

    async def _write(self, scope: Scope, _: Receive) -> Body:
        """Refused whatever is sent, so that it need not be read."""
        await self._caller(scope)
        raise NotOffered(
            "Feast's remote online store cannot write through the proxy.",
            remedy="Push the rows to the view's push source, POST /v1/push/{push_source}; or load "
            "the view from its table: 'mlops features upsync VIEW'.",
        )

    async def _read(self, scope: Scope, receive: Receive) -> Body:
        reads, since = self._reads, time.monotonic()
        caller = await self._caller(scope)
        deadline = deadline_of(header(scope, TIMEOUT_KEY), since=since)
        asked = parse_request(await read_body(receive))
        service = self._service(asked, caller)
        caller.require_pii(service.personal | service.plan.personal)
        columns = check_columns(asked.entities, most=reads.max_rows)
        ids, given = split_columns(service, columns)
        found = await reads.read_service(caller, service, ids, deadline)
        for error in found.rows.errors.values():
            raise error
        scope["state"]["log"].update(service=asked.feature_service, rows=found.rows.count)
        body = write_feast_answer(
            found.tables,
            ids,
            compute(service, found.tables, ids, given),
            service.shows,
            full_names=asked.full_names,
            with_versions=asked.with_versions,
        )
        return body, {}

    def _service(self, asked: FeastRequest, caller: Caller) -> ReadableService:
        services = self._reads.services
        if asked.feature_service is None:
            names = tuple(name for name in sorted(services.current) if caller.may_read(name))
            if not asked.full_names:
                _check_names(asked.features)
            return services.with_computed(names, check_features(list(asked.features)))
        caller.require_service(asked.feature_service)
        return services.with_computed((asked.feature_service,), None)


def presented_by_feast(scope: Scope) -> tuple[str | None, str | None]:
    """The caller's key and authorization; Feast's clients can only send a key as a bearer token."""
    key, authorization = presented(scope)
    scheme, _, token = (authorization or "").partition(" ")
    if key is None and scheme.lower() == "bearer" and token.startswith(PREFIX):
        return token, None
    return key, authorization


def _check_names(references: tuple[str, ...]) -> None:
    counts = Counter(reference.partition(":")[2] for reference in references)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise InvalidRequest(
            f"'{twice[0]}' is asked for twice, of two views or of one.",
            field="features",
            remedy="Set full_feature_names to true, or name each feature once.",
        )


def parse_request(body: bytes) -> FeastRequest:
    """Raises InvalidRequest naming what is wrong. Fields that Feast may add are not looked at."""
    request = parse_object(body, remedy=_REMEDY)
    features = request.get("features") or []
    if not isinstance(features, list) or not all(isinstance(f, str) for f in features):
        raise _wrong("features", "a list of 'view:feature'")
    service = request.get("feature_service")
    if not isinstance(service, str | None):
        raise _wrong("feature_service", "a name")
    flags = [_flag(request, name) for name in _FLAGS]
    return FeastRequest(request.get("entities", {}), service, tuple(features), *flags)


_FLAGS = ("full_feature_names", "include_feature_view_version_metadata")


def _flag(request: dict[str, Any], name: str) -> bool:
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def _wrong(name: str, kind: str) -> InvalidRequest:
    return InvalidRequest(f"'{name}' must be {kind}.", field=name, remedy=_REMEDY)
