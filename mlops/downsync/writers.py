"""Which store pushes write to: the one that serving reads."""

from __future__ import annotations

from mlops.clock import Clock
from mlops.downsync.online import OnlineWriter
from mlops.downsync.packed import PackedWriter
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.link import open_link
from mlops.stores.redis.target import RedisTarget


def open_writer(target: RedisTarget, clock: Clock, limits: RedisLimits) -> OnlineWriter:
    """Connects on first use; to a cluster at once (Unavailable)."""
    return PackedWriter(open_link(target, limits=limits), clock)
