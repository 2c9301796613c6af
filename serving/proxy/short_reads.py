"""Feature reads without a task of their own: those where all is as it should be.

What is checked is checked by the same functions as in `read_route`. What they raise, what Redis
fails to answer and whatever has to wait for something is left to that route.
"""

from __future__ import annotations

from asyncio import TimerHandle, get_running_loop
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops.errors import MlopsError
from mlops.stores.online import PlainRows
from serving.answers import error_body, log_error
from serving.deadline import TIMEOUT_KEY, Deadline, deadline_of
from serving.edge import ShortRequest
from serving.errors import RateLimited, status_of
from serving.logs import request_id
from serving.proxy.callers import Caller
from serving.proxy.entity_columns import EntityRows, parse_read
from serving.proxy.feature_answers import Shown, write_answer
from serving.proxy.feature_services import ReadableService
from serving.proxy.read_route import PATH, READ, FeatureReads, parse_shown


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
        under_way = _UnderWay(reads, asked, name, caller, service, rows, shown, now)
        if rows.errors or not service.reader.start(rows.columns, under_way.finish, now=now):
            return False
        under_way.count()
        asked.facts["caller"] = caller.name
        if deadline is not None:
            under_way.end_by(deadline)
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
    is_over: bool = False

    def count(self) -> None:
        """One request of its caller's rate. Raises RateLimited, and answers nothing then."""
        try:
            self.reads.doorkeeper.count(self.caller)
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
        self.asked.answer(error_body(error), READ, status_of(error))

    def finish(self, answers: Any, error: Exception | None) -> None:
        """Answer, or leave it to the route."""
        if self.is_over:
            return
        if self.timer is not None:
            self.timer.cancel()
        body = None
        if error is None and self.asked.is_open:
            try:
                body = self._body(answers)
            except Exception:  # noqa: BLE001 — the route will meet it, log it and say so
                body = None
        if body is None:
            self.asked.leave()
        else:
            self.asked.answer(body, READ)

    def _body(self, answers: Any) -> bytes | None:
        service, rows, identity = self.service, self.rows, self.asked.identity
        found = service.reader.finish(answers, rows.columns, now=self.now)
        if found is None:
            return None
        self.reads.tell(found, rows, service, self.caller, identity=identity, now=self.now)
        facts = self.asked.facts
        facts["service"], facts["rows"] = self.name, rows.count
        if isinstance(found, PlainRows):
            return service.answers.write(self.name, found, self.shown, identity=identity)
        return write_answer(self.name, found, rows, self.shown, identity=identity)
