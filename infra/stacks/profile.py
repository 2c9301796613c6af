"""What differs between environments: how long data lives, and how large things are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops.errors import InputError

ZONES = 2
ENDPOINTS = (
    "athena",
    "ecr.api",
    "ecr.dkr",
    "glue",
    "kinesis-streams",
    "logs",
    "monitoring",
    "sagemaker.api",
    "secretsmanager",
    "sns",
    "sts",
)
"""What private subnets ask, beside S3 and DynamoDB: an address in each zone."""


@dataclass(frozen=True)
class Profile:
    """The sizes and retentions of one environment."""

    keep_data: bool
    """Data outlives its stack, and tables refuse to be deleted."""
    staging_days: int
    """Query results and unloads are removed after so many days."""
    noncurrent_days: int
    """Overwritten and deleted object versions are kept so many days."""
    log_days: int
    scan_limit_gib: int
    """An Athena query that would scan more is cancelled."""
    stream_hours: int
    """How long the stream keeps what no consumer took."""
    cache_node: str | None
    """ElastiCache node type; None where Redis is run by someone else."""
    stream_shards: int | None = None
    """None lets AWS add and remove shards by demand."""
    names_account: bool = False
    """Its account must be named (MLOPS_ACCOUNT), and is not taken from whoever acts."""
    job_vcpus: int = 4
    """How much jobs that load features may use at once."""
    upsync_every: str = "1 hour"
    """How often features are loaded: a number and a unit, as EventBridge Scheduler has it."""
    upsync_enabled: bool = True
    drift_schedule: str = "cron(30 2 * * ? *)"
    """When every served model is held against its training, in UTC; once a day at most."""
    cache_shards: int | None = None
    """None is one group without cluster mode."""
    cache_replicas: int = 0
    cache_snapshots: int = 0
    """Daily snapshots of the online store that are kept."""
    tasks: tuple[int, int] | None = None
    """Least and most tasks of the proxy, and of inference; None where they run elsewhere."""
    target: str = "service"
    """What serves endpoints: our own services, or 'sagemaker'."""
    mlflow_database: str | None = None
    """RDS instance class; None without an MLflow server, where a file takes what is tracked."""
    registry: Literal["sagemaker", "mlflow"] = "sagemaker"
    """What holds the model versions (MLOPS_REGISTRY)."""
    monthly_budget: int | None = None
    """US dollars: 'mlops cost estimate' says what a load needs."""

    @property
    def hears_mlflow(self) -> bool:
        """Whether MLflow's webhooks are received: SageMaker tells of its versions by itself."""
        return self.registry == "mlflow" and self.mlflow_database is not None

    @property
    def highly_available(self) -> bool:
        return self.cache_replicas > 0


PROFILES = {
    "local": Profile(
        keep_data=False,
        staging_days=7,
        noncurrent_days=7,
        log_days=7,
        scan_limit_gib=100,
        stream_hours=24,
        stream_shards=2,
        cache_node=None,
        upsync_enabled=False,
    ),
    "dev": Profile(
        keep_data=False,
        staging_days=7,
        noncurrent_days=14,
        log_days=14,
        scan_limit_gib=200,
        stream_hours=24,
        stream_shards=1,
        cache_node="cache.t4g.small",
        tasks=(1, 2),
        mlflow_database="db.t4g.small",
        monthly_budget=600,
    ),
    "stage": Profile(
        keep_data=True,
        names_account=True,
        staging_days=7,
        noncurrent_days=30,
        log_days=90,
        scan_limit_gib=1024,
        stream_hours=48,
        cache_node="cache.r7g.large",
        job_vcpus=16,
        tasks=(2, 4),
        mlflow_database="db.t4g.small",
        monthly_budget=1500,
        cache_shards=1,
        cache_replicas=1,
        cache_snapshots=1,
    ),
    "prod": Profile(
        keep_data=True,
        names_account=True,
        staging_days=7,
        noncurrent_days=90,
        log_days=365,
        scan_limit_gib=5120,
        stream_hours=168,
        cache_node="cache.r7g.xlarge",
        job_vcpus=64,
        tasks=(2, 12),
        mlflow_database="db.t4g.small",
        monthly_budget=7000,
        cache_shards=3,
        upsync_every="15 minutes",
        cache_replicas=2,
        cache_snapshots=7,
    ),
}


def profile_of(env: str) -> Profile:
    """Raises InputError naming the environments that exist."""
    if env not in PROFILES:
        raise InputError(f"There is no environment '{env}'. Use one of {', '.join(PROFILES)}.")
    return PROFILES[env]


def target_setting(profile: Profile) -> dict[str, str]:
    """What serves endpoints, where it is not what releases before took for granted."""
    return {} if profile.target == "service" else {"MLOPS_TARGET": profile.target}
