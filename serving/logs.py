"""Logs as JSON lines on standard error, each with the id of the request that it belongs to.

No line carries a body, a key, an entity id or a feature value.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from serving.spans import current as current_trace

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this task answers."""

request_facts: ContextVar[dict[str, Any] | None] = ContextVar("request_facts", default=None)
"""What the line of this task's gRPC call will say beside its latency."""

AUDIT = "serving.audit"
"""The logger of refusals; it speaks at every level that the settings may choose."""

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
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


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
    for noisy in ("httpx", "httpcore", "botocore", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
