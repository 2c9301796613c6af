"""A job's output, shipped to CloudWatch Logs while it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_log = logging.getLogger(__name__)

_READ = 512 * 1024
"""Bytes per batch; CloudWatch takes 1 MiB with 26 bytes on top of every event."""
_EVENTS = 10_000
_LINE = 64 * 1024
LIMIT = 64 * 1024 * 1024
"""Bytes of output that are shipped per job; what a job prints beyond is dropped, and said so."""


class LogStream:
    """One stream of a log group. A log that cannot be written never fails the job."""

    def __init__(self, client: Any, group: str, stream: str, *, has_group: bool = False) -> None:
        """has_group: whether the group is made by others."""
        self._client = client
        self._has_group = has_group
        self._names = {"logGroupName": group, "logStreamName": stream}
        self._group = group
        self._open = False

    def write(self, lines: list[str]) -> None:
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line[:_LINE] or " "} for line in lines]
        try:
            self._ensure()
            for start in range(0, len(events), _EVENTS):
                batch = events[start : start + _EVENTS]
                self._client.put_log_events(**self._names, logEvents=batch)
        except (ClientError, BotoCoreError) as exc:
            _log.warning("%s: %d lines lost: %s", self._names["logStreamName"], len(lines), exc)

    def _ensure(self) -> None:
        if self._open:
            return
        if not self._has_group:
            _unless_exists(self._client, self._client.create_log_group, logGroupName=self._group)
        _unless_exists(self._client, self._client.create_log_stream, **self._names)
        self._open = True


def _unless_exists(client: Any, create: Callable[..., Any], **names: str) -> None:
    try:
        create(**names)
    except client.exceptions.ResourceAlreadyExistsException:
        _log.debug("%s exists", names)


class Tail:
    """Follows a growing file: every call to `ship` sends the whole lines that came since."""

    def __init__(self, path: Path, *consumers: Callable[[list[str]], None]) -> None:
        self._path = path
        self._consumers = consumers
        self._position = 0
        self._rest = b""

    def ship(self, *, last: bool = False) -> bool:
        """Send one batch; whether there was one. `last` sends an unfinished line as well."""
        chunk = self._read()
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if last and not chunk and self._rest:
            lines, self._rest = [self._rest], b""
        if lines:
            self._send([_visible(line) for line in lines])
        return bool(chunk or lines)

    def drain(self) -> None:
        while self.ship(last=True):
            continue

    def _read(self) -> bytes:
        if self._position >= LIMIT or not self._path.exists():
            return b""
        with self._path.open("rb") as stream:
            stream.seek(self._position)
            chunk = stream.read(_READ)
        self._position += len(chunk)
        if self._position >= LIMIT:
            chunk += f"\nOutput beyond {LIMIT} bytes is not kept.\n".encode()
        return chunk

    def _send(self, lines: list[str]) -> None:
        for consumer in self._consumers:
            consumer(lines)


def _visible(line: bytes) -> str:
    """What a terminal would show of a line that a progress bar wrote over and over."""
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
