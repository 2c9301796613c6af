"""What the commands of one run share, made when it is first needed."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cached_property

import redis

from mlops.athena import Athena
from mlops.aws import Aws
from mlops.feast import open_store
from mlops.names import Names
from mlops.objects import S3Documents
from mlops.secrets import redis_password
from mlops.settings import Settings
from pipelines.features.upsync import RedisMarks, Stores


class Session:
    """One environment, one identity, one moment."""

    def __init__(self, settings: Settings, aws: Aws | None = None) -> None:
        self.settings = settings
        self.names: Names = settings.names
        self.aws = aws or Aws(region=settings.region)
        self.now: datetime = settings.build_clock().now()

    @cached_property
    def athena(self) -> Athena:
        return Athena(self.settings, self.aws)

    @cached_property
    def data(self) -> S3Documents:
        return S3Documents(self.aws, self.names.data_bucket)

    @cached_property
    def artifacts(self) -> S3Documents:
        return S3Documents(self.aws, self.names.artifact_bucket)

    def new_id(self) -> str:
        return uuid.uuid4().hex[:12]

    def online_stores(self) -> Stores:
        """Raises NotFound when nothing was applied yet."""
        feast = open_store(self.settings, self.aws, online=True)
        client = redis.Redis.from_url(
            self.settings.require_redis_url(),
            password=redis_password(self.settings, self.aws),
            socket_connect_timeout=5,
            socket_timeout=30,
        )
        return Stores(
            feast=feast,
            queries=self.athena,
            data=self.data,
            artifacts=self.artifacts,
            marks=RedisMarks(client, feast.project),
        )
