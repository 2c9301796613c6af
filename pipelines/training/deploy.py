"""Deploying a workflow: two uploads, of which the second makes the Lambda act."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from mlops.aws import Aws, translated
from mlops.errors import NotFound, Unavailable
from mlops.names import Names
from mlops.objects import Documents
from pipelines.training import layout
from pipelines.training.compiler import Compiled, to_json
from pipelines.training.executions import not_deployed


class Deployed(BaseModel):
    """What the Lambda recorded."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workflow: str
    state_machine_arn: str
    code_sha256: str
    deployed_at: datetime
    submitted_by: str


class WorkflowDeployment:
    """Deploys workflows to one environment and tells what is deployed there."""

    def __init__(self, aws: Aws, names: Names, documents: Documents) -> None:
        self._aws, self._names, self._documents = aws, names, documents

    def deployed(self, workflow: str) -> Deployed | None:
        """What is deployed now; None when nothing is."""
        try:
            body = self._documents.get(layout.current_key(workflow)).body
        except NotFound:
            return None
        return Deployed.model_validate_json(body)

    def require_deployed(self, workflow: str) -> Deployed:
        """What is deployed now. Raises NotFound."""
        if (found := self.deployed(workflow)) is None:
            raise not_deployed(workflow)
        return found

    def names(self) -> list[str]:
        """Every workflow whose state machine is there, whatever a checkout has."""
        prefix = self._names.state_machine_arn("").rpartition(":")[2]
        with translated("Listing the state machines"):
            pages = (
                self._aws.client("stepfunctions").get_paginator("list_state_machines").paginate()
            )
            found = [machine["name"] for page in pages for machine in page["stateMachines"]]
        return sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix))

    def definition(self, workflow: str) -> dict[str, Any] | None:
        """The state machine that is deployed; None when there is none."""
        try:
            with translated(f"Reading the state machine of '{workflow}'"):
                answer = self._aws.client("stepfunctions").describe_state_machine(
                    stateMachineArn=self._names.state_machine_arn(workflow)
                )
        except NotFound:
            return None
        found: dict[str, Any] = json.loads(answer["definition"])
        return found

    def is_current(self, compiled: Compiled) -> bool:
        """Whether exactly this is deployed, and recorded."""
        deployed = self.deployed(compiled.name)
        return (
            deployed is not None
            and deployed.code_sha256 == compiled.code_sha256
            and self.definition(compiled.name) == compiled.definition
        )

    def upload(self, compiled: Compiled) -> None:
        """The code first, for the definition's arrival is what deploys."""
        name, sha256 = compiled.name, compiled.code_sha256
        self._documents.put(layout.source_key(name, sha256), compiled.bundle.body)
        self._documents.put(layout.definition_key(name, sha256), compiled.body)

    def wait(
        self,
        compiled: Compiled,
        *,
        timeout_seconds: float,
        poll_seconds: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Deployed:
        """Wait until the Lambda recorded this version. Raises Unavailable after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        while not self.is_current(compiled):
            if time.monotonic() > deadline:
                group = f"/aws/lambda/{self._names.function('workflow-deployer')}"
                raise Unavailable(
                    f"Workflow '{compiled.name}' was uploaded, but not deployed within "
                    f"{timeout_seconds:.0f} s. Look at the Lambda's log {group}, and whether the "
                    "infrastructure is deployed: mlops infra diff"
                )
            sleep(poll_seconds)
        deployed = self.deployed(compiled.name)
        assert deployed is not None
        return deployed


def difference(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    """A unified diff of two state machines; empty when they are the same."""
    before = to_json(old).decode().splitlines() if old is not None else []
    after = to_json(new).decode().splitlines()
    return "\n".join(difflib.unified_diff(before, after, "deployed", "compiled", lineterm="", n=2))
