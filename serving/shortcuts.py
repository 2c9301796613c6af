"""Answers to requests that need no task of their own: whole when they come, and asked for at once.

A task, and the coroutines of an app within it, cost more than the rest of a small request. A
shortcut takes a request that it can begin to answer without waiting, and writes the answer from a
callback. Whatever is not as usual it leaves to the app, before or after it began, so that there is
one way to refuse, to try again and to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

Headers = Iterable[tuple[bytes, bytes]]


class Exchange(Protocol):
    """A request, and the way to answer it."""

    scope: Any
    """As ASGI has it."""

    @property
    def body(self) -> bytes:
        """All of it."""

    @property
    def is_open(self) -> bool:
        """Whether an answer can be written now; else the app waits until it can."""

    def write(self, status: int, headers: Headers, body: bytes) -> bool:
        """Answer; headers as of `serving.connections.write_whole`, which also tells the result."""

    def leave(self) -> None:
        """Let the app answer after all: as if nothing had been begun."""


class Shortcut(Protocol):
    """The way past the app."""

    def take(self, exchange: Exchange) -> bool:
        """Whether the request is taken; else nothing was done, and the app answers it."""
