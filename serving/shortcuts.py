"""Answers to requests that need no task of their own: whole when they come, and asked for at once.

A task, and the coroutines of an app within it, cost more than the rest of a small request. A
shortcut knows a way to answer requests that have one head; it begins to answer each of them without
waiting, and writes the answer from a callback. Whatever is not as usual it leaves to the app,
before or after it began, so that there is one way to refuse, to try again and to say what is wrong.
"""

from __future__ import annotations

from typing import Any, Protocol


class Exchange(Protocol):
    """A request, and the way to answer it."""

    @property
    def scope(self) -> Any:
        """As ASGI has it, and not to be changed: others may have the same."""

    @property
    def body(self) -> bytes:
        """All of it."""

    def write(self, status: int, lines: bytes, body: bytes) -> bool:
        """Answer at once; False where nothing was written, and the app is to do it: it can wait.

        lines: of the head, each with its end, the body's length among them.
        """

    def leave(self, **state: Any) -> None:
        """Let the app answer after all: as if nothing had been begun.

        state: what it will find in the scope's state.
        """


class Way(Protocol):
    """The way past the app for requests that have one head: callers send the same over and over."""

    def take(self, exchange: Exchange) -> bool:
        """Whether the request is taken; else nothing was done, and the app answers it."""


class Shortcut(Protocol):
    """Knows ways past the app."""

    def way(self, scope: Any) -> Way | None:
        """For requests that have this head, whose body may differ; None where the app answers them.

        scope: as ASGI has it, and not to be changed. The way may be kept for as long as the process
        lives: what it found out about the caller, or about what is asked for, it must look up again
        when that changes.
        """
