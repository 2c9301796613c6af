"""Days replayed on the whole path: what is served over HTTP is what offline features score.

Payments, features, plan and Redis are the platform's own; only the model is made here, since any
model will do: it takes the fraud model's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from infra.local import lifecycle
from infra.local.lifecycle import LocalAws
from mlops.aws import Aws
from mlops.feast import historical_features, open_store
from mlops.names import Role
from mlops.objects import S3Documents
from mlops.plan import load_plan, load_transformations
from mlops.settings import load_settings
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.dataset import to_matrix
from tests.integration.serving.conftest import Service, run_cli, wait_for
from tests.ports import free_port
from tests.serving_examples import OPSET, build_manifest, deploy, publish

pytestmark = pytest.mark.xdist_group("serving")

FIRST, DAYS = date(2018, 6, 25), 45
REPLAYED = [date(2018, 8, 3), date(2018, 8, 5)]
PER_DAY = 500
COLUMNS = ["customer_id", "terminal_id", "amount", "event_time"]


@dataclass(frozen=True)
class Past:
    """A platform with payments and feature tables of the past, and a deployed model."""

    local: LocalAws
    payments: pd.DataFrame
    graph: bytes
    key: str

    def environment(self, day: date) -> dict[str, str]:
        return self.local.environment() | {"MLOPS_CLOCK": day.isoformat()}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("replay")
    file = folder / "payments.parquet"
    people = ["--customers", "500", "--terminals", "300"]
    when = ["--days", str(DAYS), "--start", FIRST.isoformat(), "--out", str(file)]
    with lifecycle.start(folder / "state") as local:
        environment = local.environment()
        end = environment | {"MLOPS_CLOCK": (FIRST + timedelta(days=DAYS)).isoformat()}
        run_cli(environment, "data", "simulate", *people, *when, "--json")
        run_cli(environment, "infra", "deploy", "--json")
        run_cli(environment, "data", "import", str(file), "--json")
        run_cli(environment, "features", "apply", "--json")
        run_cli(end, "features", "build", "--json")
        key = run_cli(environment, "serve", "create-key", "replay", "--json")["key"]
        yield Past(local, pd.read_parquet(file), deploy_model(local), key)


def deploy_model(local: LocalAws) -> bytes:
    """A model of the fraud model's inputs, deployed as version 1."""
    graph = gentle_model(len(DEFAULTS.inputs))
    documents = S3Documents(aws_of(local), local.names.artifact_bucket)
    plan = load_plan(documents, DEFAULTS.feature_service)
    manifest = build_manifest(plan, graph, columns=DEFAULTS.inputs)
    bucket = local.names.artifact_bucket
    deploy(documents, publish(documents, manifest, graph, version=1, bucket=bucket))
    return graph


def gentle_model(width: int) -> bytes:
    """Small weights on every input, so that any other input gives another score."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    rows = rng.uniform(0, 100, (400, width)).astype(np.float32)
    model = LogisticRegression(max_iter=1000).fit(rows, rng.random(400) < 0.5)
    graph = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=OPSET)
    return bytes(graph.SerializeToString())


def aws_of(local: LocalAws) -> Aws:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", local.endpoint)
        aws = Aws(local.session())
        for service in ("s3", "athena", "glue", "secretsmanager", "sts"):
            aws.client(service)
    return aws


def payments_of(past: Past, day: date) -> pd.DataFrame:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    times = past.payments["event_time"]
    chosen = past.payments[(times >= start) & (times < start + timedelta(days=1))]
    return chosen[COLUMNS].head(PER_DAY).reset_index(drop=True)


def score_offline(past: Past, payments: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Any:
    """By the point-in-time join and ONNX Runtime; NaN where the customer has no features."""
    for name, value in past.local.environment().items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    aws = Aws(region=settings.region)
    plan = load_plan(S3Documents(aws, settings.names.artifact_bucket), DEFAULTS.feature_service)
    functions = load_transformations(plan, settings.feature_repo)
    rows = historical_features(open_store(settings, aws), plan, payments, functions)
    known = rows["customer_count_30d"].notna().to_numpy()
    matrix = to_matrix(rows[known], DEFAULTS.inputs)
    session = onnxruntime.InferenceSession(past.graph, providers=["CPUExecutionProvider"])
    scores = np.full(len(rows), np.nan)
    scores[known] = session.run(["probabilities"], {"X": matrix})[0][:, 1]
    return scores


def score_online(past: Past, day: date, payments: pd.DataFrame, folder: Path) -> Any:
    """Over HTTP with the clock at the day; NaN where features are missing."""
    role = past.local.environment(Role.SERVING) | {"MLOPS_CLOCK": day.isoformat()}
    inference = Service("inference", free_port(), role, folder / "inference.log")
    address = {"MLOPS_PROXY_INFERENCE_URL": inference.url}
    proxy = Service("proxy", free_port(), role | address, folder / "proxy.log")
    inference.start()
    proxy.start()
    try:
        wait_for(lambda: proxy.status("/readyz") == 200, "the proxy")
        return ask(proxy, past.key, payments)
    finally:
        proxy.stop()
        inference.stop()


def ask(proxy: Service, key: str, payments: pd.DataFrame) -> Any:
    times = [time.isoformat() for time in payments["event_time"]]
    instances = payments.assign(event_time=times).to_dict("records")
    answer = httpx.post(
        proxy.url + "/v1/models/fraud:predict",
        json={"instances": instances},
        headers={"X-Api-Key": key},
    )
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    codes = {p["error"]["code"] for p in predictions if "error" in p}
    assert codes <= {"features_missing"}
    return np.array([p.get("score", np.nan) for p in predictions])


def test_a_thousand_payments_of_replayed_days_are_served_the_offline_score(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = {day: payments_of(past, day) for day in REPLAYED}
    online = []
    for day, payments in days.items():
        run_cli(past.environment(day), "features", "upsync", "--json")
        online.append(score_online(past, day, payments, tmp_path))
    served = np.concatenate(online)
    everything = pd.concat(days.values(), ignore_index=True)
    offline = score_offline(past, everything, monkeypatch)

    assert len(served) >= 1000
    assert np.isnan(offline).mean() < 0.05
    np.testing.assert_allclose(served, offline, rtol=0, atol=1e-6)
    assert len(np.unique(served)) > 900
