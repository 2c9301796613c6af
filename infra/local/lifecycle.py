"""Starting, finding and stopping the local AWS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import psutil
from botocore.exceptions import ClientError

from infra.local import redis
from infra.local.settings import (
    ACCOUNT,
    ADMIN_ACCESS_KEY,
    ADMIN_SECRET_KEY,
    HEALTH,
    HOST,
    PORT,
    REGION,
    StateDir,
)
from mlops.errors import Conflict, NotFound, Unavailable
from mlops.names import Names, Role

START_SECONDS = 60
STOP_SECONDS = 30
_SESSION_SECONDS = 30 * 24 * 3600
"""Longer than AWS gives: what `up` starts may run for weeks."""
_REPOSITORY = Path(__file__).resolve().parents[2]
_children: dict[int, subprocess.Popen[bytes]] = {}
"""Servers that this process has started: held, or Python warns of a child left running."""


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS."""

    state: StateDir
    pid: int
    port: int
    redis_port: int

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def answers(self) -> bool:
        """Whether it answers now, beyond that its process lives."""
        try:
            with urllib.request.urlopen(self.endpoint + HEALTH, timeout=5):  # noqa: S310 - http
                return True
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    @property
    def names(self) -> Names:
        return Names(project="mlops", env="local", account=ACCOUNT, region=REGION)

    def environment(self, role: Role | None = None) -> dict[str, str]:
        """What a process needs to work on it: as the role, else as the account itself."""
        return self._credentials(role) | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "MLOPS_ENV": "local",
            "MLOPS_ACCOUNT": ACCOUNT,
            "MLOPS_REGION": REGION,
            "MLOPS_REDIS_URL": f"redis://{HOST}:{self.redis_port}/0",
            "MLOPS_REDIS_PASSWORD": redis.read_password(self.state.redis),
            "MLOPS_MLFLOW_TRACKING_URI": f"sqlite:///{self.state.mlflow}",
            "MLOPS_FEATURE_REPO": str(_REPOSITORY / "feature_repo"),
        }

    def session(self, role: Role | None = None) -> boto3.Session:
        """boto3 as the role; its clients still need the endpoint."""
        return boto3.Session(**self._keys(role), region_name=REGION)

    def client(self, service: str, role: Role | None = None) -> Any:
        """A boto3 client of a service of this local AWS; made once, to be shared."""
        if (service, role) not in self._clients:
            self._clients[service, role] = self._models.client(
                service, endpoint_url=self.endpoint, **self._keys(role)
            )
        return self._clients[service, role]

    @cached_property
    def _models(self) -> boto3.Session:
        """What every client is made from: reading AWS's models takes longer than a call."""
        return boto3.Session(region_name=REGION)

    def _keys(self, role: Role | None) -> dict[str, str]:
        return {name.lower(): value for name, value in self._credentials(role).items()}

    @cached_property
    def _clients(self) -> dict[tuple[str, Role | None], Any]:
        return {}

    def _credentials(self, role: Role | None) -> dict[str, str]:
        if role is None:
            return {
                "AWS_ACCESS_KEY_ID": ADMIN_ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": ADMIN_SECRET_KEY,
            }
        try:
            answer = self.client("sts").assume_role(
                RoleArn=self.names.role_arn(role),
                # On a laptop one person plays every part; a session name says who acts, and an
                # approver whose session is the submitter's is refused.
                RoleSessionName=f"{os.environ.get('USER', 'local')}.{role.value}",
                DurationSeconds=_SESSION_SECONDS,
            )["Credentials"]
        except ClientError as exc:
            raise NotFound(
                f"Role '{role.value}' does not exist in the local AWS yet. "
                "Deploy the infrastructure first: mlops infra deploy."
            ) from exc
        return {
            "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
            "AWS_SESSION_TOKEN": answer["SessionToken"],
        }

    def stop(self) -> None:
        """End it and wait until its state is saved."""
        stop(self.state.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def find(state: Path) -> LocalAws | None:
    """The local AWS that runs on this state directory, if one does."""
    folder = StateDir.at(state)
    try:
        running = json.loads(folder.running.read_text())
    except FileNotFoundError:
        return None
    if not _is_ours(running["pid"], folder):
        return None
    return LocalAws(folder, running["pid"], running["port"], running["redis_port"])


def start(state: Path, *, port: int = 0) -> LocalAws:
    """Start it in the background and wait until it answers; one that runs already is returned.

    Raises Conflict for a port in use, Unavailable when it does not come up.
    """
    found = find(state)
    if found is not None:
        return found
    folder = StateDir.at(state)
    folder.logs.mkdir(parents=True, exist_ok=True)
    folder.running.unlink(missing_ok=True)
    process = _spawn(folder, port)
    _children[process.pid] = process
    return _wait(folder, process, port)


def stop(state: Path) -> bool:
    """End the local AWS of a state directory; False when none runs.

    A redis-server that a killed one left behind is ended too.
    """
    found = find(state)
    if found is None:
        left = redis.find(StateDir.at(state).redis)
        if left is not None:
            left.stop()
        return False
    process = psutil.Process(found.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
    if child := _children.pop(found.pid, None):
        child.wait(STOP_SECONDS)
    return True


def _spawn(folder: StateDir, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infra.local.server"]
    command += ["--state", str(folder.root), "--port", str(port)]
    with (folder.logs / "server.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own module, our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=_REPOSITORY,
            env=_clean_environment(),
            start_new_session=True,
        )


def _clean_environment() -> dict[str, str]:
    """Lambdas inherit the server's environment, so nobody's AWS settings may be in it."""
    kept = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "PYTHONHASHSEED"}
    return {name: value for name, value in os.environ.items() if name in kept}


def _wait(folder: StateDir, process: subprocess.Popen[bytes], port: int) -> LocalAws:
    from infra.local.server import PORT_IN_USE, STATE_IN_USE

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() == PORT_IN_USE:
            raise Conflict(
                f"Port {port} on {HOST} is in use. Stop what listens there, or choose another: "
                f"'mlops local up --port {PORT + 10}'."
            )
        if process.poll() == STATE_IN_USE:
            raise Conflict(
                f"Another local AWS writes to {folder.root}. Give this one its own --state."
            )
        if process.poll() is not None:
            raise Unavailable(f"The local AWS did not start. See {folder.logs / 'server.log'}.")
        if folder.running.exists() and (found := find(folder.root)) is not None:
            return found
        time.sleep(0.02)
    process.kill()
    raise Unavailable(
        f"The local AWS did not start in {START_SECONDS} s. See {folder.logs / 'server.log'}."
    )


def _is_ours(pid: int, folder: StateDir) -> bool:
    """Whether the process lives and is this local AWS, not one that got its number later."""
    try:
        process = psutil.Process(pid)
        ours = {"infra.local.server", str(folder.root)} <= set(process.cmdline())
        return ours and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
