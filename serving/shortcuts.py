"""Answers to requests that need no task of their own: whole when they come, and asked for at once.

A task, and the coroutines of an app within it, cost more than the rest of a small request. A
shortcut takes a request that it can begin to answer without waiting, and writes the answer from a
callback. Whatever is not as usual it leaves to the app, before or after it began, so that there is
one way to refuse, to try again and to say what is wrong.
"""

from __future__ import annotations

from typing import Any, Protocol


class Exchange(Protocol):
    """A request, and the way to answer it."""

    scope: Any
    """As ASGI has it, and not to be changed: others may have the same."""

    @property
    def body(self) -> bytes:
        """All of it."""

    @property
    def is_open(self) -> bool:
        """Whether an answer can be written now; else the app waits until it can."""

    def write(self, status: int, lines: bytes, body: bytes) -> bool:
        """Answer at once; False where nothing was written, and the app is to do it.

        lines: of the head, each with its end, the body's length among them.
        """

    def leave(self, **state: Any) -> None:
        """Let the app answer after all: as if nothing had been begun.

        state: what it will find in the scope's state.
        """


class Shortcut(Protocol):
    """The way past the app."""

    def take(self, exchange: Exchange) -> bool:
        """Whether the request is taken; else nothing was done, and the app answers it."""
