"""The proxy process, put together from its settings."""

from __future__ import annotations

import math

from mlops.aws import Aws
from mlops.clock import Clock
from mlops.downsync.log import EventLog
from mlops.downsync.producer import Producer, ProducerLimits
from mlops.downsync.push import Pusher
from mlops.downsync.stream import KinesisSink
from mlops.downsync.writers import open_writer
from mlops.objects import S3Documents
from mlops.secrets import redis_target
from mlops.settings import Settings
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.reading import RedisFeatures
from serving.buckets import open_s3_bucket
from serving.downsync_metrics import DownsyncMetrics
from serving.http import HttpPool
from serving.proxy.app import Downsync, ProxyDependencies
from serving.proxy.callers import Rate, RateLimits
from serving.proxy.catalog import Catalog, watch_plans
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.feature_services import FeatureServices
from serving.proxy.inference import HttpInference
from serving.proxy.joined import JoinedInference
from serving.proxy.keys import FileKeys, KeyStore, SecretKeys
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.observing import Observer
from serving.proxy.predict import Bounds, Predictor
from serving.proxy.replicas import ReplicaLimits, ReplicatedInference, build_replicas
from serving.proxy.served_log import ServedLog, watch_flows
from serving.proxy.settings import ProxySettings
from serving.proxy.timed_link import TimedLink
from serving.server import KEEP_ALIVE_SECONDS
from serving.spans import open_tracing
from serving.tls import client_context
from serving.watching import watch_deployments


def compose(settings: Settings, section: ProxySettings) -> ProxyDependencies:
    """Reads the Redis password; everything else is connected to when it is needed.

    Raises SettingsError, NotFound or Refused where Redis' address or password is not to be had.
    """
    aws = Aws(region=settings.region)
    target, limits = redis_target(settings, aws), build_limits(section)
    metrics, clock = ProxyMetrics(), settings.build_clock()
    store = RedisFeatures(TimedLink(open_async_link(target, limits=limits), metrics))
    inference = JoinedInference(build_inference(section, metrics))
    documents = S3Documents(aws, settings.names.artifact_bucket)
    catalog = Catalog(
        deployments=watch_deployments(documents),
        plans=watch_plans(documents),
        open_bucket=open_s3_bucket(aws),
        store=store,
        inference=inference,
        repo=settings.feature_repo,
        retry_seconds=section.retry_seconds,
    )
    flows, log = watch_flows(documents), build_log(settings, section, aws)
    pusher = Pusher(flows.current, open_writer(target, clock, limits=limits), log, clock)
    downsync = Downsync(flows, log, pusher)
    metrics.registry.register(DownsyncMetrics(log))
    served = ServedLog(flows.current, log, clock)
    return ProxyDependencies(
        predictor=Predictor(
            catalog, inference, clock, metrics, served, Observer(documents), build_bounds(section)
        ),
        services=FeatureServices(store, settings.feature_repo),
        store=store,
        doorkeeper=build_doorkeeper(open_keys(settings, section, aws), section, clock),
        metrics=metrics,
        downsync=downsync,
        settings=section,
        tracing=open_tracing(
            section.traces_endpoint,
            service="mlops-proxy",
            environment=settings.env,
            ratio=section.traces_ratio,
        ),
    )


def build_bounds(section: ProxySettings) -> Bounds:
    return Bounds(section.timeout_ms, section.max_under_way, section.max_shadows)


def build_limits(section: ProxySettings) -> RedisLimits:
    seconds = section.redis_timeout_seconds
    return RedisLimits(connect_timeout=seconds, read_timeout=seconds)


def build_log(settings: Settings, section: ProxySettings, aws: Aws) -> EventLog:
    limits = ProducerLimits(section.downsync_buffer_bytes, section.downsync_flush_seconds)
    sink = KinesisSink(aws, settings.names.downsync_stream)
    return EventLog(Producer(sink, limits=limits))


def build_inference(section: ProxySettings, metrics: ProxyMetrics) -> ReplicatedInference:
    """One replica or several, by the setting."""
    urls, limits = section.inference_url.split(","), ReplicaLimits()
    ways = [(url, HttpInference(build_client(section, url))) for url in urls]
    observe = metrics.traffic.count_replica
    return ReplicatedInference(build_replicas(ways, limits), limits, observe)


def build_client(section: ProxySettings, url: str) -> HttpPool:
    return HttpPool(
        url,
        timeout_seconds=section.inference_timeout_seconds,
        connections=section.inference_connections,
        idle_seconds=KEEP_ALIVE_SECONDS / 2,
        tls=client_context(section.inference_ca_file, section.tls),
    )


def build_doorkeeper(store: KeyStore, section: ProxySettings, clock: Clock) -> Doorkeeper:
    """With tokens where a provider is set, and a rate for all where one is set."""
    per_second = section.rate_per_second
    default = Rate(per_second, section.rate_burst or math.ceil(per_second)) if per_second else None
    tokens = None
    if section.oidc_issuer:
        # What reads tokens takes half a second of a start that most do without.
        from serving.proxy.tokens import Expected, HttpJwks, Tokens  # noqa: PLC0415

        expected = Expected(
            section.oidc_issuer,
            section.oidc_audience,
            tuple(section.oidc_algorithms.split(",")),
            section.oidc_leeway_seconds,
            section.oidc_subject_claim,
            section.oidc_audience_claim,
        )
        source = HttpJwks(section.oidc_jwks_url)
        tokens = Tokens(source, expected, clock, poll_seconds=section.oidc_poll_seconds)
    return Doorkeeper(store, tokens=tokens, limits=RateLimits(default))


def open_keys(settings: Settings, section: ProxySettings, aws: Aws) -> KeyStore:
    """The file where one is set, else the secret that the infrastructure names."""
    if section.api_keys_file is not None:
        return FileKeys(section.api_keys_file)
    return SecretKeys(aws, settings.names.api_keys_secret)
