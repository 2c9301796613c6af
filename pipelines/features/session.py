"""What the commands of one run share, made when it is first needed."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from functools import cached_property

from mlops.athena import Athena
from mlops.aws import Aws
from mlops.names import Names
from mlops.objects import S3Documents
from mlops.registry.opening import open_registry
from mlops.settings import Settings
from pipelines.datasets.store import DatasetStore
from pipelines.features.schemas.consumers import Consumer, Users, find_consumers, load_users
from pipelines.features.verification import S3Footers


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

    @cached_property
    def footers(self) -> S3Footers:
        return S3Footers(self.aws)

    @cached_property
    def users(self) -> Users:
        """Who may read feature tables, as of now."""
        registry = open_registry(self.settings, self.aws)
        datasets = DatasetStore(self.data)
        return load_users(self.artifacts, self.names.artifact_bucket, registry, datasets)

    def consumers(self, table: str, columns: Collection[str]) -> list[Consumer]:
        return find_consumers(self.users, table, columns)

    def new_id(self) -> str:
        return uuid.uuid4().hex[:12]
