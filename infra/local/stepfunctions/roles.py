"""Lets every task of moto's Step Functions act as the state machine's role."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from botocore.config import Config

from infra.local.jobs.identity import Clients

SESSION = "StepFunctions"
_RENEW_AFTER = 3600.0
_UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1})
"""Parameters are checked by the service and repeated by the state machine's Retry."""


class RoleClients:
    """boto3 clients that act as a role; kept, since making one takes a while."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._made: dict[tuple[str, str], tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def client_for(self, region: str, service: str, state_credentials: Any = None) -> Any:
        """In place of moto's `boto_client_for`, which has keys that belong to nobody."""
        role = getattr(state_credentials, "role_arn", None) or ""
        with self._lock:
            made, client = self._made.get((role, service), (0.0, None))
            if client is None or time.monotonic() - made > _RENEW_AFTER:
                client = self._make(role, service)
                self._made[role, service] = (time.monotonic(), client)
        return client

    def _make(self, role: str, service: str) -> Any:
        if not role:
            return self._clients.client(service, config=_UNCHECKED)
        credentials = self._clients.assume(role, SESSION)
        return self._clients.client(service, credentials, config=_UNCHECKED)


def act_as_role(clients: RoleClients) -> None:
    """Replace `boto_client_for` wherever a module of moto holds it by name."""
    from moto.stepfunctions.parser.asl.utils import boto_client

    theirs = boto_client.boto_client_for
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.") and (
            getattr(module, "boto_client_for", None) is theirs
        ):
            vars(module)["boto_client_for"] = clients.client_for
