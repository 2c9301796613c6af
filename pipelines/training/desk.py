"""Where the `mlops workflows` commands work: one environment, opened once."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mlops.aws import Aws
from mlops.errors import InputError, NotFound, Refused
from mlops.objects import Documents, S3Documents
from mlops.prices import Prices, load_prices
from mlops.settings import Settings, load_settings
from pipelines.training.compiler import Bundle, Compiled, bundle_code, compile_workflow
from pipelines.training.deploy import WorkflowDeployment
from pipelines.training.executions import Execution, Executions
from pipelines.training.redriving import Redrive, plan_redrive
from pipelines.training.rollouts import require_rollout
from pipelines.training.settings import chosen_fields, list_models, load_defaults, with_overrides
from pipelines.training.workflows import input_settings, list_workflows

_NAME = re.compile(r"[a-z0-9](-?[a-z0-9]){0,35}")
"""What fits, behind the workflow and the step, into the 63 characters of a job's name."""


@dataclass(frozen=True)
class Desk:
    """One environment's workflows, as one identity."""

    settings: Settings
    aws: Aws

    @cached_property
    def documents(self) -> Documents:
        return S3Documents(self.aws, self.settings.names.artifact_bucket)

    @cached_property
    def deployment(self) -> WorkflowDeployment:
        return WorkflowDeployment(self.aws, self.settings.names, self.documents)

    @cached_property
    def executions(self) -> Executions:
        return Executions(self.aws, self.settings.names)

    @cached_property
    def prices(self) -> Prices | None:
        """What AWS charges here; None for a region whose prices nobody wrote down."""
        try:
            return load_prices(self.settings.region)
        except NotFound:
            return None

    @cached_property
    def bundle(self) -> Bundle:
        """The code that the jobs of all workflows run."""
        return bundle_code(self.settings.feature_repo)

    def compile(self, workflow: str, *, submitted_by: str) -> Compiled:
        return compile_workflow(
            workflow, self.settings, bundle=self.bundle, submitted_by=submitted_by
        )

    def run(
        self, workflow: str, changes: Mapping[str, str], *, name: str | None, force: bool = False
    ) -> Execution:
        """Start an execution with changed settings. Raises InputError, NotFound, Conflict, Refused.

        force: train, even where an earlier run made this very model.
        """
        if workflow in list_models():
            require_rollout(with_overrides(load_defaults(workflow), changes), self.settings)
        today = self.settings.build_clock().now().date()
        document = {
            "settings": input_settings(workflow, changes, today=today),
            "submitted_by": self.aws.identity,
            **({"force": True} if force else {}),
        }
        return self.executions.start(workflow, checked_name(name) or new_name(), document)

    def plan_redrive(self, workflow: str, name: str | None, changes: Mapping[str, str]) -> Redrive:
        """How to go on with an execution that failed; starts nothing.

        Raises Refused for a workflow that trains no model, and as `redriving.plan_redrive` does.
        """
        if workflow not in list_models():
            raise Refused(
                f"Workflow '{workflow}' goes on by itself with what a failed run left: "
                f"mlops workflows run {workflow}"
            )
        failed = self.execution(workflow, name)
        given = self.executions.given(failed)
        ran_on = given.get("settings", {}).get("instances", {})
        kept = {f"instances.{key}": json.dumps(value) for key, value in ran_on.items()}
        settings = with_overrides(load_defaults(workflow), kept | dict(changes))
        return plan_redrive(
            failed,
            self.executions.steps(failed),
            given=given,
            chosen=chosen_fields(settings, changes),
            submitted_by=self.aws.identity,
            is_taken=lambda attempt: self.executions.exists(workflow, attempt),
        )

    def execution(self, workflow: str, name: str | None) -> Execution:
        """The named execution, or the newest. Raises NotFound."""
        if name is not None:
            return self.executions.get(workflow, name)
        newest = self.executions.newest(workflow, limit=1)
        if not newest:
            raise NotFound(
                f"Workflow '{workflow}' has not run yet. Run: mlops workflows run {workflow}"
            )
        return newest[0]

    def overview(self) -> list[dict[str, Any]]:
        return [self._overview(workflow) for workflow in list_workflows()]

    def _overview(self, workflow: str) -> dict[str, Any]:
        deployed = self.deployment.deployed(workflow)
        newest = self.executions.newest(workflow, limit=1) if deployed else []
        return {
            "workflow": workflow,
            "deployed_at": deployed and deployed.deployed_at,
            "code_sha256": deployed and deployed.code_sha256,
            "submitted_by": deployed and deployed.submitted_by,
            "last_execution": newest[0].name if newest else None,
            "status": newest[0].status if newest else None,
        }


def checked_name(name: str | None) -> str | None:
    """Raises InputError for a name that would not fit into the jobs' names."""
    if name is not None and not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' cannot name an execution: up to 36 small letters, digits and single "
            "hyphens, for example 'weekly-2018-08-15'."
        )
    return name


def new_name() -> str:
    """A name that says when, and is unique within the second too."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def open_desk() -> Desk:
    """The environment that the settings name, as the identity that AWS knows us by."""
    settings = load_settings()
    return Desk(settings, Aws(region=settings.region))
