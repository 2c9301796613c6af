"""`mlops workflows plan` and `run-due`: what a merge changes and starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, print_json
from mlops.errors import MlopsError, Refused

if TYPE_CHECKING:
    from pipelines.training.executions import Execution
    from pipelines.training.merging.desk import MergeDesk
    from pipelines.training.merging.due import Due


def _desk() -> MergeDesk:
    from pipelines.training.merging.desk import open_merge_desk

    return open_merge_desk()


@click.command()
@click.argument("workflow", nargs=-1)
@json_option
def plan(workflow: tuple[str, ...], as_json: bool) -> None:
    """Show what deploying this checkout's workflows would change and start; changes nothing.

    Of each workflow, or of those that are named: the states that differ, the rules that start it
    by themselves, and whether the merge starts a run, with why. What is deployed and has no folder
    any more is named, too. Ends with exit code 5 when a workflow cannot be deployed.

    \b
    Examples:
      mlops workflows plan
      mlops workflows plan fraud --json
    """
    from pipelines.training.merging.plan import describe
    from pipelines.training.workflows import list_workflows

    desk = _desk()
    plans = [desk.plan(name) for name in workflow or list_workflows()]
    plans += [] if workflow else desk.gone()
    if as_json:
        print_json(plans)
    for line in () if as_json else (line for one in plans for line in describe(one)):
        click.echo(line)
    if refused := [one.workflow for one in plans if one.action == "refused"]:
        raise Refused(f"Not to be deployed as they are: {', '.join(refused)}. See the plan.")


@click.command("run-due")
@click.argument("model", nargs=-1)
@click.option("--name", help="Name of the executions; the same name twice runs once.")
@click.option("--wait", is_flag=True, help="Follow them to their ends; fail when one fails.")
@click.option("--timeout", type=float, default=7200, show_default=True, help="Seconds to wait.")
@click.option("--dry-run", is_flag=True, help="Say which would start, and start nothing.")
@json_option
def run_due(
    model: tuple[str, ...],
    name: str | None,
    wait: bool,
    timeout: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start every model, or those that are named, whose deployed code has not succeeded yet.

    The model's settings say that a merge starts it ('starts'), its tables are there, and no run
    has succeeded with the code that is deployed. Says of each model why, or why not.

    \b
    Examples:
      mlops workflows run-due --dry-run
      mlops workflows run-due --name jenkins-7 --wait
    """
    from pipelines.training.settings import list_models

    desk = _desk()
    found = desk.due_deployed(model or list_models())
    for due in () if as_json else found:
        click.echo(due.words)
    starting = [] if dry_run else [due for due in found if due.starts]
    begun = {due.model: desk.start(due.model, name) for due in starting}
    if wait:
        begun = {one: _followed(desk, run, timeout, as_json) for one, run in begun.items()}
    if as_json:
        print_json([_facts(desk, due, begun.get(due.model)) for due in found])
    _raise_first(begun.values())


def _followed(desk: MergeDesk, run: Execution, timeout: float, as_json: bool) -> Execution:
    from pipelines.training.following import report, tell

    ended = desk.desk.executions.wait(run, told=tell, timeout_seconds=timeout)
    if not as_json:
        report(desk.desk, ended, as_json=False)
    return ended


def _facts(desk: MergeDesk, due: Due, run: Execution | None) -> dict[str, Any]:
    from pipelines.training.following import facts

    return due.model_dump() | {"execution": facts(desk.desk, run) if run else None}


def _raise_first(runs: Any) -> None:
    """All of them have ended, or were not waited for; of those that failed, the first is told."""
    failed: list[MlopsError] = [error for run in runs if (error := run.outcome()) is not None]
    if failed:
        raise failed[0]
