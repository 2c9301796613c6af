"""Feature reads without a task of their own: those where all is as it should be.

What is checked is checked by the same functions as in `read_route`; what depends on a request's
head alone is checked again only when callers or services changed. What they raise, what Redis fails
to answer and whatever has to wait for something is left to that route.
"""

from __future__ import annotations

from asyncio import TimerHandle, get_running_loop
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from starlette.types import Scope

from mlops.errors import MlopsError
from mlops.stores.online import PlainRows, ViewTable
from serving.answers import error_body, log_error
from serving.deadline import TIMEOUT_KEY, Deadline, deadline_of
from serving.edge import Answered, ShortRequest
from serving.errors import RateLimited, status_of
from serving.logs import request_id
from serving.proxy.callers import Caller
from serving.proxy.entity_columns import EntityRows, ReadRequest, parse_read
from serving.proxy.feature_answers import Shown, write_answer
from serving.proxy.feature_services import ReadableService
from serving.proxy.outgoing import Outgoing
from serving.proxy.read_route import PATH, READ, FeatureReads, parse_shown

_ANSWERED = Answered("POST", READ, 200)
_SAID = (b"x-api-key", b"authorization", TIMEOUT_KEY)


@dataclass(frozen=True)
class ShortReads:
    """The shortcut of `POST /v1/features/{service}:read`."""

    reads: FeatureReads
    _outgoing: Outgoing = field(default_factory=Outgoing, init=False)

    def way(self, scope: Scope, headers: Mapping[bytes, bytes]) -> ReadWay | None:
        """None for another route, and for a query that is wrong."""
        path = PATH.fullmatch(scope["path"])
        if path is None or scope["method"] != "POST":
            return None
        try:
            shown = parse_shown(scope["query_string"])
        except MlopsError:
            return None
        said = {name: value.decode("latin-1") for name, value in headers.items() if name in _SAID}
        said_in_order = [said.get(name) for name in _SAID]
        return ReadWay(self.reads, self._outgoing, path[1], shown, *said_in_order)


@dataclass(slots=True)
class ReadWay:
    """Takes the reads that have one head."""

    reads: FeatureReads
    outgoing: Outgoing
    name: str
    """Of the feature service."""
    shown: Shown
    key: str | None
    authorization: str | None
    timeout: str | None
    """These three as the headers say."""
    _known: tuple[int, Caller] | None = field(default=None, init=False)
    """Who asks, as of the callers' generation."""
    _allowed: tuple[Caller, ReadableService] | None = field(default=None, init=False)
    """Of whom it is known that it may see all of that."""

    def take(self, asked: ShortRequest) -> bool:
        """Whether Redis is asked for it now."""
        reads = self.reads
        try:
            known, deadline = self._known, None
            if known is None or known[0] != reads.doorkeeper.generation:
                known = self._recognize()
            caller = known[1]
            if self.timeout is not None:
                deadline = deadline_of(self.timeout, since=asked.since)
            wanted = parse_read(asked.body, most=reads.max_rows)
            service = self._service(caller, wanted)
            rows, now = service.entities.check(wanted.columns), reads.clock.now()
            under_way = _UnderWay(self, asked, caller, service, rows, now)
            if rows.errors or not service.reader.start(rows.columns, under_way.finish, now=now):
                return False
            under_way.count()
        except MlopsError:
            return False
        if deadline is not None:
            under_way.end_by(deadline)
        return True

    def _recognize(self) -> tuple[int, Caller]:
        """Who asks, as of the callers' generation. Raises what refuses it.

        A token is looked at each time: it may be over by now.
        """
        doorkeeper = self.reads.doorkeeper
        caller = doorkeeper.recognize(self.key, self.authorization)
        caller.require_service(self.name)
        found = doorkeeper.generation, caller
        if self.key:
            self._known = found
        return found

    def _service(self, caller: Caller, wanted: ReadRequest) -> ReadableService:
        """Raises as `FeatureReads.find`."""
        if wanted.features is not None:
            return self.reads.find(caller, self.name, wanted)
        service, allowed = self.reads.services.get(self.name), self._allowed
        if allowed is None or allowed[0] is not caller or allowed[1] is not service:
            self._allowed = caller, self.reads.find(caller, self.name, wanted)
        return service


@dataclass(slots=True)
class _UnderWay:
    """A read whose answers are to come."""

    way: ReadWay
    asked: ShortRequest
    caller: Caller
    service: ReadableService
    rows: EntityRows
    now: datetime
    timer: TimerHandle | None = None
    is_over: bool = False

    def count(self) -> None:
        """One request of its caller's rate. Raises RateLimited, and answers nothing then."""
        try:
            self.way.reads.doorkeeper.count(self.caller)
        except RateLimited:
            self.is_over = True
            raise

    def end_by(self, deadline: Deadline) -> None:
        """Answer an error then, if nothing was answered before."""
        loop = get_running_loop()
        self.timer = loop.call_later(deadline.remaining(), self._end, deadline.exceeded())

    def _end(self, error: MlopsError) -> None:
        self.is_over = True
        request_id.set(self.asked.identity)
        log_error(error)
        facts = {"caller": self.caller.name}
        answered = Answered("POST", READ, status_of(error))
        if not self.asked.answer(error_body(error), answered, facts):
            self.asked.leave()

    def finish(self, answers: Any, error: Exception | None) -> None:
        """Answer, or leave it to the route."""
        if self.is_over:
            return
        if self.timer is not None:
            self.timer.cancel()
        if error is not None or not self._make(answers):
            self.asked.leave()

    def _make(self, answers: Any) -> bool:
        """Whether there is an answer, which goes out by itself then."""
        way, asked, service, rows = self.way, self.asked, self.service, self.rows
        try:
            found = service.reader.finish(answers, rows.columns, now=self.now)
            if found is None:
                return False
            if isinstance(found, PlainRows):
                body = service.answers.write(way.name, found, way.shown, identity=asked.identity)
            else:
                body = write_answer(way.name, found, rows, way.shown, identity=asked.identity)
        except Exception:  # noqa: BLE001 — the route will meet it, log it and say so
            return False
        way.outgoing.add(partial(self._send, body, found), len(body))
        return True

    def _send(self, body: bytes, found: PlainRows | list[ViewTable]) -> None:
        way, asked, rows, caller = self.way, self.asked, self.rows, self.caller
        facts = {"caller": caller.name, "service": way.name, "rows": rows.count}
        if asked.answer(body, _ANSWERED, facts):
            identity, now = asked.identity, self.now
            way.reads.tell(found, rows, self.service, caller, identity=identity, now=now)
        else:
            asked.leave()
