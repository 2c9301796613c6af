"""What the commands for the online store share, made when it is first needed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from mlops.aws import translated
from mlops.clock import SystemClock
from mlops.errors import NotFound, Refused
from mlops.feast import feast_environment, open_store, read_config
from mlops.secrets import redis_target
from mlops.stores.athena.session import open_session
from mlops.stores.athena.staging import Storage
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.target import parse_target
from pipelines.features.backup.archive import Archive
from pipelines.features.backup.keys import ProjectKeys
from pipelines.features.buildlog import load_log
from pipelines.features.lease import SECONDS, Leases
from pipelines.features.migration.migrating import Migration
from pipelines.features.removals import OnlineRemover
from pipelines.features.session import Session
from pipelines.features.tables import TABLES
from pipelines.features.upsync.redis_target import RedisTarget
from pipelines.features.upsync.running import Told, Upsync, is_optional, select_views
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

    def views(self, names: Sequence[str], told: Told = lambda *_: None) -> list[Any]:
        """The named views, or all that are online.

        Unless it is named, a view is left out where its table does not exist, and `told` why: one
        with the tag `optional`, or of a table that we build and never have. Raises NotFound.
        """
        chosen = select_views(self.feast.list_feature_views(), names)
        absent = (
            [] if names else [v for v in chosen if self._may_lack(v) and not self._has_table(v)]
        )
        for view in absent:
            told(view.name, f"left out, for there is no table '{view.batch_source.table}'")
        return [view for view in chosen if view not in absent]

    def _may_lack(self, view: Any) -> bool:
        """What was built once and is gone is an error; before that the environment is new."""
        table = view.batch_source.table
        is_new = table in TABLES and load_log(self.data, table)[0].last_day is None
        return is_optional(view) or is_new

    def _has_table(self, view: Any) -> bool:
        source = view.batch_source
        try:
            with translated(f"Looking for table '{source.table}'"):
                self.aws.client("glue").get_table(DatabaseName=source.database, Name=source.table)
        except NotFound:
            return False
        return True

    @cached_property
    def link(self) -> Link:
        return open_link(redis_target(self.settings, self.aws), limits=_LIMITS)

    def require_packed_rows(self) -> None:
        """Raises Refused where the feature repo names another online store than ours."""
        environment = feast_environment(self.settings, self.aws, online=False)
        config = read_config(self.settings.feature_repo, environment | {"FEAST_REDIS": "unused"})
        kind = str(config["online_store"]["type"])
        if not kind.startswith("mlops.stores.redis."):
            raise Refused(
                f"The feature repo's online store is '{kind}', which does not read what we write. "
                "Give online_store in feature_store.yaml the type "
                "mlops.stores.redis.store.RedisOnlineStore, then 'mlops features upsync --full' "
                "loads it from the offline store."
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
        """Raises Refused where the feature repo names another online store."""
        self.require_packed_rows()
        return Verifier(self.planner, self.link, shown)

    def migration(self, source: str | None, from_project: str | None) -> Migration:
        """Takes over what Feast's own store keeps at a URL, by default where the online store is.

        Raises Refused as `require_packed_rows`, SettingsError for a wrong URL.
        """
        self.require_packed_rows()
        own = redis_target(self.settings, self.aws)
        target = parse_target(source) if source else own
        project, clock = self.feast.project, self.settings.build_clock()
        return Migration(
            source=open_link(target, limits=_LIMITS),
            target=self.link,
            project=project,
            from_project=from_project or project,
            clock=clock,
            settle=RedisTarget(self.link, project, clock).settle,
        )

    def remover(self, told: Callable[[str, int], object] = lambda *_: None) -> OnlineRemover:
        """Takes deleted views' rows out, as this process; opens Redis when there are some."""
        return OnlineRemover(
            link=lambda: self.link,
            leases=Leases(self.artifacts),
            holder=self._own_name,
            told=told,
        )

    @property
    def _own_name(self) -> str:
        return f"{self.aws.identity} on {socket.gethostname()} (process {os.getpid()})"

    def upsync(
        self,
        holder: str | None = None,
        *,
        told: Told = lambda *_: None,
        seconds: float = SECONDS,
    ) -> Upsync:
        """Loads views, as this process, or as a holder that is more than one process.

        seconds: how long the holder may be silent.
        Raises NotFound when nothing was applied yet, Refused as `require_packed_rows`.
        """
        self.require_packed_rows()
        return Upsync(
            planner=self.planner,
            runs=Runs(self.artifacts),
            registry=self.artifacts,
            leases=Leases(self.artifacts, seconds=seconds, by_process=holder is None),
            storage=Storage(self.aws),
            online=RedisTarget(self.link, self.feast.project, self.settings.build_clock()),
            clock=SystemClock(),
            holder=holder or self._own_name,
            told=told,
        )
