"""Building a dataset against joining the same rows in memory and writing them with pandas.

Each runs in a process of its own on one local AWS, so that its peak memory is its own. The rows are
compared before anything is told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from tests.benchmarks.measure import Measurement

PART = "datasets"
_SIZE = ("--customers", "4000", "--terminals", "8000", "--days", "140", "--seed", "1")
_MLOPS = Path(sys.executable).with_name("mlops")
_QUERY = (
    "SELECT payment_id, event_time, customer_id, terminal_id, CAST(amount AS double) AS amount, "
    "is_fraud FROM payments"
)
_OURS = f"""
from pipelines.datasets.desk import open_datasets
def work(path):
    return open_datasets().build("all", service="fraud_v1", query="{_QUERY}")
"""
_PEER = f"""
import pandas as pd
from mlops.athena import Athena
from mlops.aws import Aws
from mlops.feast import historical_features, open_store
from mlops.objects import S3Documents
from mlops.plan import load_plan, load_transformations
from mlops.settings import load_settings
def work(path):
    settings = load_settings()
    aws = Aws(region=settings.region)
    plan = load_plan(S3Documents(aws, settings.names.artifact_bucket), "fraud_v1")
    functions = load_transformations(plan, settings.feature_repo)
    rows = Athena(settings, aws).table("{_QUERY}").to_pandas()
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True)
    historical_features(open_store(settings, aws), plan, rows, functions).to_parquet(path)
"""
_RUN = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import feast
from tests.benchmarks.measure import peak, resident
before, start = resident(), time.perf_counter()
work(sys.argv[1])
took = time.perf_counter() - start
print(json.dumps({"seconds": took, "megabytes": peak() - before}))
"""


def measure() -> Iterator[Measurement]:
    from infra.local import lifecycle

    with (
        tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder,
        lifecycle.start(Path(folder) / "aws") as aws,
    ):
        environment = os.environ | aws.environment() | {"MLOPS_CACHE_DIR": f"{folder}/cache"}
        prepare(environment)
        path = Path(folder) / "rows.parquet"
        peer, ours = (run(code, path, environment) for code in (_PEER, _OURS))
        check(path, Path(folder) / "all.parquet", environment)
    yield Measurement(PART, "build-peak-memory", ours["megabytes"], peer["megabytes"], "MB")
    yield Measurement(PART, "build", ours["seconds"], peer["seconds"], "s")


def prepare(environment: Mapping[str, str]) -> None:
    """Some 1.1 million payments, and the feature tables over them."""
    for command in (
        ("infra", "deploy"),
        ("data", "simulate", *_SIZE),
        ("features", "apply"),
        ("features", "build"),
    ):
        mlops(*command, environment=environment)


def mlops(*command: str, environment: Mapping[str, str]) -> None:
    subprocess.run([_MLOPS, *command], env=environment, check=True, stdout=subprocess.DEVNULL)


def run(code: str, path: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Seconds, and the megabytes by which the process grew, Feast already loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code + _RUN, path], env=environment, check=True, capture_output=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(theirs: Path, ours: Path, environment: Mapping[str, str]) -> None:
    """Both hold the same rows."""
    mlops("datasets", "get", "all", "--output", str(ours), environment=environment)
    one, other = (
        pd.read_parquet(path).sort_values("payment_id", ignore_index=True)
        for path in (theirs, ours)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_dtype=False)
