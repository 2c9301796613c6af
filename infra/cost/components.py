"""What is paid for, component by component: each line an amount, a price and their product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infra.cost.load import DAYS, Load
from infra.cost.sizes import Choices, Sizes
from infra.stacks.profile import ZONES
from mlops.prices import HOURS, Prices

GB = 2**30
ATHENA_TB = 10**12
OBJECT_GB = 0.125
"""Of a data file: how often objects are put and fetched."""
TASK_GB = 2
"""Memory of a proxy or an inference task, beside its one core."""
UPSYNC_JOBS, UPSYNC_MINUTES, UPSYNC_GB, UPSYNC_STEPS = 3, 2, 4, 12
"""Of one run: jobs of a core each, their minutes and memory, and transitions of its workflow."""
TRAINING_STEPS = 20
VOLUME_GB = 30
MLFLOW_GB, DATABASE_GB = 4, 20
METRICS, ALARMS = 60, 25
SECRETS = 7
LAMBDA_CALLS, LAMBDA_GB_SECONDS = 10_000, 10_000 * 0.5 * 2
ECR_GB = 10
LCU_GB = 1.0
"""A load balancer's unit: a GB an hour."""


@dataclass(frozen=True)
class Line:
    """One thing that a month's bill has."""

    component: str
    item: str
    amount: float
    price: str
    """The name of its price in the table; it says the unit."""
    dollars: float


@dataclass(frozen=True)
class Bill:
    """Writes lines at one region's prices."""

    prices: Prices
    load: Load
    choices: Choices
    sizes: Sizes

    def line(self, component: str, item: str, amount: float, price: str) -> Line:
        return Line(component, item, amount, price, self.prices.cost(price, amount))

    def lines(self) -> list[Line]:
        """What costs anything, by component."""
        parts = (_offline, _online, _serving, _jobs, _stream, _registry, _network, _watching)
        return [line for part in parts for line in part(self) if line.amount]


def _offline(bill: Bill) -> Iterator[Line]:
    stored = bill.load.offline_tb * 1024
    rare = bill.choices.infrequent_share
    written = bill.load.new_gb * 2 * DAYS  # what comes raw, and the tables made of it
    scanned = _scanned_gb(bill.load)
    yield bill.line("S3", "standard storage", stored * (1 - rare), "s3.gb_month")
    yield bill.line("S3", "infrequent access", stored * rare, "s3.ia_gb_month")
    yield bill.line("S3", "fetched from there", scanned * rare, "s3.ia_fetched_gb")
    yield bill.line("S3", "objects written", written / OBJECT_GB / 1e3, "s3.put_thousand")
    yield bill.line("S3", "objects read", scanned / OBJECT_GB / 1e3, "s3.get_thousand")
    yield bill.line("Athena", "scans", scanned * GB / ATHENA_TB, "athena.tb_scanned")
    requests = scanned / OBJECT_GB / 1e6
    yield bill.line("Glue", "catalog requests", requests, "glue.request_million")


def _scanned_gb(load: Load) -> float:
    """Builds and upsync read each new day once; a training reads its join's partitions."""
    return load.new_gb * 2 * DAYS + load.trainings_per_month * load.training_scan_gb


def _online(bill: Bill) -> Iterator[Line]:
    node = bill.choices.node
    if node is None:
        return
    sizes, rows = bill.sizes, bill.load.online_gb * bill.choices.row_ratio
    item = f"{sizes.shards} shards x {1 + bill.choices.replicas} nodes"
    yield bill.line("Redis", item, sizes.nodes * HOURS, f"elasticache.{node}.hour")
    kept = max(0, bill.choices.snapshots - 1)  # AWS keeps one for nothing
    yield bill.line("Redis", "snapshots", rows * kept, "elasticache.snapshot_gb_month")


def _serving(bill: Bill) -> Iterator[Line]:
    yield from _tasks(bill, "Proxy", bill.sizes.proxies)
    yield from _tasks(bill, "Inference", bill.sizes.inferences)
    answers = bill.load.requests_per_day * DAYS * bill.load.answer_bytes / GB
    yield bill.line("ALB", "hours", HOURS, "alb.hour")
    yield bill.line("ALB", "capacity units", answers / LCU_GB, "alb.lcu_hour")
    # Proxies in one zone read Redis in the other half of the time; both directions are paid.
    crossing = answers * (ZONES - 1) / ZONES * 2
    yield bill.line("Transfer", "between zones", crossing, "transfer.zone_gb")


def _tasks(
    bill: Bill, component: str, count: float, cores: float = 1.0, gb: float | None = None
) -> Iterator[Line]:
    memory = count * (cores * TASK_GB if gb is None else gb)
    yield bill.line(component, f"{count} tasks", count * cores * HOURS, "fargate.vcpu_hour")
    yield bill.line(component, "memory", memory * HOURS, "fargate.gb_hour")


def _jobs(bill: Bill) -> Iterator[Line]:
    load, runs = bill.load, bill.choices.upsyncs_per_month
    hours = runs * UPSYNC_JOBS * UPSYNC_MINUTES / 60
    yield bill.line("Batch", "upsync", hours, "fargate.vcpu_hour")
    yield bill.line("Batch", "memory", hours * UPSYNC_GB, "fargate.gb_hour")
    trained = load.trainings_per_month * load.training_hours
    volumes = trained * VOLUME_GB / HOURS
    yield bill.line("SageMaker", "training", trained, f"sagemaker.{load.instance}.hour")
    yield bill.line("SageMaker", "volumes", volumes, "sagemaker.volume_gb_month")
    steps = runs * UPSYNC_STEPS + load.trainings_per_month * TRAINING_STEPS
    yield bill.line(
        "Step Functions", "transitions", steps / 1e3, "stepfunctions.transition_thousand"
    )


def _stream(bill: Bill) -> Iterator[Line]:
    logged = bill.load.requests_per_day * bill.load.logged_share * DAYS
    volume = logged * bill.load.answer_bytes / GB
    yield bill.line("Kinesis", "stream", HOURS, "kinesis.stream_hour")
    yield bill.line("Kinesis", "written", volume, "kinesis.gb_in")
    yield bill.line("Kinesis", "read", volume, "kinesis.gb_out")
    yield from _tasks(bill, "Downsync", 1, cores=0.5)


def _registry(bill: Bill) -> Iterator[Line]:
    versions = bill.load.trainings_per_month
    writes = versions * 10 / 1e6
    yield bill.line("Lambda", "calls", LAMBDA_CALLS / 1e6, "lambda.request_million")
    yield bill.line("Lambda", "run", LAMBDA_GB_SECONDS, "lambda.gb_second")
    yield bill.line("DynamoDB", "records written", writes, "dynamodb.write_million")
    yield bill.line("DynamoDB", "records read", writes * 10, "dynamodb.read_million")
    yield bill.line("DynamoDB", "stored", 1, "dynamodb.gb_month")
    yield bill.line("DynamoDB", "restorable", 1, "dynamodb.pitr_gb_month")
    yield bill.line("EventBridge", "events", 0.01, "eventbridge.event_million")
    yield bill.line("SNS", "messages", 0.01, "sns.publish_million")
    yield from _mlflow(bill)


def _mlflow(bill: Bill) -> Iterator[Line]:
    """One task; its database, and the second of it that takes over where an environment has one."""
    node, copies = bill.choices.mlflow_database, bill.choices.mlflow_copies
    if node is None:
        return
    yield from _tasks(bill, "MLflow", 1, gb=MLFLOW_GB)
    yield bill.line("MLflow", f"{copies} databases", copies * HOURS, f"rds.{node}.hour")
    yield bill.line("MLflow", "databases' disks", copies * DATABASE_GB, "rds.gb_month")


def _network(bill: Bill) -> Iterator[Line]:
    """No NAT: private subnets reach AWS by endpoints, and nothing else."""
    logged = _log_gb(bill) + bill.load.requests_per_day * bill.load.logged_share * DAYS * (
        bill.load.answer_bytes / GB
    )
    yield bill.line("Endpoints", "addresses", bill.choices.endpoints * HOURS, "endpoint.hour")
    yield bill.line("Endpoints", "logs and stream", logged, "endpoint.gb")
    yield bill.line("ECR", "images", ECR_GB, "ecr.gb_month")
    yield bill.line("Secrets", "secrets", SECRETS, "secretsmanager.secret_month")


def _watching(bill: Bill) -> Iterator[Line]:
    logged = _log_gb(bill)
    yield bill.line("CloudWatch", "logs written", logged, "cloudwatch.log_gb")
    yield bill.line(
        "CloudWatch", "logs kept", logged * bill.choices.log_months, "cloudwatch.log_gb_month"
    )
    yield bill.line("CloudWatch", "metrics", METRICS, "cloudwatch.metric_month")
    yield bill.line("CloudWatch", "alarms", ALARMS, "cloudwatch.alarm_month")
    yield bill.line("CloudWatch", "dashboard", 1, "cloudwatch.dashboard_month")


def _log_gb(bill: Bill) -> float:
    """A line for each request, unless access is not logged."""
    if not bill.choices.access_logged:
        return 0.0
    return bill.load.requests_per_day * DAYS * bill.load.access_log_bytes / GB
