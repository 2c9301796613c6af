"""MiniStack inside this process: its settings, its lifespan and who a key belongs to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from infra.local import ministack_patches
from infra.local.service import AwsError, Caller
from infra.local.settings import ACCOUNT, ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY, HOST, REGION, StateDir

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def configure(state: StateDir, port: int) -> None:
    """Set what MiniStack reads from the environment at import; call before importing it."""
    os.environ |= {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        # Its root keys: presigned URLs are checked against them.
        "AWS_ACCESS_KEY_ID": ADMIN_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ADMIN_SECRET_KEY,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_STRICT": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state.ministack),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state.objects),
        "LOG_LEVEL": "WARNING",
        # It looks for containers to remove wherever it finds a Docker socket.
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    }


class MiniStack:
    """The ASGI application and its lifespan."""

    def __init__(self, start_state_machine: Callable[[str, str], None]) -> None:
        from ministack.app import app

        ministack_patches.install(start_state_machine)

        self.app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Load what was saved and start the schedulers."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        self._lifespan = asyncio.create_task(self.app(scope, self._inbox.get, self._outbox.put))
        await self._inbox.put({"type": "lifespan.startup"})
        await self._outbox.get()

    async def shutdown(self) -> None:
        """Save everything."""
        await self._inbox.put({"type": "lifespan.shutdown"})
        await self._outbox.get()


def caller(access_key: str, region: str) -> Caller:
    """Whose key it is: an assumed role, a user, or the account itself.

    Raises AwsError for a temporary key that no session has (any more).
    """
    from ministack.core.iam_evaluator import resolve_caller_identity
    from ministack.core.responses import request_scope

    with request_scope(ACCOUNT, region or REGION):
        identity = resolve_caller_identity(access_key)
    if identity is None and access_key.startswith("ASIA"):
        raise AwsError(
            "ExpiredToken",
            f"The session of {access_key} has ended or never was. Assume the role again.",
            status=403,
        )
    arn = identity["userArn"] if identity else f"arn:aws:iam::{ACCOUNT}:root"
    return Caller(account=ACCOUNT, region=region or REGION, arn=arn)
