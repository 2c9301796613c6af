"""Logs as JSON lines on standard error, each with the id of the request that it belongs to.

No line carries a body, a key, an entity id or a feature value.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from serving.spans import current as current_trace

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this task answers."""

request_facts: ContextVar[dict[str, Any] | None] = ContextVar("request_facts", default=None)
"""What the line of this task's gRPC call will say beside its latency."""

AUDIT = "serving.audit"
"""The logger of refusals; it speaks at every level that the settings may choose."""

ACCESS = "serving.access"
"""The logger of finished requests."""

_HEAD = {"level": "INFO", "logger": ACCESS, "message": "request"}
_NEWLINE = orjson.OPT_APPEND_NEWLINE
_GATHERED_SECONDS = 0.05
_MOST_GATHERED = 128
"""Written in a third of a millisecond, for which whoever asks then waits."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record; what was given as `extra` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        if (trace := current_trace.get()) is not None:
            line["trace_id"] = trace.id
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _written(line).decode()


class AccessLines:
    """A line for each finished request: through its logger, or where that is told, a few together.

    Python's logging takes longer for a line than Redis does for the features of a payment. Lines
    wait for a twentieth of a second at most; each says when its request was answered.
    """

    def __init__(self) -> None:
        self._log = logging.getLogger(ACCESS)
        self._stream: TextIO | None = None
        self._waiting: list[tuple[float, dict[str, Any], dict[str, Any]]] = []
        """When, of which request, and what is said of it."""
        self._is_due = False
        """Whether they will be written without another one."""
        self._moment, self._text = 0, ""
        """A millisecond since 1970, and how it is written."""

    def write_to(self, stream: TextIO | None) -> None:
        """From now on; None leaves the lines to the logger again."""
        self.flush()
        self._stream, self._is_due = stream, False

    def add(self, line: dict[str, Any], identity: str | None = None) -> None:
        """line: what it says beside its time and the request's id.

        identity: that id, where this is not the request's task.
        """
        if self._stream is None:
            self._tell_logger(line, identity)
            return
        where = _belonging() if identity is None else {"request_id": identity}
        self._waiting.append((time.time(), where, line))
        if len(self._waiting) >= _MOST_GATHERED:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_GATHERED_SECONDS, self._flush_due)

    def _tell_logger(self, line: dict[str, Any], identity: str | None) -> None:
        before = request_id.set(request_id.get() if identity is None else identity)
        try:
            self._log.info("request", extra=line)
        finally:
            request_id.reset(before)

    def _flush_due(self) -> None:
        self._is_due = False
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if self._stream is not None and waiting:
            lines = [
                _written({"time": self._text_of(at), **_HEAD, **where, **line}, end=_NEWLINE)
                for at, where, line in waiting
            ]
            self._stream.write(b"".join(lines).decode())
            self._stream.flush()

    def _text_of(self, at: float) -> str:
        moment = int(at * 1000)
        if moment != self._moment:
            second, fraction = divmod(moment, 1000)
            whole = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            self._moment, self._text = moment, f"{whole}.{fraction:03d}+00:00"
        return self._text


def _belonging() -> dict[str, Any]:
    """What says which request and trace a line belongs to."""
    found: dict[str, Any] = {}
    if (current := request_id.get()) is not None:
        found["request_id"] = current
    if (trace := current_trace.get()) is not None:
        found["trace_id"] = trace.id
    return found


access = AccessLines()
"""Of this process, as a logger is."""


def _written(line: dict[str, Any], *, end: int = 0) -> bytes:
    """end: the option of orjson that says how it ends."""
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS | end)


def configure_logging(level: str) -> None:
    """Send every logger's records to standard error as JSON lines.

    No line names a thread or a place in the source, and finding them took half of a line's time:
    see "Optimization" in Python's logging how-to.
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # named so in that how-to
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    access.write_to(sys.stderr if logging.getLogger(ACCESS).isEnabledFor(logging.INFO) else None)
    atexit.register(access.flush)
    for noisy in ("httpx", "httpcore", "botocore", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
