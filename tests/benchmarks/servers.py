"""The inference servers that are measured, each as a process with one worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import psutil

from mlops.cli.console import err
from tests.benchmarks.load import Request
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = ROOT / "build" / "peers"
_START_SECONDS = 90
_UV = Path(sys.executable).with_name("uv")

Rows = Any
"""float32 [n, inputs]."""


@dataclass(frozen=True)
class Server:
    """How to start one, how to ask it, and how to read what it answers."""

    name: str
    start: Callable[[Path, int], tuple[list[str], dict[str, str]]]
    """Of a folder with model.onnx and a port: the command and its environment."""
    ready: str
    ask: Callable[[Rows], Request]
    read: Callable[[Any], Rows]
    version: Callable[[], str]


def environment(peer: str) -> Path:
    """The folder of a peer's locked environment, made where it is not there."""
    folder = ENVIRONMENTS / peer
    lock = ROOT / "requirements" / "peers" / f"{peer}.txt"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [
            str(_UV),
            "pip",
            "install",
            "-q",
            "--system-certs",
            "--require-hashes",
            "-r",
            str(lock),
        ]
        subprocess.run(install, env=os.environ | {"VIRTUAL_ENV": str(folder)}, check=True)
        stamp.write_text(lock.read_text())
    return folder


@contextmanager
def running(server: Server, folder: Path) -> Iterator[int]:
    """The port of the server, which has the core's time for itself and the load."""
    port = free_port()
    command, variables = server.start(folder, port)
    with (folder / f"{server.name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=_clean() | variables, cwd=folder, stdout=log, stderr=log
        )
    try:
        _wait(f"http://127.0.0.1:{port}{server.ready}", process, folder / f"{server.name}.log")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Started:
    """A server that runs."""

    server: Server
    port: int
    processes: Sequence[psutil.Process]
    seconds: float
    """From its start until it was ready, to a tenth."""

    def memory(self) -> float:
        """MiB that they hold."""
        return float(sum(one.memory_info().rss for one in self.processes) / 2**20)


@contextmanager
def started(server: Server, folder: Path) -> Iterator[Started]:
    before, this, since = set(psutil.Process().children()), psutil.Process(), time.monotonic()
    with running(server, folder) as port:
        seconds = time.monotonic() - since
        roots = [one for one in this.children() if one not in before]
        found = [child for one in roots for child in (one, *one.children(recursive=True))]
        err.print(f"  {server.version()}", style="dim")
        yield Started(server, port, found, seconds)


def _clean() -> dict[str, str]:
    """One thread for every library, and nothing of this process's Prometheus."""
    hidden = {"PROMETHEUS_MULTIPROC_DIR", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {k: v for k, v in os.environ.items() if k not in hidden}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended, see {log.read_text()[-2000:]}"
        try:
            if httpx.get(url).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready, see {log.read_text()[-2000:]}")


# Ours


def _start_ours(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    program = [sys.executable, "-m", "tests.benchmarks.inference", str(folder), str(port)]
    return program, {"PYTHONPATH": str(ROOT)}


def v2_request(rows: Rows, path: str, **tensor: Any) -> Request:
    body = {"name": "X", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel()}
    asked = {"inputs": [body | tensor], "outputs": [{"name": "probabilities"}]}
    return Request(path, orjson.dumps(asked, option=orjson.OPT_SERIALIZE_NUMPY))


def read_v2(answer: Any) -> Rows:
    (output,) = answer["outputs"]
    return np.array(output["data"]).reshape(output["shape"])


def _our_version() -> str:
    import onnxruntime

    return f"this, ONNX Runtime {onnxruntime.__version__}"


OURS = Server(
    "ours",
    _start_ours,
    "/v2/health/ready",
    lambda rows: v2_request(rows, "/v2/models/forest/infer"),
    read_v2,
    _our_version,
)

# MLflow's scoring server, which is in our own lock


def _start_mlflow(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    import mlflow.onnx
    import onnx

    target = folder / "mlflow"
    if not target.exists():
        options = {"intra_op_num_threads": 1}
        mlflow.onnx.save_model(
            onnx.load(folder / "model.onnx"), target, onnx_session_options=options
        )
    mlflow_command = str(Path(sys.executable).with_name("mlflow"))
    serve = ["models", "serve", "-m", str(target), "-p", str(port), "--env-manager", "local"]
    variables = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return [mlflow_command, *serve, "--workers", "1"], variables


def _ask_mlflow(rows: Rows) -> Request:
    body = orjson.dumps({"inputs": {"X": rows}}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Request("/invocations", body)


def _mlflow_version() -> str:
    import mlflow

    return f"MLflow {mlflow.__version__}"


MLFLOW = Server(
    "mlflow",
    _start_mlflow,
    "/ping",
    _ask_mlflow,
    lambda answer: np.array(answer["predictions"]["probabilities"]),
    _mlflow_version,
)

# MLServer and BentoML


def _start_mlserver(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    settings = {
        "name": "forest",
        "implementation": "mlserver_model.OnnxModel",
        "parameters": {"uri": str(folder / "model.onnx")},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))
    variables = {
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "PYTHONPATH": str(PEERS),
    }
    return [str(environment("mlserver") / "bin" / "mlserver"), "start", str(folder)], variables


MLSERVER = Server(
    "mlserver",
    _start_mlserver,
    "/v2/health/ready",
    lambda rows: v2_request(rows, "/v2/models/forest/infer", data=rows.ravel()),
    read_v2,
    lambda: _installed("mlserver"),
)


def _start_bentoml(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    command = [str(environment("bentoml") / "bin" / "bentoml"), "serve"]
    command += ["bentoml_service:OnnxService", "--port", str(port), "--host", "127.0.0.1"]
    variables = {
        "ONNX_FILE": str(folder / "model.onnx"),
        "PYTHONPATH": str(PEERS),
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(folder / "bentoml"),
    }
    return command, variables


def _ask_bentoml(rows: Rows) -> Request:
    return Request("/infer", orjson.dumps({"rows": rows}, option=orjson.OPT_SERIALIZE_NUMPY))


BENTOML = Server(
    "bentoml", _start_bentoml, "/readyz", _ask_bentoml, np.array, lambda: _installed("bentoml")
)


def _installed(peer: str) -> str:
    code = f"import importlib.metadata as m; print(m.version('{peer}'))"
    python = environment(peer) / "bin" / "python"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return f"{peer} {found.stdout.strip()}"
