"""One view between the local Athena and a real Redis, and upsync between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from feast.protos.feast.core.Registry_pb2 import Registry

from mlops.aws import Aws
from mlops.clock import FixedClock, SystemClock
from mlops.deletion import deleted_field
from mlops.feast import REGISTRY_KEY
from mlops.objects import MemoryDocuments
from mlops.stores.athena.session import open_session
from mlops.stores.athena.staging import Storage
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.writing import OnlineWriter
from pipelines.features.lease import Leases
from pipelines.features.upsync.loading import view_of
from pipelines.features.upsync.redis_target import RedisTarget
from pipelines.features.upsync.running import Options, Upsync
from pipelines.features.upsync.staging import Planner
from pipelines.features.upsync.state import RunReport, Runs
from pipelines.features.verify import Sample, Verdict, Verifier
from tests.feast_athena import CUSTOMER, Warehouse
from tests.upsync_examples import make_plan

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

_numbers = itertools.count()


@dataclass
class Place:
    """One view between the two stores."""

    aws: LocalAws
    warehouse: Warehouse
    link: Any
    """A `DirectLink`, of whose client some tests ask more, or the way to a cluster."""
    view: Any
    entities: Sequence[Any] = (CUSTOMER,)
    project: str = field(default_factory=lambda: f"upsync{next(_numbers)}")

    def __post_init__(self) -> None:
        self.store = self.warehouse.store([*self.entities, self.view])
        self.documents, self.data = MemoryDocuments(), MemoryDocuments()
        registry = Registry()
        registry.feature_views.add().spec.name = self.view.name
        self.documents.put(REGISTRY_KEY, registry.SerializeToString())
        self.identity = Aws(self.aws.session())
        self.identity._clients = {
            service: self.aws.client(service) for service in ("s3", "athena", "glue")
        }
        self.session = open_session(self.store.config, self.identity)

    @property
    def planner(self) -> Planner:
        return Planner(self.project, self.session, self.data, SystemClock())

    @property
    def runs(self) -> Runs:
        return Runs(self.documents)

    def upsync(self, now: str, **options: Any) -> RunReport:
        """The last report of a run."""
        moment = at(now)
        given = Options(moment, patience=options.pop("patience", 5.0), **options)
        return self.runner(moment).run(self.view, given)[-1]

    def runner(self, now: datetime, holder: str = "test") -> Upsync:
        return Upsync(
            planner=self.planner,
            runs=self.runs,
            registry=self.documents,
            leases=Leases(self.documents, by_process=False),
            storage=Storage(self.identity),
            online=RedisTarget(self.link, self.project, FixedClock(now)),
            clock=SystemClock(),
            holder=holder,
        )

    def verify(self, now: str, **options: Any) -> Verdict:
        given = Sample(options.pop("share", 1.0), options.pop("seed", ""))
        verifier = Verifier(self.planner, self.link, shown=3)
        return verifier.verify(self.view, now=at(now), sample=given, **options)

    def push(self, now: str, *rows: dict[str, Any]) -> None:
        """Write rows online, as a push does it: created now."""
        table = pa.Table.from_pylist(list(rows))
        [batch] = table.to_batches()
        OnlineWriter(self.link, FixedClock(at(now))).write(
            Batch(self.stored(), batch, event_time="event_time")
        )

    def stored(self) -> Any:
        with self.session.run() as work:
            reading = self.planner.reading(self.view, work, None)
        plan = make_plan(
            [],
            project=self.project,
            view=self.view.name,
            join_keys=reading.keys,
            features=reading.features,
            ttl_seconds=int(self.view.ttl.total_seconds()) if self.view.ttl else 0,
            deleted=deleted_field(self.view),
        )
        return view_of(plan)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(count: float) -> timedelta:
    return timedelta(days=count)
