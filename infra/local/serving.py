"""The proxy and the inference endpoint beside the local AWS, as `mlops local up` starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from infra.local.lifecycle import LocalAws
from infra.local.redis import free_port
from infra.local.settings import HOST, INFERENCE_PORT, PROXY_PORT, StateDir
from mlops.aws import error_code
from mlops.errors import Conflict, Unavailable
from mlops.names import Role

START_SECONDS = 60
STOP_SECONDS = 40
"""More than the services take to drain."""


@dataclass(frozen=True)
class Service:
    """A serving process that was started, whether it still runs or not."""

    name: str
    pid: int
    started: float
    """The process's own start time: its number alone may be another's by now."""
    port: int
    endpoint: str
    """The local AWS that it speaks to."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            ours = abs(process.create_time() - self.started) < 1
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    @property
    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2):  # noqa: S310 - http
                return True
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


def is_deployed(local: LocalAws) -> bool:
    """Whether the platform's infrastructure exists: its artifact bucket does."""
    from botocore.exceptions import ClientError

    try:
        local.client("s3").head_bucket(Bucket=local.names.artifact_bucket)
    except ClientError as exc:
        if error_code(exc) in {"404", "NoSuchBucket"}:
            return False
        raise
    return True


def start(
    local: LocalAws,
    *,
    proxy_port: int = PROXY_PORT,
    inference_port: int = INFERENCE_PORT,
    clock: str | None = None,
) -> list[Service]:
    """Start both and wait until they answer; those that run already are left alone.

    proxy_port, inference_port: 0 for any that is free.
    clock: the platform's clock that they go by (MLOPS_CLOCK), the system's without it.

    Raises Conflict for a port in use, Unavailable when one does not come up.
    """
    if any(service.endpoint != local.endpoint for service in find(local.state)):
        stop(local.state)
    found = {service.name: service for service in find(local.state) if service.process}
    wanted = {"inference": inference_port, "proxy": proxy_port}
    missing = {name: port or free_port() for name, port in wanted.items() if name not in found}
    for name, port in missing.items():
        _check_free(name, port)
    inference = found["inference"].port if "inference" in found else missing["inference"]
    environment = _environment(local, inference, clock) if missing else {}
    for name, port in missing.items():
        found[name] = _spawn(local, name, port, environment)
        _record(local.state, list(found.values()))
    for name in missing:
        _wait(found[name], _log(local.state, name))
    return list(found.values())


def find(state: StateDir) -> list[Service]:
    """What was started on this state directory and not stopped."""
    if not state.serving.exists():
        return []
    return [Service(**fields) for fields in json.loads(state.serving.read_text())]


def stop(state: StateDir) -> None:
    """Let both finish what they answer, and end them."""
    processes = [service.process for service in find(state)]
    running = [process for process in processes if process is not None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(running, timeout=STOP_SECONDS)
    for process in left:
        process.kill()
    state.serving.unlink(missing_ok=True)


def _environment(local: LocalAws, inference_port: int, clock: str | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    address = {"MLOPS_PROXY_INFERENCE_URL": f"http://{HOST}:{inference_port}"}
    instant = {"MLOPS_CLOCK": clock} if clock else {}
    return kept | local.environment(Role.SERVING) | address | instant


def _spawn(local: LocalAws, name: str, port: int, environment: dict[str, str]) -> Service:
    mlops = Path(sys.executable).with_name("mlops")
    with _log(local.state, name).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command, our own arguments
            [mlops, "serve", name, "--host", HOST, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    process.returncode = 0  # it outlives us on purpose; Python is not to warn of that
    started = psutil.Process(process.pid).create_time()
    return Service(name, process.pid, started, port, local.endpoint)


def _record(state: StateDir, services: list[Service]) -> None:
    state.serving.write_text(json.dumps([asdict(service) for service in services]))


def _wait(service: Service, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not service.answers:
        if service.process is None or time.monotonic() > deadline:
            raise Unavailable(f"'mlops serve {service.name}' did not come up. See {log}.")
        time.sleep(0.1)


def _check_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise Conflict(
                f"Port {port} on {HOST}, which {name} is to have, is in use. Stop what listens "
                f"there, choose another with --{name}-port, or leave serving out: --no-serving."
            )


def _log(state: StateDir, name: str) -> Path:
    return state.logs / f"{name}.log"
