"""The process of the local AWS: `python -m infra.local.server --state DIR --port PORT`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from infra.local import ministack_backend, moto_backend, redis
from infra.local.routes import Backend
from infra.local.service import JsonService
from infra.local.settings import ACCOUNT, HOST, REGION, StateDir

PORT_IN_USE = 98
"""The exit code for a port that something else holds."""


def main() -> None:
    arguments = _parse()
    state = StateDir.at(arguments.state)
    for folder in (state.ministack, state.objects, state.moto, state.logs):
        folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    try:
        listener = _listen(arguments.port)
    except OSError as exc:
        print(f"Port {arguments.port} on {HOST} cannot be used: {exc}", file=sys.stderr)  # noqa: T201
        sys.exit(PORT_IN_USE)
    port = int(listener.getsockname()[1])
    ministack_backend.configure(state, port)
    moto_backend.configure(port)
    asyncio.run(_serve(state, listener, port))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="0 takes any free port")
    return parser.parse_args()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
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


async def _serve(state: StateDir, listener: socket.socket, port: int) -> None:
    from infra.local.calls import CallRecord
    from infra.local.router import Router

    redis_server = await asyncio.to_thread(redis.start, state.redis, log=state.logs / "redis.log")
    ministack = ministack_backend.MiniStack()
    await ministack.startup()
    calls = CallRecord(state.calls)
    services = _own_services(f"http://{HOST}:{port}", state)
    config = uvicorn.Config(
        Router(ministack, services, calls),
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, lambda: _announce(state, port, redis_server.port))
    try:
        await server.serve(sockets=[listener])
    finally:
        for service in services.values():
            service.close()
        await ministack.shutdown()
        calls.close()
        redis_server.stop()
        state.running.unlink(missing_ok=True)


def _own_services(endpoint: str, state: StateDir) -> dict[Backend, JsonService]:
    services: dict[Backend, JsonService] = {}
    for backend, module, name in (
        (Backend.ATHENA, "infra.local.athena.service", "Athena"),
        (Backend.JOBS, "infra.local.sagemaker.service", "SageMakerJobs"),
    ):
        with contextlib.suppress(ModuleNotFoundError):
            make = getattr(importlib.import_module(module), name)
            services[backend] = make(endpoint, state.root, ACCOUNT, REGION)
    return services


def _announce(state: StateDir, port: int, redis_port: int) -> None:
    """Say that everything answers; written whole or not at all."""
    draft = state.running.with_suffix(".tmp")
    draft.write_text(json.dumps({"pid": os.getpid(), "port": port, "redis_port": redis_port}))
    draft.replace(state.running)


if __name__ == "__main__":
    main()
