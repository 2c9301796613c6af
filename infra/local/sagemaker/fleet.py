"""The process behind an endpoint: our inference service under SageMaker's hosting contract.

The model lies below /opt/ml/model; the container must answer /ping with 200 before it gets traffic.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.local.jobs import process
from infra.local.jobs.command import platform_environment
from infra.local.jobs.identity import Clients
from infra.local.redis import free_port
from infra.local.sagemaker.container import relocate
from infra.local.sagemaker.storage import Storage, StorageError
from infra.local.settings import HOST

START_SECONDS = 60.0


class FleetFailed(Exception):
    """It cannot serve; the message is what the endpoint's FailureReason says."""


class Fleet:
    """One process with one model, in a folder of its own."""

    def __init__(
        self, folder: Path, clients: Clients, *, container: Mapping[str, Any], role: str
    ) -> None:
        self._clients, self._container, self.role = clients, container, role
        folder.mkdir(parents=True, exist_ok=True)
        self._base = Path(tempfile.mkdtemp(dir=folder))
        self._process: process.Process | None = None
        self.port = 0

    def start(self, closing: threading.Event) -> None:
        """Return once it answers. Raises FleetFailed."""
        try:
            self._unpack()
        except (StorageError, tarfile.TarError) as exc:
            raise FleetFailed(f"Failed to download model data: {exc}") from exc
        self.port = free_port()
        role = self._clients.assume(self.role)
        platform = platform_environment(self._clients.endpoint, self._clients.region, role)
        given = self._container.get("Environment") or {}
        own = {name: relocate(value, self._base) for name, value in given.items()}
        mlops = Path(sys.executable).with_name("mlops")
        self._process = process.start(
            [str(mlops), "serve", "inference", "--host", HOST, "--port", str(self.port)],
            environment={"HOME": str(self._base), "LANG": "C.UTF-8"} | own | platform,
            workdir=self._base,
            log=self._base / "output.log",
        )
        self._await(closing)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(5)
            self._process.kill()
        shutil.rmtree(self._base, ignore_errors=True)

    def _unpack(self) -> None:
        url = self._container["ModelDataUrl"]
        role = self._clients.assume(self.role)
        Storage(self._clients.client("s3", role)).download(url, self._base / "data")
        (archive,) = (self._base / "data").iterdir()
        with tarfile.open(archive) as tar:
            _extract(tar, self._base / "model")

    def _await(self, closing: threading.Event) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            ended = self._process.poll() is not None
            if ended or closing.is_set() or time.monotonic() > deadline:
                raise FleetFailed(
                    "The primary container for production variant did not pass the ping health "
                    f"check. Its last words: {self._last_words()}"
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        url = f"http://{HOST}:{self.port}/ping"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def _last_words(self) -> str:
        log = self._base / "output.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        return " ".join(text.splitlines()[-3:])[-500:] or "none"


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Plain files within the folder; Python before 3.11.4 has no filter that sees to it."""
    root = folder.resolve()
    for member in tar.getmembers():
        is_within = (root / member.name).resolve().is_relative_to(root)
        if not is_within or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is no plain file of the model")
    tar.extractall(root)  # noqa: S202  # every member was looked at
