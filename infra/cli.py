"""`mlops infra`: synthesise, compare and deploy the infrastructure of an environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.console import err, json_option, out, print_json, print_table, progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from infra.changes import Change
    from infra.cloudformation import Event, Plan
    from infra.deploy import Deployer
    from infra.synth import Stack
    from mlops.aws import Aws
    from mlops.names import Names

_SIGNS = {"add": "+", "change": "~", "may_replace": "?", "replace": "±", "remove": "-"}
_STYLES = {
    "add": "green",
    "change": "yellow",
    "may_replace": "yellow",
    "replace": "red",
    "remove": "red",
}

env_option = click.option(
    "--env",
    type=click.Choice(["local", "dev", "stage", "prod"]),
    envvar="MLOPS_ENV",
    help="The environment; else MLOPS_ENV.",
)


@click.group()
def infra() -> None:
    """Synthesise, compare and deploy the infrastructure of an environment.

    \b
    Examples:
      mlops infra synth --env dev
      mlops infra diff
      mlops infra deploy
    """


@infra.command()
@env_option
@click.option("--out", "target", type=click.Path(path_type=Path), help="Copy the templates here.")
@json_option
def synth(env: str | None, target: Path | None, as_json: bool) -> None:
    """Write the CloudFormation templates; needs no AWS and no node.

    \b
    Example:
      mlops infra synth --env dev --out build/templates
    """
    from infra.synth import synthesize

    stacks = synthesize(_names(env))
    for stack in stacks if target else ():
        assert target is not None
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{stack.name}.json").write_text(stack.body, encoding="utf-8")
    if as_json:
        print_json({stack.name: stack.template for stack in stacks})
        return
    print_table(
        ("stack", "resources", "bytes"),
        ((stack.name, len(stack.resources), len(stack.body)) for stack in stacks),
    )


@infra.command()
@env_option
@json_option
def diff(env: str | None, as_json: bool) -> None:
    """Show what a deployment would add, change, replace and remove; changes nothing.

    \b
    Example:
      mlops infra diff --json
    """
    names, stacks, deployer = _prepare(env)
    from infra.packaging import package_lambdas

    plans = deployer.preview(stacks, package_lambdas(env=names.env))
    _show_plans(plans, as_json=as_json)


@infra.command()
@env_option
@click.option("--dry-run", is_flag=True, help="Show what would change, as 'diff' does.")
@click.option("--allow-delete", is_flag=True, help="Remove resources that hold data, too.")
@json_option
def deploy(env: str | None, dry_run: bool, allow_delete: bool, as_json: bool) -> None:
    """Bring the environment's stacks to their templates; running it again changes nothing.

    What holds data is removed or replaced with --allow-delete only. A failed stack is rolled
    back by CloudFormation, and the resource that failed is named.

    \b
    Examples:
      mlops infra deploy
      mlops infra deploy --env dev --dry-run
    """
    names, stacks, deployer = _prepare(env)
    from infra.packaging import package_lambdas

    package = package_lambdas(env=names.env)
    if dry_run:
        _show_plans(deployer.preview(stacks, package), as_json=as_json)
        return
    with progress() as bar:
        deployed = deployer.deploy(
            stacks, package, watcher=_Watcher(bar), allow_delete=allow_delete
        )
    if as_json:
        print_json({"changes": deployed.changes, "outputs": deployed.outputs})


@infra.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(folder: Path) -> None:
    """Make one document of what a plan wrote to a folder, for whoever reviews the change.

    A part that is missing is named: the command that makes it failed, or never ran.

    \b
    Example:
      mlops infra report build/plan > build/plan/report.md
    """
    from infra.report import PARTS, render

    texts = {name: folder / f"{name}.txt" for name in PARTS}
    click.echo(render({n: p.read_text(encoding="utf-8") for n, p in texts.items() if p.exists()}))


@infra.command(name="env")
@env_option
@json_option
def environment(env: str | None, as_json: bool) -> None:
    """Print the settings of the deployed environment, to be evaluated by a shell.

    \b
    Example:
      eval "$(mlops infra env --env dev)"
    """
    from infra.stacks.profile import profile_of, target_setting

    names, stacks, deployer = _prepare(env)
    variables = {
        "MLOPS_PROJECT": names.project,
        "MLOPS_ENV": names.env,
        "MLOPS_ACCOUNT": names.account,
        "MLOPS_REGION": names.region,
        "AWS_REGION": names.region,
        "AWS_DEFAULT_REGION": names.region,
        **target_setting(profile_of(names.env)),
        **deployer.settings(stacks),
    }
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _prepare(env: str | None) -> tuple[Names, list[Stack], Deployer]:
    from infra.deploy import Deployer
    from infra.synth import synthesize
    from mlops.aws import Aws

    aws = Aws()
    names = _names(env, aws)
    deployer = Deployer(Aws(region=names.region), names)
    _tell_of_absent(names)
    return names, synthesize(names), deployer


def _names(env: str | None, aws: Aws | None = None) -> Names:
    """The environment's names; with an AWS at hand, account and region may come from it."""
    from mlops.settings import load_settings

    given = dict(os.environ)
    if env:
        given["MLOPS_ENV"] = env
    if aws is not None and aws.session.region_name:
        given.setdefault("MLOPS_REGION", aws.session.region_name)
    if aws is not None and not given.get("MLOPS_ACCOUNT"):
        given["MLOPS_ACCOUNT"] = _own_account(given.get("MLOPS_ENV", ""), aws)
    return load_settings(given).names


def _own_account(env: str, aws: Aws) -> str:
    """The account of whoever acts, where an environment may be in any.

    Raises Refused where it must be named: the wrong credentials would name themselves.
    """
    from infra.stacks.profile import PROFILES
    from mlops.errors import Refused

    if env in PROFILES and PROFILES[env].names_account:
        raise Refused(
            f"Nobody says which account '{env}' belongs to, and it is not taken from whoever acts "
            f"({aws.identity}). Set MLOPS_ACCOUNT to its twelve digits; Jenkins takes them from "
            f"the credential 'mlops-{env}-account'."
        )
    return aws.identity.split(":")[4]


def _tell_of_absent(names: Names) -> None:
    from infra.stacks.profile import profile_of

    if profile_of(names.env).cache_node is None:
        err.print(
            f"{names.prefix}-cache: not part of '{names.env}'; "
            "its online store is the redis-server of 'mlops local up'",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )


def _show_plans(plans: Sequence[Plan], *, as_json: bool) -> None:
    changes = [change for plan in plans for change in plan.changes]
    if as_json:
        print_json(changes)
        return
    for plan in plans:
        out.print(f"{plan.stack.name}: {_summary(plan.changes)}", highlight=False)
        for change in plan.changes:
            out.print(
                _line(change),
                style=_STYLES[change.action],
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _summary(changes: Sequence[Change]) -> str:
    counts = {action: sum(c.action == action for c in changes) for action in _SIGNS}
    told = [f"{count} to {action.replace('_', ' ')}" for action, count in counts.items() if count]
    return ", ".join(told) or "unchanged"


def _line(change: Change) -> str:
    what = f"  {_SIGNS[change.action]} {change.type} {change.name or change.resource}"
    properties = f" ({', '.join(change.properties)})" if change.properties else ""
    return what + properties + ("  LOSES ITS DATA" if change.loses_data else "")


class _Watcher:
    """Tells of a deployment on standard error, with a bar per stack where a person watches."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def planned(self, plan: Plan) -> None:
        err.print(f"{plan.stack.name}: {_summary(plan.changes)}", highlight=False)
        self._tasks[plan.stack.name] = self._bar.add_task(plan.stack.name, total=len(plan.changes))

    def happened(self, event: Event) -> None:
        if event.failed or "ROLLBACK_IN_PROGRESS" in event.status:
            told = f"  {event.status} {event.type} {event.resource}: {event.reason}"
            err.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        elif event.status.endswith("_COMPLETE") and event.resource != event.stack:
            self._bar.advance(self._tasks[event.stack])
