"""Where merges are planned, and started what is due: one environment, as one identity."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops.aws import translated
from mlops.errors import MlopsError, NotFound
from pipelines.training import layout
from pipelines.training.desk import Desk, open_desk
from pipelines.training.executions import Execution
from pipelines.training.merging.due import Due, Ran, is_due
from pipelines.training.merging.plan import WorkflowPlan, plan_definition
from pipelines.training.run import RUN
from pipelines.training.settings import TrainingSettings, list_models, load_defaults
from pipelines.training.starting.desk import StartDesk, open_start_desk
from pipelines.training.starting.rules import Step
from pipelines.training.workflows import list_workflows


@dataclass(frozen=True)
class MergeDesk:
    """A checkout's workflows beside those that are deployed."""

    desk: Desk
    starts: StartDesk

    def plan(self, workflow: str) -> WorkflowPlan:
        """What merging would change and start; refused in place of raising, with why."""
        try:
            return self._plan(workflow)
        except MlopsError as exc:
            return WorkflowPlan(workflow=workflow, action="refused", problem=str(exc))

    def _plan(self, workflow: str) -> WorkflowPlan:
        compiled = self.desk.compile(workflow, submitted_by="")
        deployment = self.desk.deployment
        there = deployment.deployed(workflow)
        code = there.code_sha256 if there else None
        plan = plan_definition(compiled, deployment.definition(workflow), code)
        if workflow not in list_models():
            return plan
        steps = self.starts.set(workflow, {}, dry_run=True)
        due = self.due(workflow, compiled.code_sha256)
        return plan.model_copy(update={"rules": tuple(steps), "due": due})

    def gone(self) -> list[WorkflowPlan]:
        """What is deployed of no workflow of this checkout, with what starts it all the same."""
        names = set(self.desk.deployment.names()) - set(list_workflows())
        return [
            WorkflowPlan(workflow=name, action="gone", rules=self._kept(name))
            for name in sorted(names)
        ]

    def _kept(self, workflow: str) -> tuple[Step, ...]:
        found = self.starts.rules.found(workflow)
        return tuple(Step(rule=rule, action="keep") for rule in found)

    def due(self, model: str, code_sha256: str) -> Due:
        """Whether a run of a model is due for this code. Raises NotFound."""
        settings = load_defaults(model)
        return is_due(
            settings, code_sha256=code_sha256, absent=self._absent(settings), ran=self._ran(model)
        )

    def due_deployed(self, models: Sequence[str]) -> list[Due]:
        """Whether runs are due for the code that is deployed. Raises NotFound where none is."""
        deployed = {model: self.desk.deployment.require_deployed(model) for model in models}
        return [self.due(model, there.code_sha256) for model, there in deployed.items()]

    def start(self, model: str, name: str | None) -> Execution:
        """Start a run; one of that name is gone on with."""
        executions = self.desk.executions
        if name is not None and executions.exists(model, name):
            return executions.get(model, name)
        return self.desk.run(model, {}, name=name)

    def _absent(self, settings: TrainingSettings) -> list[str]:
        return [table for table in settings.reads if not self._has_table(table)]

    def _has_table(self, table: str) -> bool:
        database = self.desk.settings.names.database
        try:
            with translated(f"Looking for table '{table}'"):
                self.desk.aws.client("glue").get_table(DatabaseName=database, Name=table)
        except NotFound:
            return False
        return True

    def _ran(self, model: str) -> Iterator[Ran]:
        for name in self.desk.executions.successes(model):
            try:
                key = layout.run_prefix(model, name) + f"run/{RUN}"
                document = json.loads(self.desk.documents.get(key).body)
            except NotFound:
                yield Ran(name=name, code_sha256=None)
            else:
                yield Ran.model_validate(document)


def open_merge_desk() -> MergeDesk:
    """The environment that the settings name, as the identity that AWS knows us by."""
    return MergeDesk(open_desk(), open_start_desk())
