"""The whole proxy over a real online store, for those who only read features: no model, no AWS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops.clock import Clock
from mlops.downsync.log import EventLog
from mlops.downsync.online import MemoryWriter
from mlops.downsync.producer import Producer, ProducerLimits
from mlops.downsync.push import Pusher
from mlops.downsync.stream import MemorySink
from mlops.objects import MemoryDocuments
from mlops.plan import FeaturePlan, save_plan
from mlops.stores.online import MemoryOnlineStore, OnlineStore
from serving.http import HttpPool
from serving.proxy.app import Downsync, ProxyDependencies
from serving.proxy.catalog import Catalog, watch_plans
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.feature_services import FeatureServices
from serving.proxy.inference import HttpInference
from serving.proxy.keys import KeyStore
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.observing import Observer
from serving.proxy.predict import Predictor
from serving.proxy.served_log import ServedLog, watch_flows
from serving.proxy.settings import ProxySettings
from serving.watching import watch_deployments

_NOBODY = "http://127.0.0.1:1"


def build_dependencies(
    store: OnlineStore,
    plans: Sequence[FeaturePlan],
    keys: KeyStore,
    clock: Clock,
    settings: ProxySettings | None = None,
    metrics: ProxyMetrics | None = None,
    repo: Path | None = None,
) -> ProxyDependencies:
    """Everything is the proxy's own; these plans are published, and nothing is deployed."""
    documents = MemoryDocuments()
    for plan in plans:
        save_plan(documents, plan)
    nobody = HttpPool(_NOBODY, timeout_seconds=1, connections=1, idle_seconds=1)
    inference = HttpInference(nobody)
    deployments, published = watch_deployments(documents), watch_plans(documents)
    catalog = Catalog(deployments, published, lambda _: documents, store, inference, Path())
    metrics, flows = metrics or ProxyMetrics(), watch_flows(documents)
    log = EventLog(Producer(MemorySink(), limits=ProducerLimits()))
    pusher = Pusher(flows.current, MemoryWriter(MemoryOnlineStore()), log, clock)
    served = ServedLog(flows.current, log, clock)
    return ProxyDependencies(
        predictor=Predictor(catalog, inference, clock, metrics, served, Observer(documents)),
        services=FeatureServices(store, repo or Path()),
        store=store,
        doorkeeper=Doorkeeper(keys),
        metrics=metrics,
        downsync=Downsync(flows, log, pusher),
        settings=settings or ProxySettings(),
    )
