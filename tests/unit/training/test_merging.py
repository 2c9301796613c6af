"""What a merge changes of the workflows, and which runs it starts, told with why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from mlops.errors import JobFailed, Refused
from pipelines.credit.settings import DEFAULTS, CreditSettings
from pipelines.training.compiler import Bundle, Compiled
from pipelines.training.executions import Execution
from pipelines.training.merging import cli
from pipelines.training.merging.due import Due, Ran, is_due
from pipelines.training.merging.plan import WorkflowPlan, describe, plan_definition
from pipelines.training.starting.rules import Step, wanted_rules
from pipelines.training.starts import Starts

OLD = Bundle(b"old code")
NEW = Bundle(b"new code")


class Silent(CreditSettings):
    """As 'credit', but no merge starts it."""

    starts: ClassVar[Starts] = Starts(drift=True)


def due(
    *,
    settings: CreditSettings = DEFAULTS,
    absent: tuple[str, ...] = (),
    ran: Sequence[Ran] = (),
) -> Due:
    return is_due(settings, code_sha256=NEW.sha256, absent=absent, ran=ran)


def success(name: str, bundle: Bundle, **chosen: Any) -> Ran:
    """A run with the settings that are declared, and what somebody chose."""
    settings = DEFAULTS.model_dump(mode="json") | {"test_end": "2025-01-01"} | chosen
    return Ran(name=name, code_sha256=bundle.sha256, settings=settings)


def test_who_has_never_succeeded_is_due() -> None:
    found = due()
    assert found.starts
    assert "no run of it has succeeded yet" in found.why


def test_other_code_than_that_of_the_last_success_is_due() -> None:
    found = due(ran=[success("jenkins-6", OLD)])
    assert found.starts
    assert f"run jenkins-6's ({OLD.sha256[:12]} → {NEW.sha256[:12]})" in found.why


def test_a_success_whose_code_nobody_knows_any_more_proves_nothing() -> None:
    assert due(ran=[Ran(name="jenkins-6", code_sha256=None)]).starts


def test_what_succeeded_with_this_code_is_not_due() -> None:
    found = due(ran=[success("jenkins-6", NEW)])
    assert not found.starts
    assert "jenkins-6 succeeded with this code" in found.words


def test_a_success_with_settings_that_somebody_chose_proves_nothing() -> None:
    found = due(ran=[success("by-hand", NEW, train_days=9)])
    assert found.starts
    assert "by-hand succeeded with this code, but with settings of its own" in found.why


def test_what_somebody_tried_later_takes_nothing_back() -> None:
    assert not due(ran=[success("by-hand", NEW, seed=7), success("jenkins-6", NEW)]).starts


def test_a_model_whose_tables_are_missing_is_not_due() -> None:
    found = due(absent=("loans", "zipcodes"))
    assert not found.starts
    assert "has no table loans, zipcodes yet" in found.why


def test_a_model_that_does_not_say_so_is_not_due() -> None:
    found = due(settings=Silent.model_validate(DEFAULTS.model_dump()))
    assert not found.starts
    assert "starts: merge" in found.why


def compiled(bundle: Bundle = NEW, *, wait: int = 1) -> Compiled:
    """A workflow of one state that names its code."""
    state = {"Type": "Task", "Resource": "arn:aws:states:::batch:submitJob.sync", "End": True}
    state |= {"TimeoutSeconds": wait, "Comment": bundle.sha256}
    definition = {"StartAt": "Train", "States": {"Train": state}}
    return Compiled({"workflow": "credit", "definition": definition}, bundle)


def planned(deployed: Compiled | None) -> WorkflowPlan:
    if deployed is None:
        return plan_definition(compiled(), None, None)
    return plan_definition(compiled(), deployed.definition, deployed.code_sha256)


@pytest.mark.parametrize(
    ("deployed", "action"),
    [
        (None, "create"),
        (compiled(OLD, wait=9), "change"),
        (compiled(OLD), "code"),
        (compiled(), "keep"),
    ],
)
def test_what_is_deployed_says_what_would_change(deployed: Compiled | None, action: str) -> None:
    assert planned(deployed).action == action


def test_a_diff_shows_what_the_states_say_and_not_the_hash_of_their_code() -> None:
    diff = planned(compiled(OLD, wait=9)).diff
    changed = [line for line in diff.splitlines()[2:] if line[0] in "+-"]
    assert [line.split(":")[0].strip('+- "') for line in changed] == ["TimeoutSeconds"] * 2


def told(plan: WorkflowPlan) -> str:
    return "\n".join(describe(plan))


def test_a_new_workflow_is_told_by_its_jobs() -> None:
    assert told(planned(None)) == f"credit: new, 1 states, code {NEW.sha256[:12]}\n  jobs: Train"


def test_the_lines_of_a_plan_tell_code_rules_and_the_run() -> None:
    [rule] = wanted_rules("credit", Starts(schedule="cron(0 18 ? * SUN *)"), {"train_days": 9})
    steps = (Step(rule=rule, action="create"),)
    lines = told(planned(compiled(OLD)).model_copy(update={"rules": steps, "due": due()}))
    assert f"the same states, code {OLD.sha256[:12]} → {NEW.sha256[:12]}" in lines
    assert (
        '+ starts by itself: schedule, cron(0 18 ? * SUN *), UTC, with {"train_days": 9}' in lines
    )
    assert "a run of credit starts after the merge" in lines


def test_what_is_refused_is_told_by_name() -> None:
    plan = WorkflowPlan(workflow="credit", action="refused", problem="no such key")
    assert told(plan) == "REFUSED credit: no such key"


@pytest.mark.parametrize(
    ("starts", "says"),
    [
        (Starts(), "nothing starts it"),
        (
            Starts(drift=True),
            "it STILL STARTS by itself (drift). Stop it: mlops workflows schedule",
        ),
    ],
)
def test_what_has_no_folder_any_more_says_whether_it_still_starts(
    starts: Starts, says: str
) -> None:
    kept = tuple(Step(rule=rule, action="keep") for rule in wanted_rules("churn", starts, {}))
    line = told(WorkflowPlan(workflow="churn", action="gone", rules=kept))
    assert "churn: is deployed, and this checkout has no such workflow" in line
    assert says in line


def execution(model: str, **changed: Any) -> Execution:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    values = {"workflow": model, "name": "jenkins-7", "arn": "arn", "status": "SUCCEEDED"}
    return Execution.model_validate({**values, "started": at, "stopped": at} | changed)


class Desk:
    """Two models, of which one is due, and what becomes of its run."""

    def __init__(self, **ends: Any) -> None:
        self.started: list[tuple[str, str | None]] = []
        self._ends = ends
        self.desk = self.executions = self

    def plan(self, workflow: str) -> WorkflowPlan:
        refused = workflow == "upsync"
        return WorkflowPlan(workflow=workflow, action="refused" if refused else "keep")

    def gone(self) -> list[WorkflowPlan]:
        return [WorkflowPlan(workflow="churn", action="gone")]

    def due_deployed(self, models: Any) -> list[Due]:
        return [Due(model=one, starts=one == "fraud", why="it is so") for one in models]

    def start(self, model: str, name: str | None) -> Execution:
        self.started.append((model, name))
        return execution(model, status="RUNNING")

    def wait(self, started: Execution, **_: Any) -> Execution:
        return execution(started.workflow, **self._ends)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(cli, "_desk", lambda: made)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.run_due, arguments)


def test_what_is_due_is_started_and_what_is_not_says_why(desk: Desk) -> None:
    done = run("--name", "jenkins-7", "--wait")
    assert done.exit_code == 0, done.output
    assert desk.started == [("fraud", "jenkins-7")]
    assert "the merge starts no run of credit: it is so" in done.output


def test_a_dry_run_starts_nothing(desk: Desk) -> None:
    assert "a run of fraud starts after the merge" in run("--dry-run").output
    assert desk.started == []


def test_named_models_alone_are_looked_at(desk: Desk) -> None:
    assert "fraud" not in run("credit").output
    assert desk.started == []


def test_a_run_that_fails_ends_the_command_as_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Desk(status="FAILED", error="JobFailed", cause="no rows")
    monkeypatch.setattr(cli, "_desk", lambda: failing)
    ended = run("--wait").exception
    assert isinstance(ended, JobFailed)
    assert "no rows" in str(ended)


def test_a_plan_of_all_ends_as_refused_once_all_of_it_is_told(desk: Desk) -> None:
    done = CliRunner().invoke(cli.plan, ["--json"])
    assert isinstance(done.exception, Refused)
    assert "upsync" in str(done.exception)
    assert {one["workflow"] for one in json.loads(done.output)} == {
        *("churn", "credit", "drift", "fraud", "start", "upsync"),
    }


def test_a_plan_of_some_is_of_them_alone(desk: Desk) -> None:
    done = CliRunner().invoke(cli.plan, ["fraud"])
    assert (done.exit_code, done.output) == (0, "fraud: unchanged\n")
