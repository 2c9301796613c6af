"""`mlops workflows status|watch|logs`: what an execution does, and what it costs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlops.cli.console import err, json_option, out, print_json, print_table
from mlops.clock import SystemClock
from mlops.errors import NotFound
from pipelines.training.pricing import run_price, step_price

if TYPE_CHECKING:
    from mlops.prices import Prices
    from pipelines.training.desk import Desk
    from pipelines.training.executions import Execution
    from pipelines.training.history import Step

_name = click.argument("workflow")
_execution = click.argument("execution", required=False)
_named = click.option("--name", help="The same as EXECUTION; the newest without either.")
_COLUMNS = ("step", "status", "seconds", "estimate", "job")


def _desk() -> Desk:
    from pipelines.training.desk import open_desk  # noqa: PLC0415  # boto3 takes its time

    return open_desk()


@click.command()
@_name
@_execution
@_named
@json_option
def status(workflow: str, execution: str | None, name: str | None, as_json: bool) -> None:
    """Show an execution's steps, what they cost, and what failed.

    \b
    Examples:
      mlops workflows status fraud
      mlops workflows status fraud 20180815-090000-1a2b --json
    """
    desk = _desk()
    found = desk.execution(workflow, execution or name)
    if as_json:
        report(desk, found, as_json=True)
        return
    out.print(_table(found, desk.executions.steps(found), desk.prices))
    _show_end(found)


@click.command()
@_name
@_execution
@click.option("--timeout", type=float, default=86_400, show_default=True, help="Seconds to watch.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each change.")
def watch(workflow: str, execution: str | None, timeout: float, as_json: bool) -> None:
    """Follow an execution until it ends: steps, seconds, estimated price. Ends as it ended.

    Exits with 0 after success, 5 when the gate refused, 6 when another run was in its way, 1 when
    it failed. To stop watching stops nothing.

    \b
    Examples:
      mlops workflows watch fraud
      mlops workflows watch fraud 20180815-090000-1a2b --json
    """
    desk = _desk()
    found = desk.execution(workflow, execution)
    follow = _follow_lines if as_json else _follow_live if out.is_terminal else _follow_plain
    ended = follow(desk, found, timeout)
    if (error := ended.outcome()) is not None:
        raise error


def _follow_live(desk: Desk, execution: Execution, timeout: float) -> Execution:
    with Live(console=out, auto_refresh=False) as live:
        for now, steps in desk.executions.follow(execution, timeout_seconds=timeout):
            live.update(_table(now, steps, desk.prices), refresh=True)
            execution = now
    _show_end(execution)
    return execution


def _follow_plain(desk: Desk, execution: Execution, timeout: float) -> Execution:
    ended = desk.executions.wait(execution, told=tell, timeout_seconds=timeout)
    out.print(_table(ended, desk.executions.steps(ended), desk.prices))
    _show_end(ended)
    return ended


def _follow_lines(desk: Desk, execution: Execution, timeout: float) -> Execution:
    def told(step: Step) -> None:
        click.echo(json.dumps({"event": "step"} | priced(step, desk.prices)))

    ended = desk.executions.wait(execution, told=told, timeout_seconds=timeout)
    click.echo(json.dumps({"event": "end"} | facts(desk, ended)))
    return ended


@click.command()
@_name
@click.argument("step", required=False)
@_named
@click.option("--step", "only", help="The same as STEP; all steps without either.")
@json_option
def logs(
    workflow: str, step: str | None, name: str | None, only: str | None, as_json: bool
) -> None:
    """Print what the jobs of an execution logged.

    \b
    Examples:
      mlops workflows logs fraud
      mlops workflows logs fraud Train
      mlops workflows logs fraud Train --name 20180815-090000-1a2b
    """
    desk = _desk()
    wanted = step or only
    jobs = [s for s in desk.executions.steps(desk.execution(workflow, name)) if s.job]
    chosen = [s for s in jobs if wanted is None or s.name.lower() == wanted.lower()]
    if wanted and not chosen:
        known = ", ".join(s.name for s in jobs) or "none yet"
        raise NotFound(f"There is no step '{wanted}' with a log. There are: {known}.")
    lines = {one.name: desk.executions.log(one) for one in chosen}
    if as_json:
        print_json(lines)
        return
    for title, text in lines.items():
        out.rule(title, align="left")
        click.echo("\n".join(text))


def tell(step: Step) -> None:
    """Progress, on standard error, beside JSON too."""
    if step.taken_from:
        err.print(f"  {step.name}: taken from run {step.taken_from}", highlight=False)
    if step.job is None and step.status != "FAILED":
        return  # states between the jobs take no time worth telling
    if step.status == "RUNNING":
        err.print(f"  {step.name} …", style="dim", highlight=False)
    else:
        seconds = f"{step.seconds:.1f} s" if step.seconds is not None else ""
        err.print(f"  {step.name} {step.status.lower()} {seconds}", highlight=False)


def report(desk: Desk, execution: Execution, *, as_json: bool) -> None:
    """All that is known of an execution as JSON; else, once it has ended, how."""
    if as_json:
        print_json(facts(desk, execution))
    elif execution.ended:
        _show_end(execution)


def facts(desk: Desk, execution: Execution) -> dict[str, Any]:
    """An execution with its steps, and what all of it costs."""
    steps, prices = desk.executions.steps(execution), desk.prices
    total = run_price(steps, prices, now=_now()) if prices else None
    about = {"estimate": _rounded(total), "currency": prices and prices.currency}
    dumped = [priced(step, prices) for step in steps]
    return execution.model_dump(mode="json") | about | {"steps": dumped}


def priced(step: Step, prices: Prices | None) -> dict[str, Any]:
    """A step as JSON, with its estimated price: null where that is not known."""
    price = step_price(step, prices, now=_now()) if prices else None
    return step.model_dump(mode="json") | {"estimate": _rounded(price)}


def _table(execution: Execution, steps: list[Step], prices: Prices | None) -> Table:
    now = _now()
    table = Table(*_COLUMNS, title=f"{execution.name} {execution.status}", title_justify="left")
    for step in steps:
        seconds = step.seconds if step.seconds is not None else (now - step.started).total_seconds()
        price = step_price(step, prices, now=now) if prices else None
        word = f"TAKEN from run {step.taken_from}" if step.taken_from else step.status
        cells = (step.name, word, f"{seconds:.1f}", _money(price if step.job else 0.0))
        table.add_row(*(Text(cell) for cell in (*cells, step.job or "")))
    if prices is not None:
        total = _money(run_price(steps, prices, now=now)) or "not known"
        table.caption = f"{total} {prices.currency}, estimated by prices of {prices.dated}"
    return table


def _money(price: float | None) -> str:
    return f"{price:.4f}" if price else ""


def _rounded(price: float | None) -> float | None:
    return None if price is None else round(price, 6)


def _now() -> datetime:
    """The machines' time, which is Step Functions' too, whatever the platform's clock says."""
    return SystemClock().now()


def _show_end(execution: Execution) -> None:
    if execution.cause:
        out.print(execution.cause, markup=False, soft_wrap=True)
    if execution.metrics:
        rows = [(name, f"{value:.6g}") for name, value in execution.metrics.items()]
        print_table(["metric", "value"], rows)
    if execution.package_arn:
        version = execution.package_arn.rsplit("/", 1)[1]
        out.print(
            f"Registered as version {version}: mlops models show {execution.workflow} {version}",
            highlight=False,
        )
