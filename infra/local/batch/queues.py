"""Compute environments, and the queues that lead to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from infra.local.batch.checks import Document, check_name, client_error, refuse
from infra.local.jobs.shelf import Shelf
from infra.local.service import Caller

Operations = dict[str, Callable[[Document, Caller], Document]]

_FARGATE = ("FARGATE", "FARGATE_SPOT")
_UPDATABLE = ("maxvCpus", "subnets", "securityGroupIds")


class Queues:
    """Compute environments and job queues, by name; each kept as Batch describes it."""

    def __init__(
        self, folder: Path, arn: str, *, drain: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        """drain: ends the jobs of a queue that is deleted, by its ARN. changed: is told when jobs
        that waited may run.
        """
        self._arn = arn
        self._drain = drain
        self._changed = changed
        self._lock = threading.Lock()
        self._places = _Kept(Shelf(folder / "environments"))
        self._queues = _Kept(Shelf(folder / "queues"))

    def operations(self) -> Operations:
        return {
            "CreateComputeEnvironment": self._create_environment,
            "DescribeComputeEnvironments": self._describe_environments,
            "UpdateComputeEnvironment": self._update_environment,
            "DeleteComputeEnvironment": self._delete_environment,
            "CreateJobQueue": self._create_queue,
            "DescribeJobQueues": self._describe_queues,
            "UpdateJobQueue": self._update_queue,
            "DeleteJobQueue": self._delete_queue,
        }

    def open(self, queue: str) -> Document:
        """The queue that a job may be submitted to, by name or ARN. Raises AwsError."""
        found = self._queue(queue)
        if found["state"] != "ENABLED":
            raise client_error(f"JobQueue {found['jobQueueArn']} is disabled.")
        return found

    def arn_of(self, queue: str) -> str:
        return str(self._queue(queue)["jobQueueArn"])

    def priority(self, queue_arn: str) -> int | None:
        """Who goes first; None while the queue leads to no compute environment that is enabled."""
        queue = self._queues.find(queue_arn)
        if queue is None:
            return None
        places = (self._places.find(o["computeEnvironment"]) for o in _order(queue))
        served = any(place and place["state"] == "ENABLED" for place in places)
        return int(queue["priority"]) if served else None

    def first_place(self, queue_arn: str) -> str:
        """The name of the compute environment that a queue's jobs run on."""
        queue = self._queues.find(queue_arn)
        order = _order(queue) if queue else []
        return str(order[0]["computeEnvironment"]).rpartition("/")[2] if order else ""

    def _create_environment(self, request: Document, caller: Caller) -> Document:
        name = request["computeEnvironmentName"]
        check_name("Compute environment", name)
        _check_environment(request)
        arn = f"{self._arn}:compute-environment/{name}"
        document = {
            "computeEnvironmentName": name,
            "computeEnvironmentArn": arn,
            "type": request["type"],
            "state": request.get("state", "ENABLED"),
            "status": "VALID",
            "statusReason": "ComputeEnvironment Healthy",
            "computeResources": request["computeResources"],
            "containerOrchestrationType": "ECS",
            "tags": request.get("tags", {}),
        }
        with self._lock:
            self._places.add(name, document)
        return {"computeEnvironmentName": name, "computeEnvironmentArn": arn}

    def _describe_environments(self, request: Document, caller: Caller) -> Document:
        asked = request.get("computeEnvironments")
        return {"computeEnvironments": self._places.listed(asked)}

    def _update_environment(self, request: Document, caller: Caller) -> Document:
        refuse(request, ("serviceRole", "updatePolicy", "eksConfiguration"), "has no instances")
        changed = request.get("computeResources", {})
        refuse(changed, sorted(set(changed) - set(_UPDATABLE)), "cannot change it")
        with self._lock:
            place = self._environment(request["computeEnvironment"])
            place["state"] = request.get("state", place["state"])
            place["computeResources"] |= changed
            self._places.save(place["computeEnvironmentName"])
        self._changed()
        names = ("computeEnvironmentName", "computeEnvironmentArn")
        return {name: place[name] for name in names}

    def _delete_environment(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            place = self._places.find(request["computeEnvironment"])
            if place is None:
                return {}
            arn = place["computeEnvironmentArn"]
            if place["state"] != "DISABLED":
                raise client_error("Cannot delete, resource is not disabled.")
            used = [o for queue in self._queues.listed(None) for o in _order(queue)]
            if any(self._environment(o["computeEnvironment"]) is place for o in used):
                raise client_error(f"Cannot delete, found existing JobQueue relationship: {arn}")
            self._places.remove(place["computeEnvironmentName"])
        return {}

    def _create_queue(self, request: Document, caller: Caller) -> Document:
        name = request["jobQueueName"]
        check_name("Job queue", name)
        _refuse_policies(request)
        arn = f"{self._arn}:job-queue/{name}"
        document = {
            "jobQueueName": name,
            "jobQueueArn": arn,
            "state": request.get("state", "ENABLED"),
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "priority": request["priority"],
            "computeEnvironmentOrder": self._ordered(request.get("computeEnvironmentOrder", ())),
            "tags": request.get("tags", {}),
        }
        with self._lock:
            self._queues.add(name, document)
        return {"jobQueueName": name, "jobQueueArn": arn}

    def _describe_queues(self, request: Document, caller: Caller) -> Document:
        return {"jobQueues": self._queues.listed(request.get("jobQueues"))}

    def _update_queue(self, request: Document, caller: Caller) -> Document:
        _refuse_policies(request)
        with self._lock:
            queue = self._queue(request["jobQueue"])
            if "computeEnvironmentOrder" in request:
                order = self._ordered(request["computeEnvironmentOrder"])
                queue["computeEnvironmentOrder"] = order
            queue |= {name: request[name] for name in ("state", "priority") if name in request}
            self._queues.save(queue["jobQueueName"])
        self._changed()
        return {name: queue[name] for name in ("jobQueueName", "jobQueueArn")}

    def _delete_queue(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            queue = self._queues.find(request["jobQueue"])
            if queue is None:
                return {}
            if queue["state"] != "DISABLED":
                raise client_error("Cannot delete, resource is not disabled.")
            self._queues.remove(queue["jobQueueName"])
        self._drain(queue["jobQueueArn"])
        return {}

    def _ordered(self, order: Iterable[Document]) -> list[Document]:
        """The order with ARNs, first come first. Raises AwsError."""
        found = [
            {
                "order": entry["order"],
                "computeEnvironment": self._environment(entry["computeEnvironment"])[
                    "computeEnvironmentArn"
                ],
            }
            for entry in order
        ]
        if not 1 <= len(found) <= 3:
            raise client_error("computeEnvironmentOrder must have one to three entries.")
        return sorted(found, key=lambda entry: entry["order"])

    def _environment(self, name: str) -> Document:
        found = self._places.find(name)
        if found is None:
            raise client_error(f"ComputeEnvironment {name} does not exist.")
        return found

    def _queue(self, name: str) -> Document:
        found = self._queues.find(name)
        if found is None:
            raise client_error(f"JobQueue {name} not found.")
        return found


class _Kept:
    """Documents by name, found by name or ARN, and what is on the shelf of them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._documents: dict[str, Document] = shelf.load()

    def add(self, name: str, document: Document) -> None:
        if name in self._documents:
            raise client_error("Object already exists")
        self._documents[name] = document
        self.save(name)

    def save(self, name: str) -> None:
        self._shelf.save(name, self._documents[name])

    def remove(self, name: str) -> None:
        del self._documents[name]
        self._shelf.delete(name)

    def find(self, name_or_arn: str) -> Document | None:
        return self._documents.get(name_or_arn.rpartition("/")[2])

    def listed(self, asked: Iterable[str] | None) -> list[Document]:
        """Those that are asked for and exist; all without a question."""
        if not asked:
            return list(self._documents.values())
        return [found for name in asked if (found := self.find(name)) is not None]


def _order(queue: Document) -> list[Document]:
    order: list[Document] = queue["computeEnvironmentOrder"]
    return order


def _refuse_policies(request: Document) -> None:
    fields = ("schedulingPolicyArn", "serviceEnvironmentOrder", "jobStateTimeLimitActions")
    refuse(request, fields, "takes jobs in the order in which they came")


def _check_environment(request: Document) -> None:
    refuse(request, ("eksConfiguration", "unmanagedvCpus"), "runs jobs as ECS on Fargate does")
    resources: dict[str, Any] = request.get("computeResources", {})
    if request["type"] != "MANAGED" or resources.get("type") not in _FARGATE:
        raise client_error(
            "The local AWS has no instances: give the compute environment type MANAGED and "
            f"computeResources of type {' or '.join(_FARGATE)}."
        )
    for name in ("subnets", "securityGroupIds"):
        if not resources.get(name):
            raise client_error(f"computeResources.{name} must not be empty for {_FARGATE[0]}.")
    if resources["maxvCpus"] < 1:
        raise client_error("computeResources.maxvCpus must be 1 or more.")
