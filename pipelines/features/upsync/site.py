"""What the commands for the online store share, made when it is first needed."""

from __future__ import annotations

import os
import socket
from functools import cached_property
from typing import Any

from mlops.clock import SystemClock
from mlops.errors import Refused
from mlops.feast import feast_environment, open_store, read_config
from mlops.secrets import redis_password
from mlops.stores.athena.session import open_session
from mlops.stores.athena.staging import Storage
from mlops.stores.connection import RedisLimits, connect_redis, redis_address
from mlops.stores.redis.link import DirectLink, Link
from pipelines.features.backup.archive import Archive
from pipelines.features.backup.keys import ProjectKeys
from pipelines.features.lease import SECONDS, Leases
from pipelines.features.session import Session
from pipelines.features.upsync.redis_target import RedisTarget
from pipelines.features.upsync.running import Told, Upsync
from pipelines.features.upsync.staging import Planner
from pipelines.features.upsync.state import Runs
from pipelines.features.verify import Verifier

_LIMITS = RedisLimits(connect_timeout=5.0, read_timeout=30.0)
"""A job may wait longer than a payment."""


class OnlineSession(Session):
    """One environment with its online store."""

    @cached_property
    def feast(self) -> Any:
        """Feast on a copy of the applied registry. Raises NotFound when nothing was applied yet."""
        return open_store(self.settings, self.aws)

    @cached_property
    def link(self) -> Link:
        client = connect_redis(
            self.settings, redis_password(self.settings, self.aws), limits=_LIMITS
        )
        return DirectLink(client, redis_address(self.settings))

    @cached_property
    def has_packed_rows(self) -> bool:
        """Whether feature_store.yaml names our online store, and not Feast's."""
        environment = feast_environment(self.settings, self.aws)
        config = read_config(self.settings.feature_repo, environment)
        return str(config["online_store"]["type"]).startswith("mlops.")

    def require_packed_rows(self) -> None:
        """Raises Refused where the feature repo names Feast's own online store."""
        if not self.has_packed_rows:
            raise Refused(
                "The feature repo names Feast's own Redis store, which Feast loads: run 'mlops "
                "features upsync'. For this, give online_store in feature_store.yaml a type of "
                "mlops.stores.redis."
            )

    @property
    def archive(self) -> Archive:
        return Archive(self.aws, self.data, self.names.data_bucket)

    def keys_of(self, project: str) -> ProjectKeys:
        return ProjectKeys(self.link, project)

    @cached_property
    def planner(self) -> Planner:
        """Raises NotFound when nothing was applied yet."""
        session = open_session(self.feast.config, self.aws)
        return Planner(self.feast.project, session, self.data, SystemClock())

    def verifier(self, shown: int) -> Verifier:
        """Raises Refused where the feature repo names Feast's own online store."""
        self.require_packed_rows()
        return Verifier(self.planner, self.link, shown)

    def upsync(
        self,
        holder: str | None = None,
        *,
        told: Told = lambda *_: None,
        seconds: float = SECONDS,
    ) -> Upsync:
        """Loads views, as this process, or as a holder that is more than one process.

        seconds: how long the holder may be silent.
        Raises NotFound when nothing was applied yet, and Refused where the feature repo names
        Feast's own online store.
        """
        self.require_packed_rows()
        own = f"{self.aws.identity} on {socket.gethostname()} (process {os.getpid()})"
        return Upsync(
            planner=self.planner,
            runs=Runs(self.artifacts),
            registry=self.artifacts,
            leases=Leases(self.artifacts, seconds=seconds, by_process=holder is None),
            storage=Storage(self.aws),
            online=RedisTarget(self.link, self.feast.project, self.settings.build_clock()),
            clock=SystemClock(),
            holder=holder or own,
            told=told,
        )
