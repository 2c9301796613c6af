"""`mlops local`, as a person types it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from infra.local.settings import HOST
from tests.local_aws import eventually
from tests.ports import free_port

pytestmark = pytest.mark.xdist_group("local-commands")

MLOPS = Path(sys.executable).with_name("mlops")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


@dataclass(frozen=True)
class Shell:
    """A working directory with a local AWS of its own."""

    folder: Path

    def run(
        self, *words: str, code: int = 0, typed: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [MLOPS, *words],
            cwd=self.folder,
            env=CLEAN | (env or {}),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def up(self, *words: str) -> str:
        return self.run("local", "up", "--port", "0", *words).stdout

    def status(self, *, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("local", "status", "--json", code=code).stdout)
        return found

    def environment(self, *words: str) -> dict[str, str]:
        script = f'eval "$({MLOPS} local env {" ".join(words)})" && env -0'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=CLEAN, capture_output=True, check=True
        )
        pairs = (line.partition("=") for line in done.stdout.decode().split("\0") if line)
        return {name: value for name, _, value in pairs}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    try:
        yield made
    finally:
        made.run("local", "down")


def list_buckets(environment: dict[str, str]) -> list[str]:
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_before_the_first_up_everything_says_how_to_start(shell: Shell) -> None:
    assert shell.status(code=1)["running"] is False
    assert "mlops local up" in shell.run("local", "env", code=7).stderr
    assert "not running" in shell.run("local", "down").stdout
    assert "no state" in shell.run("local", "reset", "--yes").stdout


def test_up_again_says_that_it_runs(shell: Shell) -> None:
    assert "mlops infra deploy" in shell.up()
    first = shell.status()
    assert "already running" in shell.up()
    assert shell.status() == first


def test_the_printed_environment_works_in_a_shell(shell: Shell) -> None:
    shell.up()
    environment = shell.environment()
    assert environment["AWS_ENDPOINT_URL"] == shell.status()["endpoint"]
    assert environment["MLOPS_ENV"] == "local"
    assert list_buckets(environment) == []
    asked = shell.run("local", "env", "--role", "approver", code=4)
    assert "mlops infra deploy" in asked.stderr


def test_after_deploying_up_serves_and_down_ends_it(shell: Shell) -> None:
    shell.up()
    environment = shell.environment()
    shell.run("infra", "deploy", env=environment)
    buckets = list_buckets(environment)
    assert buckets
    shell.run("local", "down")

    proxy, inference = free_port(), free_port()
    ports = ("--proxy-port", str(proxy), "--inference-port", str(inference))
    assert "mlops models list" in shell.up(*ports)
    found = shell.status()
    assert found["deployed"] is True
    assert {s["name"]: s["running"] for s in found["serving"]} == {"inference": True, "proxy": True}
    for port in (proxy, inference):
        with urllib.request.urlopen(f"http://{HOST}:{port}/healthz") as answer:
            assert answer.status == 200
    assert list_buckets(shell.environment()) == buckets
    assert shell.environment("--role", "approver")["AWS_SESSION_TOKEN"]

    shell.run("local", "down")
    assert not [s["pid"] for s in found["serving"] if psutil.pid_exists(s["pid"])]
    assert shell.status(code=1)["serving"] == []


def test_a_serving_port_in_use_is_named_with_the_way_out(shell: Shell) -> None:
    shell.up()
    shell.run("infra", "deploy", env=shell.environment())
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = shell.run("local", "up", "--port", "0", "--proxy-port", port, code=6)
    assert f"Port {port}" in done.stderr
    assert "--no-serving" in done.stderr


def test_a_killed_process_is_noticed_and_replaced(shell: Shell) -> None:
    shell.up()
    before = shell.status()
    os.kill(before["pid"], signal.SIGKILL)
    assert shell.status(code=1)["running"] is False
    shell.up()
    after = shell.status()
    assert after["running"] is True
    assert after["pid"] != before["pid"]


def test_down_also_ends_what_a_killed_process_left(shell: Shell) -> None:
    shell.up()
    os.kill(shell.status()["pid"], signal.SIGKILL)
    assert shell.status(code=1)["redis"] is not None
    shell.run("local", "down")
    assert shell.status(code=1)["redis"] is None


def test_a_port_in_use_is_refused_with_the_way_out(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = shell.run("local", "up", "--port", port, code=6)
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr


def test_reset_asks_and_then_leaves_nothing(shell: Shell) -> None:
    shell.up()
    shell.run("local", "reset", typed="n\n", code=130)
    assert shell.status()["running"] is True
    shell.run("local", "reset", typed="y\n")
    assert not (shell.folder / ".mlops/local").exists()


def test_reset_deletes_no_folder_of_another_kind(shell: Shell) -> None:
    (shell.folder / "mine").mkdir()
    shell.run("local", "reset", "--yes", "--state", "mine", code=5)
    assert (shell.folder / "mine").exists()


def test_in_the_foreground_it_ends_with_its_command(shell: Shell) -> None:
    command = [str(MLOPS), "local", "up", "--port", "0", "--foreground", "--no-serving"]
    process = subprocess.Popen(
        command, cwd=shell.folder, env=CLEAN, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def runs() -> bool:
        done = subprocess.run(
            [MLOPS, "local", "status"],
            cwd=shell.folder,
            env=CLEAN,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    try:
        eventually(runs, what="the start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert shell.status(code=1)["running"] is False
