"""The process of the local AWS: `python -m infra.local.server --state DIR --port PORT`."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import fcntl
import gc
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import uvicorn

from infra.local import ministack_backend, redis
from infra.local.routes import Backend
from infra.local.service import JsonService
from infra.local.settings import ACCOUNT, HOST, REGION, StateDir
from mlops.names import Names

if TYPE_CHECKING:
    from infra.local.batch.service import Batch

LOCAL = Names(project="mlops", env="local", account=ACCOUNT, region=REGION)
PORT_IN_USE = 98
STATE_IN_USE = 97
"""Exit codes for a port and a state directory that another process holds."""


def main() -> None:
    # What it loads stays: looking through AWS's models again and again was a fifth of its work.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)  # at the end, too
    arguments = _parse()
    state = StateDir.at(arguments.state)
    for folder in (state.ministack, state.objects, state.moto, state.logs):
        folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    lock = _lock(state)
    listener = _listen(arguments.port)
    # Lambdas are unpacked there; a killed process leaves them behind.
    shutil.rmtree(state.scratch, ignore_errors=True)
    state.scratch.mkdir()
    tempfile.tempdir = str(state.scratch)
    port = int(listener.getsockname()[1])
    ministack_backend.configure(state, port)
    asyncio.run(_serve(state, listener, port))
    lock.close()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="0 takes any free port")
    return parser.parse_args()


def _lock(state: StateDir) -> TextIO:
    """Two processes on one state directory would undo each other's work."""
    lock = state.lock.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(STATE_IN_USE)
    return lock


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it; without, every small answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        sys.exit(PORT_IN_USE)
    return listener


class _Server(uvicorn.Server):
    """uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End. uvicorn would raise the signal again after that, before anything is saved."""
        self.should_exit = True


async def _serve(state: StateDir, listener: socket.socket, port: int) -> None:
    from infra.local.calls import CallRecord
    from infra.local.cloudformation_patches import keep_redis_password
    from infra.local.moto_backend import StepFunctions
    from infra.local.router import Router
    from infra.local.snapshots import Snapshots

    redis_server = await asyncio.to_thread(redis.start, state.redis, log=state.logs / "redis.log")
    step_functions = StepFunctions(state, port)
    ministack = ministack_backend.MiniStack(step_functions.start_execution)
    await ministack.startup()
    calls = CallRecord(state.calls)
    snapshots = Snapshots(step_functions, state.ministack)
    keep_redis_password(LOCAL.redis_secret, redis_server.password)
    services, batch = _own_services(f"http://{HOST}:{port}", state)
    router = Router(ministack, step_functions, services, calls=calls, snapshots=snapshots)
    config = uvicorn.Config(
        router,
        lifespan="off",
        log_level="warning",
        access_log=False,
        date_header=False,  # MiniStack and moto send their own
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, lambda: _ready(batch, state, port, redis_server.port))
    snapshots.start()
    try:
        await server.serve(sockets=[listener])
    finally:
        for service in services.values():
            service.close()
        await snapshots.stop()
        await ministack.shutdown()
        calls.close()
        redis_server.stop()
        state.running.unlink(missing_ok=True)


def _own_services(endpoint: str, state: StateDir) -> tuple[dict[Backend, JsonService], Batch]:
    from infra.local.athena.service import Athena
    from infra.local.batch import stacks
    from infra.local.batch.service import Batch
    from infra.local.cloudformation_patches import keep_streams_in
    from infra.local.jobs.command import one_per_core
    from infra.local.kinesis.service import Kinesis
    from infra.local.sagemaker.service import SageMakerJobs

    slots = one_per_core()
    batch = Batch(endpoint, state.root, ACCOUNT, REGION, slots=slots)
    stacks.install(batch)
    kinesis = Kinesis(state.kinesis, ACCOUNT, REGION)
    keep_streams_in(kinesis)
    return {
        Backend.ATHENA: Athena(endpoint, state.root, ACCOUNT, REGION),
        Backend.JOBS: SageMakerJobs(endpoint, state.root, ACCOUNT, REGION, slots=slots),
        Backend.KINESIS: kinesis,
        Backend.BATCH: batch,
    }, batch


def _ready(batch: Batch, state: StateDir, port: int, redis_port: int) -> None:
    batch.start()
    _announce(state, port, redis_port)


def _announce(state: StateDir, port: int, redis_port: int) -> None:
    """Say that everything answers; written whole or not at all."""
    draft = state.running.with_suffix(".tmp")
    draft.write_text(json.dumps({"pid": os.getpid(), "port": port, "redis_port": redis_port}))
    draft.replace(state.running)


if __name__ == "__main__":
    main()
