"""Answers that are made and not written: two that come in one turn of the loop go out together.

A caller on the same machine (a sidecar, another service) sleeps until it is answered, and waking it
takes a sixth of the time of a small read. Of two answers in a row only the first has to; were there
more, whoever reads them would have nothing to do while they are made.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable

_HELD_BYTES = 32_768
"""An answer that is larger takes longer to make than another one should wait."""


class Outgoing:
    """Of one process, for its event loop alone."""

    def __init__(self) -> None:
        self._held: Callable[[], object] | None = None

    def add(self, send: Callable[[], object], size: int) -> None:
        """Have an answer sent: with another one, or in the loop's next turn; now where it is large.

        size: of the answer, in bytes.
        """
        held, self._held = self._held, None
        if held is not None:
            try:
                held()
            finally:
                send()
        elif size > _HELD_BYTES:
            send()
        else:
            self._held = send
            get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held()
