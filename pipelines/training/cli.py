"""`mlops workflows`: make, compile, deploy, run and follow training workflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, out, print_json, print_table
from pipelines.training.following import logs, report, status, tell, watch
from pipelines.training.merging.cli import plan, run_due
from pipelines.training.starting.cli import schedule

if TYPE_CHECKING:
    from pipelines.training.compiler import Compiled
    from pipelines.training.desk import Desk
    from pipelines.training.executions import Execution

_name = click.argument("workflow")


@click.group()
def workflows() -> None:
    """Training workflows: make, compile, deploy, run, follow.

    \b
    Examples:
      mlops workflows new churn
      mlops workflows compile fraud --diff
      mlops workflows plan
      mlops workflows deploy fraud
      mlops workflows run fraud --set test_end=2018-08-15 --wait
      mlops workflows watch fraud
      mlops workflows redrive fraud
      mlops workflows logs fraud Train
      mlops workflows schedule show
    """


workflows.add_command(status)
workflows.add_command(watch)
workflows.add_command(logs)
workflows.add_command(schedule)
workflows.add_command(plan)
workflows.add_command(run_due)


def _desk() -> Desk:
    from pipelines.training.desk import open_desk

    return open_desk()


@workflows.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path(),
    help="The checkout to write into; the current folder without it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written and write nothing.")
@json_option
def new(name: str, into: Path, dry_run: bool, as_json: bool) -> None:
    """Make a new model's folder and test, which run as they are: then make them your own.

    \b
    Examples:
      mlops workflows new churn --dry-run
      mlops workflows new churn
    """
    from pipelines.training.scaffold import new_model

    scaffold = new_model(name, into)
    if not dry_run:
        scaffold.write(into)
    if as_json:
        print_json({"name": name, "dry_run": dry_run, "files": [str(f) for f in scaffold.files]})
        return
    verb = "would write" if dry_run else "wrote"
    for place in scaffold.files:
        out.print(f"{verb} {place}", highlight=False)
    out.print(f"Next: pytest tests/unit/{name}, then mlops workflows deploy {name}")


@workflows.command("compile")
@_name
@click.option("--diff", is_flag=True, help="Show what differs from the deployed state machine.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/workflows"),
    show_default=True,
    help="Where <workflow>.json is written.",
)
@json_option
def compile_(workflow: str, diff: bool, output: Path, as_json: bool) -> None:
    """Compile and check a state machine; calls AWS only for --diff.

    \b
    Examples:
      mlops workflows compile fraud
      mlops workflows compile fraud --diff
    """
    from pipelines.training.compiler import to_json
    from pipelines.training.deploy import difference

    desk = _desk()
    compiled = desk.compile(workflow, submitted_by="")
    path = output / f"{workflow}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(compiled.definition))
    facts: dict[str, Any] = {"workflow": workflow, "path": str(path)} | _facts(compiled)
    if diff:
        facts["diff"] = difference(desk.deployment.definition(workflow), compiled.definition)
    if as_json:
        print_json(facts)
        return
    out.print(f"{path}: {facts['states']} states, code {compiled.code_sha256[:12]}")
    if diff:
        click.echo(facts["diff"] or "The deployed state machine is the same.")


def _facts(compiled: Compiled) -> dict[str, Any]:
    return {"states": len(compiled.definition["States"]), "code_sha256": compiled.code_sha256}


@workflows.command()
@click.argument("workflow", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every workflow of this checkout.")
@click.option("--wait/--no-wait", default=True, help="Wait until the Lambda recorded it.")
@click.option("--timeout", type=float, default=60, show_default=True, help="Seconds to wait.")
@json_option
def deploy(
    workflow: tuple[str, ...], every: bool, wait: bool, timeout: float, as_json: bool
) -> None:
    """Upload the code and the compiled definition; the upload's event deploys it.

    All that are named are compiled and checked before the first is uploaded. What would change
    is shown by 'plan'.

    \b
    Examples:
      mlops workflows deploy fraud
      mlops workflows deploy fraud --no-wait
      mlops workflows deploy --all
    """
    from pipelines.training.workflows import list_workflows

    names = chosen_names(workflow, every, list_workflows)
    desk = _desk()
    compiled = [desk.compile(name, submitted_by=desk.aws.identity) for name in names]
    found = list(_deployed(desk, compiled, timeout=timeout if wait else None))
    if as_json:
        print_json(found if every or len(found) > 1 else found[0])
    for facts in () if as_json else found:
        out.print(f"{facts['workflow']}: {facts['action']}, code {facts['code_sha256'][:12]}")


def _deployed(
    desk: Desk, compiled: Sequence[Compiled], *, timeout: float | None
) -> Iterator[dict[str, Any]]:
    """All are uploaded before the first is waited for; without a timeout none is."""
    changed = [one for one in compiled if not desk.deployment.is_current(one)]
    for one in changed:
        desk.deployment.upload(one)
    for one in compiled:
        deployed = None if timeout is None else desk.deployment.wait(one, timeout_seconds=timeout)
        action = "unchanged" if one not in changed else "deployed" if deployed else "uploaded"
        facts = {"workflow": one.name, "action": action, "deployed": deployed}
        yield facts | _facts(one)


def chosen_names(
    named: Sequence[str], every: bool, known: Callable[[], Sequence[str]]
) -> Sequence[str]:
    """What was named, or all of them. Raises UsageError for neither and for both."""
    if bool(named) == every:
        raise click.UsageError(f"name one of {', '.join(known())}, or say --all")
    return known() if every else list(dict.fromkeys(named))


@workflows.command()
@_name
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
@click.option("--algorithm", help="Short for --set algorithm=…")
@click.option("--name", help="Name of the execution; the same name twice runs once.")
@click.option("--force", is_flag=True, help="Train, even where a run made this very model.")
@click.option("--wait", is_flag=True, help="Follow it to its end; fail when it fails.")
@click.option("--timeout", type=float, default=7200, show_default=True, help="Seconds to wait.")
@json_option
def run(
    workflow: str,
    pairs: tuple[str, ...],
    algorithm: str | None,
    name: str | None,
    force: bool,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Start an execution of the deployed workflow.

    A model that an earlier run trained with the same code, image, rows and parameters is taken
    from that run.

    \b
    Examples:
      mlops workflows run fraud
      mlops workflows run fraud --algorithm random_forest --set test_end=2018-08-15 --wait
      mlops workflows run fraud --set thresholds.auc_roc=0.9 --set hyperparameters.max_iter=200
    """
    desk = _desk()
    changes = settings_pairs(pairs) | ({"algorithm": algorithm} if algorithm else {})
    execution = desk.run(workflow, changes, name=name, force=force)
    if not as_json:
        out.print(f"{workflow}: execution {execution.name}", highlight=False)
    _go_on(desk, execution, timeout=timeout if wait else None, as_json=as_json)


@workflows.command()
@_name
@click.argument("execution", required=False)
@click.option(
    "--set", "pairs", multiple=True, metavar="instances.KEY=VALUE", help="Change what it runs on."
)
@click.option("--wait", is_flag=True, help="Follow it to its end; fail when it fails.")
@click.option("--timeout", type=float, default=7200, show_default=True, help="Seconds to wait.")
@click.option("--dry-run", is_flag=True, help="Say what it would take and do; start nothing.")
@json_option
def redrive(
    workflow: str,
    execution: str | None,
    pairs: tuple[str, ...],
    wait: bool,
    timeout: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go on with a failed execution, the newest without a name, from the step that failed.

    A new execution with the same settings takes the rows and the model that the failed one made.
    What the deployed code says differently since is done anew, but for the rows.

    \b
    Examples:
      mlops workflows redrive fraud --dry-run
      mlops workflows redrive fraud weekly-33 --set instances.training=ml.m5.4xlarge --wait
    """
    desk = _desk()
    plan = desk.plan_redrive(workflow, execution, settings_pairs(pairs))
    if dry_run:
        if as_json:
            print_json(plan)
        else:
            out.print(f"{workflow}: would start {plan.name}: {plan.words}", highlight=False)
        return
    started = desk.executions.start(workflow, plan.name, plan.document)
    if not as_json:
        out.print(f"{workflow}: execution {plan.name}: {plan.words}", highlight=False)
    _go_on(desk, started, timeout=timeout if wait else None, as_json=as_json)


def _go_on(desk: Desk, execution: Execution, *, timeout: float | None, as_json: bool) -> None:
    """Follow what was started, where there is a timeout, and end as it ends."""
    if timeout is not None:
        execution = desk.executions.wait(execution, told=tell, timeout_seconds=timeout)
    report(desk, execution, as_json=as_json)
    if (error := execution.outcome()) is not None:
        raise error


def settings_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE of the command line, by key. Raises UsageError where one has no value."""
    split = [pair.partition("=") for pair in pairs]
    if wrong := [key for key, equals, _ in split if not equals]:
        raise click.UsageError(f"--set {wrong[0]}: give it a value, for example {wrong[0]}=1")
    return {key: value for key, _, value in split}


@workflows.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the workflows there are, what is deployed of them, and their last execution.

    \b
    Examples:
      mlops workflows list
      mlops workflows list --json
    """
    rows = _desk().overview()
    if as_json:
        print_json(rows)
        return
    columns = ("workflow", "deployed_at", "code_sha256", "last_execution", "status")
    titles = ("workflow", "deployed at (UTC)", *columns[2:])
    print_table(titles, [[_short(row[column]) for column in columns] for row in rows])


def _short(value: Any) -> str:
    """Enough of a time or a hash to tell it from others."""
    return "" if value is None else str(value)[:19]
