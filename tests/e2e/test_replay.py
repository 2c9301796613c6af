"""The Fraud Detection Handbook's payments: trained by its protocol, then replayed day by day."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from infra.local import lifecycle
from infra.local.demo import Demo
from infra.local.report import Report
from mlops.aws import Aws
from mlops.feast import historical_features, open_store
from mlops.names import Role
from mlops.objects import S3Documents
from mlops.plan import load_plan, load_transformations
from mlops.settings import load_settings
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.dataset import to_matrix
from tests.integration.serving.conftest import Service, wait_for
from tests.ports import free_port
from tests.recorded_calls import read_calls, uncovered

FILE = Path(os.environ.get("MLOPS_SHARED_DATA", "../shared/data")).joinpath(
    "fraud_handbook", "transactions_raw.parquet"
)
FIRST, TRAIN_START, TEST_START, TEST_END = (
    datetime(2018, month, day, tzinfo=UTC) for month, day in ((6, 15), (7, 25), (8, 8), (8, 15))
)
"""What precedes training is more than the longest window and the delay of labels."""
DAYS = [TEST_START + timedelta(days=day) for day in range(7)]
PAYMENTS = 1000
KEPT = {
    "TRANSACTION_ID": "payment_id",
    "TX_DATETIME": "event_time",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "terminal_id",
    "TX_AMOUNT": "amount",
}

pytestmark = [
    pytest.mark.xdist_group("handbook"),
    pytest.mark.skipif(
        not FILE.exists(), reason=f"needs {FILE}: set MLOPS_SHARED_DATA to the published data"
    ),
    pytest.mark.skipif(
        "SOAK_REPLAY" not in os.environ, reason="takes minutes: 'make soak' runs it"
    ),
]


@dataclass(frozen=True)
class Trained:
    """A platform with two months of payments, and the approved version trained on them."""

    demo: Demo
    payments: pd.DataFrame
    """As the file has them; times UTC."""
    execution: dict[str, Any]
    version: dict[str, Any]

    @cached_property
    def model(self) -> onnxruntime.InferenceSession:
        """The registered model.onnx."""
        bucket, _, prefix = self.version["model_prefix"].removeprefix("s3://").partition("/")
        s3 = self.demo.local.client("s3")
        graph = s3.get_object(Bucket=bucket, Key=f"{prefix}model.onnx")["Body"].read()
        return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """At its end, every call that a role made must be among what the role was granted."""
    folder = tmp_path_factory.mktemp("handbook")
    payments = read_slice()
    payments.to_parquet(folder / "slice.parquet", index=False)
    with lifecycle.start(folder / "state") as local:
        demo = Demo(local, Report())
        load(demo, folder / "slice.parquet")
        execution, version = train(demo)
        yield Trained(demo, payments, execution, version)
        missing = uncovered(read_calls(local.state.root), local.names)
        assert not missing, f"Calls that infra/stacks/permissions.py does not grant: {missing}"


def read_slice() -> pd.DataFrame:
    naive = [day.replace(tzinfo=None) for day in (FIRST, TEST_END)]
    within = [("TX_DATETIME", ">=", naive[0]), ("TX_DATETIME", "<", naive[1])]
    found: pd.DataFrame = pd.read_parquet(FILE, columns=[*KEPT, "TX_FRAUD"], filters=within)
    return found


def load(demo: Demo, file: Path) -> None:
    demo.mlops("infra", "deploy", role=None)
    zone = ["--timezone", "UTC", "--currency", "EUR"]
    demo.mlops("data", "import", str(file), *zone, role=Role.JENKINS)
    demo.mlops("features", "apply", role=Role.JENKINS)
    days = ["--from", f"{TRAIN_START:%Y-%m-%d}"]
    demo.mlops("features", "build", *days, role=Role.JENKINS, clock=TEST_END)


def train(demo: Demo) -> tuple[dict[str, Any], dict[str, Any]]:
    """The execution and the version that it registered, now approved."""
    demo.mlops("workflows", "deploy", "fraud", role=Role.JENKINS)
    run = ["workflows", "run", "fraud", "--wait"]
    execution = demo.mlops(*run, role=Role.JENKINS, clock=TEST_END)
    number = execution["package_arn"].rsplit("/", 1)[1]
    why = ["--reason", "Reaches what daily snapshots reach on the handbook's payments"]
    demo.mlops("models", "approve", "fraud", number, *why, role=Role.APPROVER)
    version = demo.mlops("models", "show", "fraud", number, role=Role.DATA_SCIENTIST)
    return execution, version


def test_the_split_is_the_handbooks(trained: Trained) -> None:
    metrics = trained.version["metrics"]
    assert (metrics["train_rows"], metrics["train_positives"]) == (67_240, 598)
    assert (metrics["test_rows"], metrics["test_positives"]) == (58_264, 385)


def test_daily_snapshots_reach_the_metrics_that_they_should(trained: Trained) -> None:
    metrics = trained.version["metrics"]
    assert metrics["auc_roc"] >= 0.845
    assert metrics["average_precision"] >= 0.57
    assert metrics["card_precision_100"] >= 0.27
    assert metrics["onnx_max_difference"] <= DEFAULTS.onnx_bound


def choose(payments: pd.DataFrame) -> pd.DataFrame:
    """A seeded sample of every test day, with all payments of customers whose first day it is."""
    times = payments["TX_DATETIME"]
    rows = payments[times >= TEST_START.replace(tzinfo=None)].rename(columns=KEPT)
    first = times.groupby(payments["CUSTOMER_ID"]).min().dt.floor("D")
    new = rows["customer_id"].map(first) == rows["event_time"].dt.floor("D")
    known = rows[~new]
    left = np.array_split(np.arange(PAYMENTS - new.sum()), len(DAYS))
    days = known["event_time"].dt.floor("D")
    samples = [
        known[days == day.replace(tzinfo=None)].sample(len(part), random_state=seed)
        for seed, (day, part) in enumerate(zip(DAYS, left, strict=True))
    ]
    chosen = pd.concat([rows[new], *samples]).sort_values(["event_time", "payment_id"])
    ids = {name: chosen[name].astype("string") for name in ("customer_id", "terminal_id")}
    aware = chosen["event_time"].dt.tz_localize("UTC")
    result: pd.DataFrame = chosen.assign(**ids, event_time=aware).reset_index(drop=True)
    return result


def score_offline(
    trained: Trained, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Any]:
    """Scores by the point-in-time join and ONNX Runtime, and whether the customer was known."""
    for name, value in trained.demo.local.environment(Role.DATA_SCIENTIST).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    aws = Aws(region=settings.region)
    plan = load_plan(S3Documents(aws, settings.names.artifact_bucket), DEFAULTS.feature_service)
    functions = load_transformations(plan, settings.feature_repo)
    found = historical_features(open_store(settings, aws), plan, rows, functions)
    known = found["customer_count_30d"].notna().to_numpy()
    matrix = to_matrix(found[known], DEFAULTS.inputs)
    scores = np.full(len(rows), np.nan)
    (graph_input,) = trained.model.get_inputs()
    scores[known] = trained.model.run(["probabilities"], {graph_input.name: matrix})[0][:, 1]
    return scores, known


@dataclass(frozen=True)
class Replay:
    """The services, beside a clock that is set day by day."""

    demo: Demo
    proxy: Service
    key: str
    version: int

    def score(self, day: datetime, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """What the proxy answers for each payment of the day, with the clock at its 00:00."""
        self.proxy.environment["MLOPS_CLOCK"] = day.isoformat()
        with ThreadPoolExecutor(1) as beside:
            started = beside.submit(self.proxy.start)
            self.demo.mlops("features", "upsync", role=Role.JENKINS, clock=day)
        try:
            started.result()
            wait_for(lambda: self.proxy.status("/readyz") == 200, f"see {self.proxy.log}")
            return self._ask(rows)
        finally:
            self.proxy.stop()

    def _ask(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        sent = ["customer_id", "terminal_id", "amount", "event_time"]
        instances = json.loads(rows[sent].to_json(orient="records", date_format="iso"))
        answer = httpx.post(
            f"{self.proxy.url}/v1/models/fraud:predict",
            json={"instances": instances},
            headers={"X-Api-Key": self.key},
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == self.version
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        return predictions


@pytest.fixture
def replay(trained: Trained, tmp_path: Path) -> Iterator[Replay]:
    local = trained.demo.local
    environment = local.environment(Role.SERVING)
    inference = Service("inference", free_port(), environment, tmp_path / "inference.log")
    address = {"MLOPS_PROXY_INFERENCE_URL": inference.url}
    proxy = Service("proxy", free_port(), environment | address, tmp_path / "proxy.log")
    key = trained.demo.mlops("serve", "create-key", "replay", role=None)["key"]
    inference.start()
    try:
        yield Replay(trained.demo, proxy, key, int(trained.version["version"]))
    finally:
        inference.stop()


def test_replayed_payments_get_the_score_that_was_computed_offline(
    trained: Trained, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose(trained.payments)
    answers: list[dict[str, Any]] = []
    for day in DAYS:
        rows = chosen[chosen["event_time"].dt.floor("D") == day]
        answers += replay.score(day, rows)
    offline, known = score_offline(trained, chosen, monkeypatch)

    served = np.array([answer.get("score", np.nan) for answer in answers])
    refused = [answer.get("error", {}).get("code") for answer in answers]
    assert len(served) == PAYMENTS
    assert refused == [None if one else "features_missing" for one in known]
    assert 0 < (~known).sum() < 50
    np.testing.assert_allclose(served, offline, rtol=0, atol=1e-6)
    assert len(np.unique(served)) > 500, "trees give equal scores, but not to half of all"
