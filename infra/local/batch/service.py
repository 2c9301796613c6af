"""The AWS Batch of the local AWS, as the router sees it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from infra.local.batch.definitions import Definitions
from infra.local.batch.jobs import Jobs
from infra.local.batch.queues import Queues
from infra.local.jobs.command import one_per_core
from infra.local.jobs.identity import Clients
from infra.local.jobs.validation import check_request
from infra.local.service import Caller

STOP_GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL, as on ECS."""


class Batch:
    """Queues, job definitions and jobs.

    slots: held by an attempt while it runs; the others wait. One per core by default.
    """

    def __init__(
        self,
        endpoint: str,
        state: Path,
        account: str,
        region: str,
        *,
        slots: threading.Semaphore | None = None,
        grace: float = STOP_GRACE,
    ) -> None:
        arn, folder = f"arn:aws:batch:{region}:{account}", state / "batch"
        queues = Queues(folder, arn, drain=self._drain, changed=self._wake)
        definitions = Definitions(folder, arn)
        self._jobs = Jobs(
            folder,
            arn,
            Clients(endpoint, region),
            queues,
            definitions,
            slots=slots or one_per_core(),
            grace=grace,
        )
        parts = (queues, definitions, self._jobs)
        self._operations = {k: v for part in parts for k, v in part.operations().items()}

    def handle(self, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        check_request(operation, request, service="batch", code="ClientException")
        return self._operations[operation](request, caller)

    def start(self) -> None:
        """Begin to run jobs, those of before a restart first; the endpoint must answer by now."""
        self._jobs.start()

    def close(self) -> None:
        self._jobs.close()

    def _drain(self, queue_arn: str) -> None:
        self._jobs.drain(queue_arn)

    def _wake(self) -> None:
        self._jobs.wake()
