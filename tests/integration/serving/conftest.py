"""Both services as processes, on the local AWS, beside a redis-server of their own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local import redis as local_redis
from infra.local.lifecycle import LocalAws
from infra.local.redis import RedisServer
from mlops.aws import Aws
from mlops.objects import S3Documents
from mlops.plan import FeaturePlan, save_plan
from mlops.stores.redis.target import parse_target
from tests.packed_rows import write_packed
from tests.ports import free_port
from tests.serving_examples import NOW, build_plan, write_repo

MLOPS = Path(sys.executable).with_name("mlops")
START_SECONDS = 60
"""That a busy machine may need for what takes three."""
_numbers = itertools.count()
"""A project of its own for each stack on the same local AWS."""


@dataclass
class Service:
    """One process that serves HTTP, started and stopped as often as a test likes."""

    name: str
    port: int
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    tls: ssl.SSLContext | None = None
    """How it is called, where it serves TLS."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [MLOPS, "serve", self.name, "--port", str(self.port)],
                env=inherited() | self.environment,
                stderr=log,
            )
        wait_for(lambda: self.status("/healthz") == 200, f"{self.name}, see {self.log}")

    def status(self, path: str) -> int:
        try:
            return httpx.get(self.url + path, verify=self.tls or False, timeout=30).status_code
        except httpx.TransportError:
            return 0

    def terminate(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        self.terminate(how)
        assert self.process is not None
        return self.process.wait(START_SECONDS)


@dataclass
class Stack:
    """What a test of the real processes works with."""

    documents: S3Documents
    plan: FeaturePlan
    redis: RedisServer
    redis_folder: Path
    inference: Service
    proxy: Service
    environment: dict[str, str]
    key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    replicas: list[Service] = field(default_factory=list)
    """Every inference endpoint that the proxy knows; one, where the module has no REPLICAS."""

    def predict(self, *instances: Any) -> httpx.Response:
        return httpx.post(
            self.proxy.url + "/v1/models/fraud:predict",
            json={"instances": list(instances)},
            headers=self.headers,
            timeout=30,
        )

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(self.proxy.url + "/readyz", timeout=30).json()
        return answer

    def restart_redis(self) -> None:
        self.redis = local_redis.start(self.redis_folder, log=self.redis_folder / "log")


def inherited() -> dict[str, str]:
    """Feast sets Prometheus to share metrics between processes wherever it is imported."""
    return {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}


def wait_for(holds: Any, what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def stack(
    local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """Nothing deployed yet; one customer and one terminal in Redis; one caller with a key."""
    folder = tmp_path_factory.mktemp("serving")
    server = local_redis.start(folder / "redis", log=folder / "redis.log")
    repo = write_repo(folder / "repo")
    plan = build_plan(repo)
    fill_redis(server, plan)
    environment = local_aws.environment() | {
        "MLOPS_PROJECT": f"serving{next(_numbers)}",
        "MLOPS_CLOCK": NOW.isoformat(),
        "MLOPS_REDIS_URL": server.url,
        "MLOPS_REDIS_PASSWORD": server.password,
        "MLOPS_FEATURE_REPO": str(repo),
        "MLOPS_INFERENCE_RETIRE_SECONDS": "3",
        "MLOPS_PROXY_TIMEOUT_MS": "10000",  # where a test says nothing, the machine may be busy
    }
    documents = prepare_bucket(local_aws, environment)
    save_plan(documents, plan)
    replicas = [
        Service("inference", free_port(), environment, folder / f"inference{n}.log")
        for n in range(getattr(request.module, "REPLICAS", 1))
    ]
    inference = replicas[0]
    proxy_environment = environment | {
        "MLOPS_PROXY_INFERENCE_URL": ",".join(replica.url for replica in replicas),
        **getattr(request.module, "PROXY_SETTINGS", {}),
    }
    proxy = Service("proxy", free_port(), proxy_environment, folder / "proxy.log")
    running = Stack(documents, plan, server, folder / "redis", inference, proxy, environment)
    running.key = run_cli(environment, "serve", "create-key", "tests", "--json")["key"]
    running.headers = {"X-Api-Key": running.key}
    running.replicas = replicas
    for service in (*replicas, proxy):
        service.start()
    try:
        yield running
    finally:
        for service in (proxy, *replicas):
            service.stop()
        running.redis.stop()


def prepare_bucket(local_aws: LocalAws, environment: dict[str, str]) -> S3Documents:
    """The artifact bucket of a project of its own, so that tests beside this one see nothing."""
    from mlops.settings import load_settings

    session = local_aws.session()
    os_endpoint = pytest.MonkeyPatch()
    os_endpoint.setenv("AWS_ENDPOINT_URL", local_aws.endpoint)
    aws = Aws(session)
    bucket = load_settings(environment).names.artifact_bucket
    aws.client("s3").create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": environment["AWS_REGION"]},
    )
    os_endpoint.undo()
    return S3Documents(aws, bucket)


def fill_redis(server: RedisServer, plan: FeaturePlan) -> None:
    spend = {"customer_id": "c1", "payments": 4, "mean_amount": 10.0, "unused": 1.0}
    risk = {"terminal_id": "t1", "risk": 0.1}
    target = parse_target(server.url, server.password)
    write_packed(target, plan, {"spend": spend, "risk": risk}, NOW)


def run_cli(environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [MLOPS, *arguments],
        env=inherited() | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
