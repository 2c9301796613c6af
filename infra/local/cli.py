"""`mlops local`: the AWS on this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.local.settings import INFERENCE_PORT, PORT, PROXY_PORT, STATE, StateDir
from mlops.cli.console import json_option, out, print_json, print_table
from mlops.errors import Refused, Unavailable
from mlops.names import Role

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=STATE,
    show_default=True,
    help="Where everything of it is kept.",
)


@click.group()
def local() -> None:
    """Run the AWS on this machine that the platform works on without an account.

    \b
    Examples:
      mlops local up
      eval "$(mlops local env)"
      mlops local status --json
      mlops local down
    """


@local.command()
@state_option
@click.option("--port", default=PORT, show_default=True, help="0 takes any free port.")
@click.option("--proxy-port", default=PROXY_PORT, show_default=True)
@click.option("--inference-port", default=INFERENCE_PORT, show_default=True)
@click.option("--no-serving", is_flag=True, help="Leave the proxy and inference out.")
@click.option("--foreground", is_flag=True, help="Stay, and end it with Ctrl-C.")
def up(
    state: Path,
    port: int,
    *,
    proxy_port: int,
    inference_port: int,
    no_serving: bool,
    foreground: bool,
) -> None:
    """Start it in the background, with what was in it when it ended.

    Once the infrastructure is deployed, the proxy and the inference endpoint start with it.

    \b
    Examples:
      mlops local up
      mlops local up --port 4700 --state /var/tmp/mlops
      mlops local up --foreground
    """
    with _ended_with_this_command(state) if foreground else contextlib.nullcontext():
        running = _start(state, port)
        deployed = _serve(running, proxy_port, inference_port, wanted=not no_serving)
        _print_status(_status(state))
        _print_next(state, deployed=deployed)
        if foreground:
            _stay(running)


@contextlib.contextmanager
def _ended_with_this_command(state: Path) -> Iterator[None]:
    """From before it starts, so that a signal at any moment leaves nothing running."""
    from infra.local import lifecycle, serving

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        serving.stop(StateDir.at(state))
        lifecycle.stop(state)


def _start(state: Path, port: int) -> LocalAws:
    from infra.local import lifecycle

    if found := lifecycle.find(state):
        click.echo(f"The local AWS is already running: {found.endpoint} (process {found.pid}).")
        return found
    return lifecycle.start(state, port=port)


def _serve(running: LocalAws, proxy_port: int, inference_port: int, *, wanted: bool) -> bool:
    """Start the services where there is something to serve; says whether there is."""
    from infra.local import serving

    deployed = serving.is_deployed(running)
    if deployed and wanted:
        serving.start(
            running,
            proxy_port=proxy_port,
            inference_port=inference_port,
            clock=os.environ.get("MLOPS_CLOCK"),
        )
    return deployed


@local.command()
@state_option
def down(state: Path) -> None:
    """End it; its state stays for the next 'up'.

    \b
    Example:
      mlops local down
    """
    from infra.local import lifecycle, serving

    serving.stop(StateDir.at(state))
    stopped = lifecycle.stop(state)
    click.echo("The local AWS is down." if stopped else "The local AWS was not running.")


@local.command()
@state_option
@json_option
def status(state: Path, as_json: bool) -> None:
    """Say what runs, and where; exits with 1 when the local AWS does not answer.

    \b
    Example:
      mlops local status --json
    """
    found = _status(state)
    if as_json:
        print_json(found)
    else:
        _print_status(found)
    if not found["running"]:
        raise SystemExit(1)


@local.command()
@state_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(state: Path, yes: bool) -> None:
    """End it and delete its state: buckets, tables, models, queues, Redis, everything.

    \b
    Example:
      mlops local reset --yes
    """
    from infra.local import lifecycle, serving

    folder = StateDir.at(state)
    if not folder.root.exists():
        click.echo(f"There is no state at {folder.root}.")
        return
    if not folder.lock.exists():
        raise Refused(f"{folder.root} is not the state of a local AWS, so it is not deleted.")
    if not yes:
        click.confirm(f"Delete everything in {folder.root}?", abort=True)
    serving.stop(folder)
    lifecycle.stop(state)
    shutil.rmtree(folder.root)
    click.echo(f"Deleted {folder.root}.")


@local.command()
@state_option
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Act as this role.")
def env(state: Path, role: str | None) -> None:
    """Print the environment for a shell, as the account itself or as a role.

    \b
    Examples:
      eval "$(mlops local env)"
      eval "$(mlops local env --role approver)"
    """
    values = _running(state).environment(Role(role) if role else None)
    if "AWS_SESSION_TOKEN" not in values:
        click.echo("unset AWS_SESSION_TOKEN AWS_PROFILE")
    for name, value in values.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _running(state: Path) -> LocalAws:
    from infra.local import lifecycle

    found = lifecycle.find(state)
    if found is None:
        raise Unavailable("The local AWS is not running. Start it: mlops local up.")
    return found


def _status(state: Path) -> dict[str, Any]:
    from infra.local import lifecycle, redis, serving

    folder = StateDir.at(state)
    found, cache = lifecycle.find(state), redis.find(folder.redis)
    answers = found is not None and found.answers
    return {
        "running": answers,
        "state": str(folder.root),
        "endpoint": found.endpoint if found else None,
        "pid": found.pid if found else None,
        "redis": cache.url if cache else None,
        "deployed": serving.is_deployed(found) if found and answers else None,
        "serving": [
            {"name": s.name, "url": s.url, "pid": s.pid, "running": bool(s.process and s.answers)}
            for s in serving.find(folder)
        ],
    }


def _print_status(found: dict[str, Any]) -> None:
    rows = [("local AWS", found["endpoint"] or "", "up" if found["running"] else "down")]
    rows.append(("redis", found["redis"] or "", "up" if found["redis"] else "down"))
    rows += [(s["name"], s["url"], "up" if s["running"] else "down") for s in found["serving"]]
    print_table(["what", "where", "is"], rows)
    out.print(f"State and logs: {found['state']}", highlight=False, soft_wrap=True)


def _print_next(state: Path, *, deployed: bool) -> None:
    option = "" if state == STATE else f" --state {shlex.quote(str(state))}"
    click.echo("Next:")
    click.echo(f'  eval "$(mlops local env{option})"')
    click.echo("  mlops models list fraud" if deployed else "  mlops infra deploy")
    click.echo(f"  mlops local down{option}")


def _stay(running: LocalAws) -> None:
    from infra.local import lifecycle

    with contextlib.suppress(KeyboardInterrupt):
        while lifecycle.find(running.state.root) is not None:
            time.sleep(1)
