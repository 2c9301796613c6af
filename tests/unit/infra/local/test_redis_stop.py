"""A redis-server that refuses to end is asked again."""

from __future__ import annotations

from typing import Any

import redis

from infra.local.redis import _shut_down


class Writing:
    """Refuses as long as it writes its first append-only file."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.asked = refusals, 0

    def shutdown(self, **_: Any) -> None:
        self.asked += 1
        if self.asked <= self.refusals:
            raise redis.ResponseError("Errors trying to SHUTDOWN. Check logs.")


def test_what_refuses_for_now_is_asked_until_it_ends() -> None:
    server: Any = Writing(refusals=2)
    _shut_down(server)
    assert server.asked == 3
