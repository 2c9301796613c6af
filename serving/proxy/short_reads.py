"""Feature reads without a task of their own: those where all is as it should be.

What is checked is checked by the same functions as in `read_route`. What they raise, what Redis
fails to answer and whatever has to wait for something is left to that route.
"""

from __future__ import annotations

from asyncio import Future, TimerHandle, get_running_loop
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops.errors import MlopsError
from serving.answers import error_body, log_error
from serving.deadline import TIMEOUT_KEY, Deadline, deadline_of
from serving.edge import ShortRequest
from serving.errors import status_of
from serving.logs import request_id
from serving.proxy.callers import Caller
from serving.proxy.entity_columns import EntityRows, parse_read
from serving.proxy.feature_answers import Shown
from serving.proxy.feature_services import ReadableService
from serving.proxy.read_route import PATH, READ, FeatureReads, Found, parse_shown


@dataclass(frozen=True)
class ShortReads:
    """The shortcut of `POST /v1/features/{service}:read`."""

    reads: FeatureReads

    def take(self, asked: ShortRequest) -> bool:
        """Whether Redis is asked for it now."""
        path = PATH.fullmatch(asked.scope["path"])
        if path is None or asked.scope["method"] != "POST":
            return False
        try:
            return self._begin(asked, path[1])
        except MlopsError:
            return False

    def _begin(self, asked: ShortRequest, name: str) -> bool:
        reads = self.reads
        caller = reads.doorkeeper.recognize(
            asked.header(b"x-api-key"), asked.header(b"authorization")
        )
        caller.require_service(name)
        shown = parse_shown(asked.scope["query_string"])
        deadline = deadline_of(asked.header(TIMEOUT_KEY), since=asked.since)
        wanted = parse_read(asked.body, most=reads.max_rows)
        service = reads.find(caller, name, wanted)
        rows = service.entities.check(wanted.columns)
        now = reads.clock.now()
        answers = None if rows.errors else service.reader.start(rows.columns, now=now)
        if answers is None:
            return False
        reads.doorkeeper.count(caller)
        asked.facts["caller"] = caller.name
        under_way = _UnderWay(reads, asked, name, caller, service, rows, shown, now)
        if deadline is not None:
            under_way.end_by(deadline)
        answers.add_done_callback(under_way.finish)
        return True


@dataclass(slots=True)
class _UnderWay:
    """A read whose answers are to come."""

    reads: FeatureReads
    asked: ShortRequest
    name: str
    caller: Caller
    service: ReadableService
    rows: EntityRows
    shown: Shown
    now: datetime
    timer: TimerHandle | None = None
    is_late: bool = False

    def end_by(self, deadline: Deadline) -> None:
        """Answer an error then, if nothing was answered before."""
        loop = get_running_loop()
        self.timer = loop.call_later(deadline.remaining(), self._end, deadline.exceeded())

    def _end(self, error: MlopsError) -> None:
        self.is_late = True
        request_id.set(self.asked.identity)
        log_error(error)
        self.asked.answer(error_body(error), READ, status_of(error))

    def finish(self, answers: Future[list[Any]]) -> None:
        """Answer, or leave it to the route."""
        if self.is_late:
            return
        if self.timer is not None:
            self.timer.cancel()
        if not self.asked.is_open or answers.cancelled() or answers.exception() is not None:
            self.asked.leave()
            return
        try:
            body = self._body(answers.result())
        except Exception:  # noqa: BLE001 — the route will meet it, log it and say so
            body = None
        if body is None:
            self.asked.leave()
        else:
            self.asked.answer(body, READ)

    def _body(self, answers: list[Any]) -> bytes | None:
        service, rows, identity = self.service, self.rows, self.asked.identity
        tables = service.reader.finish(answers, rows.columns, now=self.now)
        if tables is None:
            return None
        self.reads.tell(Found(tables, rows, service), self.caller, identity, self.now)
        facts = self.asked.facts
        facts["service"], facts["rows"] = self.name, rows.count
        return service.answers.write(self.name, tables, rows, self.shown, identity=identity)
