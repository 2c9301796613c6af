"""POST /v1/features/{service}:read as plain ASGI: features by entity ids, without a model."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.clock import Clock
from mlops.errors import Unavailable
from mlops.stores.online import PlainRows, ViewTable
from serving.answers import error_body
from serving.deadline import TIMEOUT_KEY, Deadline, TimeLimit, deadline_of
from serving.edge import SINCE
from serving.errors import FeaturesUnavailable, InvalidRequest, MethodNotAllowed
from serving.logs import request_id
from serving.plain import Body, PlainRoute, answer, header, read_body
from serving.proxy.callers import Caller
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.entity_columns import EntityRows, ReadRequest, parse_read
from serving.proxy.feature_answers import Shown, spread, write_answer
from serving.proxy.feature_services import FeatureServices, ReadableService
from serving.proxy.read_counts import ReadCounts
from serving.proxy.read_log import ReadLog
from serving.spans import stage

READ = "/v1/features/{service}:read"
PATH = re.compile(r"/v1/features/([^/]+):read")
_ROUTE = PlainRoute(READ)
_SWITCHES = {"true": True, "false": False}
_ALL = Shown()


@dataclass(frozen=True)
class Found:
    """What was read, and what was not."""

    tables: list[ViewTable]
    """Of all rows; those that were not read are INVALID."""
    rows: EntityRows
    service: ReadableService


@dataclass(frozen=True)
class FeatureReads:
    """Reads of published feature services for callers who may: what the routes are a shell of."""

    services: FeatureServices
    doorkeeper: Doorkeeper
    clock: Clock
    max_rows: int
    log: ReadLog
    counts: ReadCounts = field(default_factory=ReadCounts)

    async def read(
        self, caller: Caller, name: str, asked: ReadRequest, deadline: Deadline | None = None
    ) -> Found:
        """What a caller who may read the service gets of it.

        deadline: the caller's, after which nobody waits.
        Raises UnknownFeatureService, UnknownFeature, NotAllowed where personal features are among
        them, InvalidRequest where an entity is missing or the only row is wrong,
        FeaturesUnavailable, DeadlineExceeded.
        """
        service = self.find(caller, name, asked)
        return await self.read_service(caller, service, asked.columns, deadline)

    async def read_service(
        self,
        caller: Caller,
        service: ReadableService,
        columns: Mapping[str, list[Any]],
        deadline: Deadline | None,
    ) -> Found:
        """The same of a service that was found and allowed."""
        if deadline is None:
            return await self._read(caller, service, columns)
        try:
            with TimeLimit(deadline.remaining()):
                return await self._read(caller, service, columns)
        except TimeoutError as exc:
            raise deadline.exceeded() from exc

    def find(self, caller: Caller, name: str, asked: ReadRequest) -> ReadableService:
        """What is to be read. Raises UnknownFeatureService, UnknownFeature, NotAllowed."""
        service = self.services.get(name)
        if asked.features is not None:
            service = self.services.choose((name,), asked.features)
        caller.require_pii(service.personal)
        return service

    async def _read(
        self, caller: Caller, service: ReadableService, columns: Mapping[str, list[Any]]
    ) -> Found:
        rows, now = service.entities.check(columns), self.clock.now()
        try:
            with stage("features"):
                tables = await service.reader.read_columns(rows.columns, now=now)
        except Unavailable as exc:
            raise FeaturesUnavailable(
                "The features cannot be read: the online store does not answer.",
                remedy="Try again after a second; operators find the cause in /readyz and the log.",
            ) from exc
        self.tell(tables, rows, service, caller, identity=request_id.get() or "", now=now)
        if rows.errors:
            tables = [spread(table, rows) for table in tables]
        return Found(tables, rows, service)

    def tell(
        self,
        found: PlainRows | list[ViewTable],
        rows: EntityRows,
        service: ReadableService,
        caller: Caller,
        *,
        identity: str,
        now: datetime,
    ) -> None:
        """Count what was found of the sound rows, and log it where a view says so.

        identity: the request's. now: when it was read.
        """
        if isinstance(found, PlainRows):
            self.counts.add_plain(found)
        else:
            self.counts.add(found)
        if not self.log.flows:
            return
        self.log.record(
            found.tables() if isinstance(found, PlainRows) else found,
            rows.columns,
            service=service.plan.service,
            caller=caller.name,
            request_id=identity,
            now=now,
        )


class ReadRoute:
    """Answers feature reads itself and leaves all other requests to the app."""

    def __init__(self, app: ASGIApp, reads: FeatureReads) -> None:
        self.app = app
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (found := PATH.fullmatch(scope["path"])):
            scope["route"] = _ROUTE
            await answer(self._read(scope, receive, found[1]), send, shape=error_body)
        else:
            await self.app(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, name: str) -> Body:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        reads, log = self._reads, scope["state"]["log"]
        since = scope["state"].get(SINCE) or time.monotonic()
        caller = await reads.doorkeeper.admit_request(scope)
        caller.require_service(name)
        reads.services.get(name)
        shown = parse_shown(scope["query_string"])
        deadline = deadline_of(header(scope, TIMEOUT_KEY), since=since)
        asked = parse_read(await read_body(receive), most=reads.max_rows)
        found = await reads.read(caller, name, asked, deadline)
        log["service"], log["rows"] = name, found.rows.count
        identity = request_id.get() or ""
        return write_answer(name, found.tables, found.rows, shown, identity=identity), {}


def parse_shown(query: bytes) -> Shown:
    """`statuses=false` and `event_times=false` leave them out. Raises InvalidRequest."""
    if not query:
        return _ALL
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    wanted: dict[str, bool] = {}
    for name, values in asked.items():
        if name not in ("statuses", "event_times") or values[-1] not in _SWITCHES:
            raise InvalidRequest(
                f"'{name[:100]}' is no parameter, or its value is neither true nor false.",
                field=f"query.{name[:100]}",
                remedy="Send statuses=false or event_times=false to leave them out.",
            )
        wanted[name] = _SWITCHES[values[-1]]
    return Shown(**wanted)
