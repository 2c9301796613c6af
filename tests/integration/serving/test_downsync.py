"""What is served and pushed reaches the offline store; and where the stream is down, who cares."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.types import Float64, Int64, String

from infra.local.lifecycle import LocalAws
from mlops.athena import Athena
from mlops.aws import Aws
from mlops.deployment import deployment_key
from mlops.downsync.flow import Flow, Kind, flow_body, flow_key
from mlops.names import Role
from mlops.objects import S3Documents
from mlops.plan import PlannedField, plan_key, save_plan
from mlops.settings import load_settings
from mlops.stores.redis.target import RedisTarget
from tests.integration.serving.conftest import (
    MLOPS,
    Service,
    Stack,
    inherited,
    run_cli,
    wait_for,
)
from tests.packed_rows import write_packed
from tests.ports import free_port
from tests.serving_examples import (
    INSTANCE,
    NOW,
    build_manifest,
    build_plan,
    deploy,
    onnx_model,
    publish,
    write_repo,
)

pytestmark = pytest.mark.xdist_group("serving")

ENDPOINT = "downsync-test"
SPEND = Flow(
    project="shop",
    view="spend",
    keys=(PlannedField(name="customer_id", dtype="String"),),
    features=tuple(
        PlannedField(name=name, dtype=dtype)
        for name, dtype in (
            ("payments", "Int64"),
            ("mean_amount", "Float64"),
            ("unused", "Float64"),
        )
    ),
    push_source="spend_push",
    logs=(Kind.SERVED, Kind.PUSHED),
)
PUSHED = {
    "customer_id": "c1",
    "payments": 9,
    "mean_amount": 40.0,
    "unused": None,
    "event_time": "2018-08-08T00:00:00Z",
}


@pytest.fixture
def documents(platform: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Documents]:
    """The platform's artifact bucket, as it was before when the test has ended."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", platform.endpoint)
    opened = S3Documents(Aws(platform.session()), platform.names.artifact_bucket)
    yield opened
    for key in (deployment_key(ENDPOINT), plan_key("payments_v1"), flow_key("spend")):
        opened.delete(key)


@pytest.fixture
def services(
    platform: LocalAws, documents: S3Documents, tmp_path: Path
) -> Iterator[tuple[Service, dict[str, str]]]:
    """The proxy as the serving role, with a model and a caller that may push."""
    repo = write_repo(tmp_path / "repo")
    plan, graph = build_plan(repo), onnx_model(seed=1)
    save_plan(documents, plan)
    documents.put(flow_key("spend"), flow_body(SPEND))
    manifest, bucket = build_manifest(plan, graph), documents.bucket
    version = publish(documents, manifest, graph, version=1, bucket=bucket, endpoint=ENDPOINT)
    deploy(documents, version, endpoint=ENDPOINT)
    password = platform.environment()["MLOPS_REDIS_PASSWORD"]
    target = RedisTarget("127.0.0.1", platform.redis_port, password=password)
    write_packed(target, plan, {"risk": {"terminal_id": "t1", "risk": 0.1}}, NOW)
    create = ("serve", "create-key", "downsync", "--push", "spend_push", "--json")
    key = run_cli(platform.environment(), *create)["key"]
    environment = platform.environment(Role.SERVING) | {
        "MLOPS_FEATURE_REPO": str(repo),
        "MLOPS_CLOCK": NOW.isoformat(),
    }
    inference = Service("inference", free_port(), environment, tmp_path / "inference.log")
    address = {"MLOPS_PROXY_INFERENCE_URL": inference.url}
    proxy = Service("proxy", free_port(), environment | address, tmp_path / "proxy.log")
    inference.start()
    proxy.start()
    try:
        wait_for(lambda: ENDPOINT in models(proxy), "the deployment")
        yield proxy, {"X-Api-Key": key}
    finally:
        proxy.stop()
        inference.stop()


def models(proxy: Service) -> Any:
    found = httpx.get(proxy.url + "/readyz").json()["models"]
    return [name for name in found if found[name]["ready"]] if isinstance(found, dict) else []


def test_what_was_pushed_and_served_is_a_source_of_features(
    platform: LocalAws, services: tuple[Service, dict[str, str]]
) -> None:
    proxy, headers = services
    pushed = httpx.post(f"{proxy.url}/v1/push/spend_push", json={"rows": [PUSHED]}, headers=headers)
    assert pushed.json()["results"][0]["logged"] == {"spend": "logged"}, pushed.text
    for _ in range(3):
        answer = httpx.post(
            f"{proxy.url}/v1/models/{ENDPOINT}:predict",
            json={"instances": [INSTANCE]},
            headers=headers,
        )
        assert answer.status_code == 200, answer.text
    assert proxy.stop() == 0  # what waits in its buffer is sent
    consumed = run_cli(
        platform.environment(Role.DOWNSYNC),
        *("features", "downsync", "--until-caught-up", "--json"),
    )
    assert consumed["events"] == {"spend_pushed": {"kept": 1}, "spend_served": {"kept": 3}}
    status = run_cli(
        platform.environment(Role.DATA_SCIENTIST), "features", "downsync", "--status", "--json"
    )
    assert {shard["state"] for shard in status["shards"]} == {"free"}
    assert served_rows(platform) == [("c1", 9, 40.0, NOW.replace(tzinfo=None), ENDPOINT, 1)] * 3
    entities = pd.DataFrame(
        {"customer_id": ["c1", "c2"], "event_timestamp": [NOW + timedelta(minutes=1)] * 2}
    )
    for table in ("spend_served", "spend_pushed"):
        joined = join(platform, table, entities)
        assert joined["payments"].tolist()[0] == 9
        assert pd.isna(joined["payments"].tolist()[1])


def served_rows(platform: LocalAws) -> list[tuple[Any, ...]]:
    """As a data scientist finds them in Athena."""
    settings = load_settings(platform.environment(Role.DATA_SCIENTIST))
    athena = Athena(settings, Aws(platform.session(Role.DATA_SCIENTIST)))
    try:
        return athena.rows(
            "SELECT customer_id, payments, mean_amount, event_time, model, model_version "
            "FROM spend_served WHERE \"day\" = '2018-08-08'"
        )
    finally:
        athena.close()


def join(platform: LocalAws, table: str, entities: pd.DataFrame) -> pd.DataFrame:
    """`get_historical_features` of a view over a logged table, by our offline store."""
    names = platform.names
    source = AthenaSource(
        name=table,
        table=table,
        database=names.database,
        data_source="AwsDataCatalog",
        timestamp_field="event_time",
        created_timestamp_column="created",
        date_partition_column="day",
        tags={"event_time_us": "event_us"},
    )
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="logged",
        entities=[customer],
        ttl=timedelta(days=1),
        schema=[
            Field(name="customer_id", dtype=String),
            Field(name="payments", dtype=Int64),
            Field(name="mean_amount", dtype=Float64),
        ],
        source=source,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.environment(Role.DATA_SCIENTIST).items():
            patch.setenv(name, value)
        store = FeatureStore(
            config=RepoConfig(
                project="tests",
                provider="local",
                registry={"registry_type": "file", "path": f"{platform.state.root}/{table}.db"},
                offline_store={
                    "type": "mlops.stores.athena.AthenaOfflineStore",
                    "region": names.region,
                    "data_source": "AwsDataCatalog",
                    "database": names.database,
                    "workgroup": names.workgroup,
                    "s3_staging_location": f"s3://{names.staging_bucket}",
                },
                online_store=None,
                entity_key_serialization_version=3,
            )
        )
        store.apply([customer, view])
        job = store.get_historical_features(entities, ["logged:payments", "logged:mean_amount"])
        found: pd.DataFrame = job.to_df()
    return found.sort_values("customer_id", ignore_index=True)


def test_serving_does_not_notice_a_stream_that_is_not_there_and_catches_up_when_it_is(
    stack: Stack, local_aws: LocalAws
) -> None:
    """The stack's project has no stream at all, and a buffer for a few events."""
    stack.proxy.stop()
    stack.proxy.environment["MLOPS_PROXY_DOWNSYNC_BUFFER_BYTES"] = "4000"
    stack.proxy.environment["MLOPS_PROXY_DOWNSYNC_FLUSH_SECONDS"] = "0.05"
    stack.documents.put(flow_key("spend"), flow_body(SPEND))
    graph = onnx_model(seed=1)
    manifest = build_manifest(stack.plan, graph)
    deploy(
        stack.documents,
        publish(stack.documents, manifest, graph, version=1, bucket=stack.documents.bucket),
    )
    stack.proxy.start()
    stream = load_settings(stack.environment).names.downsync_stream
    kinesis = local_aws.client("kinesis")
    with removed(stack, kinesis, stream):
        wait_for(lambda: "fraud" in models(stack.proxy), "the deployment")
        answers = [stack.predict(INSTANCE).status_code for _ in range(60)]
        assert answers == [200] * 60
        dropped = metric(stack, 'mlops_downsync_dropped_total{reason="buffer_full"}')
        buffered = metric(stack, "mlops_downsync_buffered_events")
        assert 0 < dropped < 60
        assert dropped + buffered == 60
        assert "events dropped" in stack.proxy.log.read_text()
        kinesis.create_stream(StreamName=stream, ShardCount=1)
        wait_for(lambda: metric(stack, "mlops_downsync_buffered_events") == 0, "the stream", 30)
        assert metric(stack, "mlops_downsync_sent_total") == buffered
        assert stack.predict(INSTANCE).status_code == 200
        wait_for(lambda: metric(stack, "mlops_downsync_sent_total") == buffered + 1, "the last")
        assert metric(stack, 'mlops_downsync_dropped_total{reason="buffer_full"}') == dropped


@contextmanager
def removed(stack: Stack, kinesis: Any, stream: str) -> Iterator[None]:
    """At the end, the flow and the stream are gone, if they were ever there."""
    try:
        yield
    finally:
        stack.documents.delete(flow_key("spend"))
        if stream in kinesis.list_streams()["StreamNames"]:
            kinesis.delete_stream(StreamName=stream)


def metric(stack: Stack, name: str) -> float:
    lines = httpx.get(stack.proxy.url + "/metrics").text.splitlines()
    found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"{name} ")]
    return float(found[0]) if found else 0.0


def test_a_job_pushes_rows_without_the_proxy(
    platform: LocalAws, documents: S3Documents, tmp_path: Path
) -> None:
    documents.put(flow_key("spend"), flow_body(SPEND))
    script = tmp_path / "job.py"
    script.write_text(
        "import numpy as np\n"
        "from mlops.downsync.push import open_pusher\n"
        "from mlops.settings import load_settings\n"
        "row = dict(customer_id='c9', payments=np.int64(3), mean_amount=np.float32(0.5),\n"
        "           unused=None, event_time='2018-08-08T00:00:00Z', event_id='job-1')\n"
        "with open_pusher(load_settings()) as pusher:\n"
        "    print(pusher.push('spend_push', [row, row | {'payments': 'x'}]))\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [MLOPS.with_name("python"), script],
        env=inherited() | platform.environment(Role.SERVING) | {"MLOPS_CLOCK": NOW.isoformat()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    assert "event_id='job-1'" in done.stdout
    assert "'payments' must be an integer of 64 bits" in done.stdout
