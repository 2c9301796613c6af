"""Ports for servers that a test starts, which nobody else is given meanwhile."""

from __future__ import annotations

import socket

_KEPT: list[socket.socket] = []
"""They stay bound as long as this process runs, and never listen."""


def free_port() -> int:
    """A port of this process's own, also while its server is down.

    Who binds it with SO_REUSEADDR, as servers do, gets it; the system gives it to nobody who asks
    for any port. Until something listens there, connections are refused.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _KEPT.append(kept)
    return int(kept.getsockname()[1])
