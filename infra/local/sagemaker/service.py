"""The SageMaker of the local AWS, as the router sees it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

from infra.local.events import emit as put_event
from infra.local.jobs.command import one_per_core
from infra.local.jobs.identity import Clients
from infra.local.jobs.validation import check_request
from infra.local.sagemaker.hosting import Hosting
from infra.local.sagemaker.jobs import Jobs
from infra.local.sagemaker.kinds import Operations
from infra.local.sagemaker.processing import Processing
from infra.local.sagemaker.registry import EventSink, Registry
from infra.local.sagemaker.runner import Runner
from infra.local.sagemaker.training import Training
from infra.local.sagemaker.tuning import TuningJobs
from infra.local.service import AwsError, Caller

STOP_GRACE = 120.0
"""As on AWS."""


class _Part(Protocol):
    """Some of SageMaker's operations, and the tags of what they made."""

    def operations(self) -> Operations: ...

    def tags(self, arn: str) -> list[Any] | None: ...

    def retag(self, arn: str, tags: list[Any]) -> None: ...


class SageMakerJobs:
    """Training, processing and tuning jobs, the model registry, and endpoints.

    slots: held by a job while it runs; the others wait. One per core by default.
    grace: seconds between SIGTERM and SIGKILL for a job that is stopped.
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
        emit: EventSink = put_event,
    ) -> None:
        clients = Clients(endpoint, region)
        arn = f"arn:aws:sagemaker:{region}:{account}"
        folder = state / "sagemaker"
        self._runner = Runner(clients, slots=slots or one_per_core(), grace=grace)
        self._jobs = [
            Jobs(kind, folder / kind.word.lower(), clients, self._runner, arn)
            for kind in (Training(), Processing())
        ]
        self._tuning = TuningJobs(folder / "tuning", self._jobs[0], arn)
        registry = Registry(folder / "registry", arn, emit)
        self._hosting = Hosting(folder / "hosting", clients, arn, registry.package)
        self._parts: list[_Part] = [*self._jobs, self._tuning, registry, self._hosting]
        self._operations = self._table()

    def handle(self, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        check_request(operation, request)
        return self._operations[operation](request, caller)

    def close(self) -> None:
        self._runner.closing.set()
        self._hosting.close()
        self._tuning.stop_all()
        for jobs in self._jobs:
            jobs.stop_all()
        self._tuning.join()
        for jobs in self._jobs:
            jobs.join()

    def _table(self) -> Operations:
        table: Operations = {
            "AddTags": self._add_tags,
            "DeleteTags": self._delete_tags,
            "ListTags": self._list_tags,
        }
        for part in self._parts:
            table |= part.operations()
        return table

    def _add_tags(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        part, tags = self._tagged(request["ResourceArn"])
        replaced = {tag["Key"] for tag in request["Tags"]}
        tags = [tag for tag in tags if tag["Key"] not in replaced] + request["Tags"]
        part.retag(request["ResourceArn"], tags)
        return {"Tags": tags}

    def _delete_tags(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        part, tags = self._tagged(request["ResourceArn"])
        kept = [tag for tag in tags if tag["Key"] not in request["TagKeys"]]
        part.retag(request["ResourceArn"], kept)
        return {}

    def _list_tags(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return {"Tags": self._tagged(request["ResourceArn"])[1]}

    def _tagged(self, arn: str) -> tuple[_Part, list[Any]]:
        for part in self._parts:
            tags = part.tags(arn)
            if tags is not None:
                return part, tags
        raise AwsError("ValidationException", f"{arn} does not exist.")
