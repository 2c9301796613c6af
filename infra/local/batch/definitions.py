"""Job definitions: numbered revisions of what a job runs."""

from __future__ import annotations

import threading
from pathlib import Path

from infra.local.batch.checks import (
    Document,
    check_environment,
    check_logs,
    check_name,
    check_resources,
    check_retries,
    check_timeout,
    client_error,
    refuse,
)
from infra.local.batch.listing import page
from infra.local.batch.queues import Operations
from infra.local.jobs.shelf import Shelf
from infra.local.service import Caller

_KEPT = ("parameters", "retryStrategy", "timeout", "tags", "propagateTags", "platformCapabilities")
_OTHERS = ("nodeProperties", "eksProperties", "ecsProperties", "consumableResourceProperties")
_UNKNOWN = ("volumes", "mountPoints", "secrets", "linuxParameters", "ulimits", "privileged")
_OLD = ("vcpus", "memory")


class Definitions:
    """Every revision that was registered, deregistered ones included."""

    def __init__(self, folder: Path, arn: str) -> None:
        self._arn = arn
        self._shelf = Shelf(folder / "definitions")
        self._lock = threading.Lock()
        self._revisions: dict[str, Document] = self._shelf.load()

    def operations(self) -> Operations:
        return {
            "RegisterJobDefinition": self._register,
            "DescribeJobDefinitions": self._describe,
            "DeregisterJobDefinition": self._deregister,
        }

    def find(self, asked: str) -> Document:
        """The revision of 'name', 'name:revision' or an ARN; the newest active one of a name.

        Raises AwsError.
        """
        name, colon, revision = asked.rpartition("/")[2].partition(":")
        active = [d for d in self._of(name) if d["status"] == "ACTIVE"]
        found = [d for d in active if not colon or str(d["revision"]) == revision]
        if not found:
            raise client_error(f"JobDefinition {asked} does not exist or is inactive.")
        return found[-1]

    def _register(self, request: Document, caller: Caller) -> Document:
        name = request["jobDefinitionName"]
        check_name("Job definition", name)
        _check(request)
        with self._lock:
            revision = max((d["revision"] for d in self._of(name)), default=0) + 1
            document = {
                "jobDefinitionName": name,
                "jobDefinitionArn": f"{self._arn}:job-definition/{name}:{revision}",
                "revision": revision,
                "status": "ACTIVE",
                "type": "container",
                "containerProperties": request["containerProperties"],
                "containerOrchestrationType": "ECS",
                **{field: request[field] for field in _KEPT if field in request},
            }
            self._keep(document)
        names = ("jobDefinitionName", "jobDefinitionArn", "revision")
        return {field: document[field] for field in names}

    def _describe(self, request: Document, caller: Caller) -> Document:
        asked = {text.rpartition("/")[2] for text in request.get("jobDefinitions", ())}
        name, status = request.get("jobDefinitionName"), request.get("status")
        found = [
            d
            for d in self._revisions.values()
            if (not asked or {d["jobDefinitionName"], _key(d)} & asked)
            and name in (None, d["jobDefinitionName"])
            and status in (None, d["status"])
        ]
        newest = sorted(found, key=lambda d: (d["jobDefinitionName"], -d["revision"]))
        shown, rest = page(newest, request)
        return {"jobDefinitions": shown, **rest}

    def _deregister(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            document = self.find(request["jobDefinition"])
            document["status"] = "INACTIVE"
            self._keep(document)
        return {}

    def _of(self, name: str) -> list[Document]:
        found = [d for d in list(self._revisions.values()) if d["jobDefinitionName"] == name]
        return sorted(found, key=lambda d: int(d["revision"]))

    def _keep(self, document: Document) -> None:
        self._revisions[_key(document)] = document
        self._shelf.save(_key(document), document)


def _key(document: Document) -> str:
    return f"{document['jobDefinitionName']}:{document['revision']}"


def _check(request: Document) -> None:
    if request["type"] != "container" or "containerProperties" not in request:
        raise client_error("The local AWS runs jobs of type 'container', with containerProperties.")
    refuse(request, _OTHERS, "runs jobs of one container each")
    refuse(request, ("schedulingPriority",), "takes jobs in the order in which they came")
    check_retries(request.get("retryStrategy"))
    check_timeout(request.get("timeout"))
    container = request["containerProperties"]
    if not container.get("image"):
        raise client_error("containerProperties: image must not be empty.")
    refuse(container, _UNKNOWN, "has no containers to give it to")
    refuse(container, _OLD, "knows resourceRequirements instead")
    check_environment(container.get("environment"))
    check_resources(container.get("resourceRequirements"))
    check_logs(container.get("logConfiguration"))
    if "FARGATE" in request.get("platformCapabilities", ()):
        _check_fargate(container)


def _check_fargate(container: Document) -> None:
    if not container.get("executionRoleArn"):
        raise client_error("Fargate needs containerProperties.executionRoleArn.")
    types = {r["type"] for r in container.get("resourceRequirements", ())}
    if missing := sorted({"MEMORY", "VCPU"} - types):
        raise client_error(f"resourceRequirements: Fargate needs {' and '.join(missing)}.")
