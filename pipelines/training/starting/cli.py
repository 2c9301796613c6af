"""`mlops workflows schedule`: what starts a model's workflow by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, out, print_json, print_table

if TYPE_CHECKING:
    from pipelines.training.starting.desk import StartDesk
    from pipelines.training.starting.rules import Rule, Step

_model = click.argument("model")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done and do nothing.")


@click.group()
def schedule() -> None:
    """What starts a model's workflow by itself: a schedule, new data, drift.

    The model's settings in git declare it (`starts`); 'set' puts that in force.

    \b
    Examples:
      mlops workflows schedule show
      mlops workflows schedule set credit --dry-run
      mlops workflows schedule pause credit
    """


def _desk() -> StartDesk:
    from pipelines.training.starting.desk import open_start_desk

    return open_start_desk()


@schedule.command()
@click.argument("model", required=False)
@json_option
def show(model: str | None, as_json: bool) -> None:
    """Show what is declared and what is in force, of one model or all.

    \b
    Examples:
      mlops workflows schedule show
      mlops workflows schedule show credit --json
    """
    rows = _desk().overview(model)
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("Nothing starts by itself, and nothing is declared to.")
        return
    columns = ("model", "why", "when", "state", "settings")
    print_table(columns, [[str(row[column] or "") for column in columns] for row in rows])


@schedule.command("set")
@click.argument("model", required=False)
@click.option("--all", "every", is_flag=True, help="Every model of this checkout.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="What such runs are told.")
@_dry_run
@json_option
def set_(
    model: str | None, every: bool, pairs: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Put in force what a model's settings declare, and nothing else of it.

    What was paused stays paused; what is no longer declared is removed. Safe to repeat: Jenkins
    does, after it deployed the workflow.

    \b
    Examples:
      mlops workflows schedule set credit --dry-run
      mlops workflows schedule set credit
      mlops workflows schedule set credit --set train_days=120
      mlops workflows schedule set --all
    """
    from pipelines.training.cli import chosen_names, settings_pairs
    from pipelines.training.settings import list_models

    if every and pairs:
        raise click.UsageError("--set is for one model: name it in place of --all")
    models = chosen_names((model,) if model else (), every, list_models)
    desk, changes = _desk(), settings_pairs(pairs)
    planned = {one: desk.set(one, changes, dry_run=dry_run) for one in models}
    if as_json:
        found = [
            {"model": one, "dry_run": dry_run, "rules": [_facts(s) for s in steps]}
            for one, steps in planned.items()
        ]
        print_json(found if every else found[0])
        return
    for one, steps in planned.items():
        _tell(one, steps, _WOULD if dry_run else _DONE)


def _tell(model: str, steps: Sequence[Step], words: Mapping[str, str]) -> None:
    if not steps:
        out.print(f"{model}: declares nothing that starts it by itself, and nothing does.")
    for step in steps:
        out.print(f"{model}: {words[step.action]} {_words(step.rule)}", highlight=False)


_DONE = {"create": "now starts:", "change": "changed:", "remove": "removed:", "keep": "unchanged:"}
_WOULD = {
    "create": "would start:",
    "change": "would change to:",
    "remove": "would remove:",
    "keep": "unchanged:",
}


@schedule.command()
@_model
@_dry_run
@json_option
def pause(model: str, dry_run: bool, as_json: bool) -> None:
    """Let nothing start the workflow by itself until 'resume'; by hand it runs.

    \b
    Example:
      mlops workflows schedule pause credit
    """
    _turn(_desk().pause, model, "paused", dry_run=dry_run, as_json=as_json)


@schedule.command()
@_model
@_dry_run
@json_option
def resume(model: str, dry_run: bool, as_json: bool) -> None:
    """Let what was paused start the workflow again. What came meanwhile is not made up for.

    \b
    Example:
      mlops workflows schedule resume credit
    """
    _turn(_desk().resume, model, "in force", dry_run=dry_run, as_json=as_json)


@schedule.command()
@_model
@_dry_run
@json_option
def remove(model: str, dry_run: bool, as_json: bool) -> None:
    """Remove what starts the workflow by itself; 'set' brings it back.

    \b
    Examples:
      mlops workflows schedule remove credit --dry-run
      mlops workflows schedule remove credit
    """
    _turn(_desk().remove, model, "removed", dry_run=dry_run, as_json=as_json)


def _turn(
    does: Callable[..., list[Rule]], model: str, done: str, *, dry_run: bool, as_json: bool
) -> None:
    rules = does(model, dry_run=dry_run)
    if as_json:
        facts = {"model": model, "action": done, "dry_run": dry_run}
        print_json(facts | {"rules": [rule.why for rule in rules]})
        return
    would = "would be " if dry_run else ""
    for rule in rules:
        out.print(f"{model}: {would}{done}: {_words(rule)}", highlight=False)


def _words(rule: Rule) -> str:
    return f"{rule.why}, {rule.words}" + (" (paused)" if rule.paused else "")


def _facts(step: Step) -> dict[str, Any]:
    rule = step.rule
    return {
        "why": rule.why,
        "when": rule.words,
        "action": step.action,
        "paused": rule.paused,
        "settings": rule.settings,
    }
