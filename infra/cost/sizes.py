"""How much a load needs: nodes of Redis, tasks of Fargate, runs of jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil

from infra.cost.load import DAYS, Load
from infra.stacks.profile import ENDPOINTS, ZONES, Profile
from mlops.errors import InputError, NotFound

READS_PER_CORE = 4_470
"""Feature reads of one entity (50 features in 5 views) a second that one worker answers at its
limit: `make bench PART=serving WORK=features`, in docs/capacity.md."""
PREDICTIONS_PER_CORE = {"proxy": 3_200, "inference": 19_000}
"""Predictions a second that a core of each can answer, by the CPU that one takes of it
(`make bench PART=serving WORK=predict`, a random forest; docs/capacity.md)."""
HEADROOM = 0.5
"""Of the limit, what is planned with: beyond it latencies are those of a queue."""
REDIS_ROOM = 1.5
"""Node memory over rows: fragmentation, and the copy while it saves (docs/capacity.md)."""
NODE_GB = {
    "cache.t4g.small": 1.37,
    "cache.r7g.large": 13.07,
    "cache.r7g.xlarge": 26.32,
    "cache.r7g.2xlarge": 52.82,
    "cache.r7g.4xlarge": 105.81,
    "cache.r6gd.xlarge": 26.32 + 99.33,
    "cache.r6gd.2xlarge": 52.82 + 199.07,
}
"""Memory of ElastiCache nodes; of `r6gd`, with the disk to which rows that are not read move."""
LEAST_TASKS = 2
"""One for each zone."""
_UNITS = {"minute": 60, "minutes": 60, "hour": 3600, "hours": 3600}


@dataclass(frozen=True)
class Choices:
    """What is bought for a load, where there is a choice; an environment's profile says."""

    node: str | None
    replicas: int
    snapshots: int
    upsyncs_per_month: float
    endpoints: int
    log_months: float
    least_shards: int = 1
    infrequent_share: float = 0.0
    """Of the objects in S3, what lies in infrequent access."""
    row_ratio: float = 1.0
    """Bytes in Redis over those that the load names."""
    access_logged: bool = True
    mlflow_database: str | None = None
    mlflow_copies: int = 1


def choices_of(profile: Profile) -> Choices:
    return Choices(
        node=profile.cache_node,
        replicas=profile.cache_replicas,
        snapshots=profile.cache_snapshots,
        upsyncs_per_month=_runs(profile.upsync_every) if profile.upsync_enabled else 0.0,
        endpoints=len(ENDPOINTS) * ZONES,
        log_months=profile.log_days / DAYS,
        least_shards=profile.cache_shards or 1,
        mlflow_database=profile.mlflow_database,
        mlflow_copies=ZONES if profile.highly_available else 1,
    )


@dataclass(frozen=True)
class Sizes:
    """What a load needs of what is counted in pieces."""

    shards: int
    nodes: int
    proxies: int
    inferences: int


def sizes_of(load: Load, choices: Choices) -> Sizes:
    shards = _shards(load.online_gb * choices.row_ratio, choices)
    proxies = (
        load.peak(load.reads_per_day) / READS_PER_CORE
        + load.peak(load.predictions_per_day) / PREDICTIONS_PER_CORE["proxy"]
    )
    inferences = load.peak(load.predictions_per_day) / PREDICTIONS_PER_CORE["inference"]
    return Sizes(
        shards=shards,
        nodes=shards * (1 + choices.replicas),
        proxies=_tasks(proxies),
        inferences=_tasks(inferences),
    )


def _shards(rows_gb: float, choices: Choices) -> int:
    """None where Redis is run by someone else."""
    if choices.node is None:
        return 0
    if choices.node not in NODE_GB:
        raise NotFound(f"The memory of '{choices.node}' is not known: {', '.join(NODE_GB)} are.")
    return max(choices.least_shards, ceil(rows_gb * REDIS_ROOM / NODE_GB[choices.node]))


def _tasks(cores: float) -> int:
    """Of one core each, and one more so that one may fail."""
    return max(LEAST_TASKS, ceil(cores / HEADROOM) + 1)


def _runs(every: str) -> float:
    """A month, of what runs every '15 minutes'."""
    found = re.fullmatch(r"(\d+) (\w+)", every)
    if found is None or found[2] not in _UNITS:
        raise InputError(f"'{every}' is no interval like '15 minutes' or '1 hour'.")
    return DAYS * 86_400 / (int(found[1]) * _UNITS[found[2]])
