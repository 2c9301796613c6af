"""The lines that a process would write while a test does something."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serving.logs import JsonFormatter


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@contextmanager
def json_lines(name: str = "serving") -> Iterator[list[dict[str, Any]]]:
    """What this logger and those below it write, formatted when it happens."""
    keeping, logger = _Keeping(), logging.getLogger(name)
    before = logger.level
    logger.addHandler(keeping)
    logger.setLevel(logging.INFO)
    try:
        yield keeping.lines
    finally:
        logger.removeHandler(keeping)
        logger.setLevel(before)
