"""Which store pushes write to: the one that serving reads."""

from __future__ import annotations

from mlops.downsync.online import OnlineWriter
from mlops.settings import Settings
from mlops.stores.connection import RedisLimits, connect_redis, redis_address
from mlops.stores.feast_redis_writing import FeastRedisWriter


def open_writer(settings: Settings, password: str, limits: RedisLimits) -> OnlineWriter:
    """Connects on first use. Raises SettingsError where no Redis is set."""
    client = connect_redis(settings, password, limits=limits)
    return FeastRedisWriter(client, address=redis_address(settings))
