"""`mlops deploy`: see what endpoints serve, and change it, on the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlops.cli.console import json_option, out, print_json, print_table

if TYPE_CHECKING:
    from mlops.deploying.desk import DeployDesk
    from mlops.deploying.moves import Rule

Command = TypeVar("Command", bound=Callable[..., Any])

_endpoint = click.argument("endpoint")
_version = click.option("--version", type=click.IntRange(min=1), help="An approved version.")


def _changing(command: Command) -> Command:
    """What every command takes that changes an endpoint."""
    options = (
        json_option,
        click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing."),
        click.option("--reason", required=True, help="Why; kept on record for good."),
        _endpoint,
    )
    for option in options:
        command = option(command)
    return command


@click.group()
def deploy() -> None:
    """What endpoints serve: look, roll back, pause, freeze, set traffic by hand.

    Approving a version ('mlops models approve') is what deploys it, by the strategy of its
    model's settings. These commands step in.

    \b
    Examples:
      mlops deploy status
      mlops deploy rollback fraud --reason "alerts doubled, see INC-40"
      mlops deploy pause fraud --reason "wait for the weekend's figures"
      mlops deploy canary fraud 4 --weight 0.05 --reason "RISK-12"
      mlops deploy history fraud
    """


def _desk() -> DeployDesk:
    from mlops.deploying.desk import open_deploy_desk
    from mlops.settings import load_settings

    return open_deploy_desk(load_settings())


@deploy.command()
@click.argument("endpoint", required=False)
@click.option("--watch", is_flag=True, help="Keep looking, once a second, until Ctrl-C.")
@json_option
def status(endpoint: str | None, watch: bool, as_json: bool) -> None:
    """Show what an endpoint serves, or every endpoint; who changed it last, and why.

    \b
    Examples:
      mlops deploy status
      mlops deploy status fraud --watch
      mlops deploy status fraud --json | jq .canary.weight
    """
    from mlops.deploying import tables
    from mlops.deploying.watching import watch_statuses

    desk = _desk()
    if watch:
        watch_statuses(lambda: desk.describe(endpoint))
        return
    found = desk.describe(endpoint)
    if as_json:
        print_json(found[0] if endpoint else found)
    elif not found:
        out.print("Nothing is deployed. Approve a version: mlops models approve")
    else:
        print_table(*tables.statuses(found))


@deploy.command()
@_changing
@_version
def promote(endpoint: str, version: int | None, **how: Any) -> None:
    """Let the version on trial, or an approved one that you name, take over now.

    \b
    Examples:
      mlops deploy promote fraud --reason "a week at half of the traffic is enough, RISK-12"
      mlops deploy promote fraud --version 3 --reason "the fix is in the caller, INC-40"
    """
    from mlops.deploying.moves import promote as rule

    _change("promote", endpoint, rule(version), **how)


@deploy.command()
@_changing
@_version
def rollback(endpoint: str, version: int | None, **how: Any) -> None:
    """Put the version before back, live in seconds; what is on trial goes first.

    With a rollout under way or a canary set by hand, that one is taken back and the stable
    version stays. Otherwise the next version in line is stable again. What is taken back stays
    approved, and does not come back by itself.

    \b
    Examples:
      mlops deploy rollback fraud --reason "alerts doubled, see INC-40"
      mlops deploy rollback fraud --version 2 --reason "3 has the same fault, INC-40"
    """
    from mlops.deploying.moves import roll_back

    _change("rollback", endpoint, roll_back(version), **how)


@deploy.command()
@_changing
def pause(endpoint: str, **how: Any) -> None:
    """Keep a rollout in its stage; it is still taken back where it fails.

    \b
    Example:
      mlops deploy pause fraud --reason "nobody is here before Monday"
    """
    from mlops.deploying.moves import pause as rule

    _change("pause", endpoint, rule, **how)


@deploy.command()
@_changing
def resume(endpoint: str, **how: Any) -> None:
    """Let a paused rollout go on.

    \b
    Example:
      mlops deploy resume fraud --reason "Monday"
    """
    from mlops.deploying.moves import resume as rule

    _change("resume", endpoint, rule, **how)


@deploy.command()
@_changing
def freeze(endpoint: str, **how: Any) -> None:
    """Refuse every change until 'unfreeze'; approvals wait.

    What must not serve is taken out all the same: a version that is rejected, and one on trial
    that leaves its bounds.

    \b
    Example:
      mlops deploy freeze fraud --reason "year-end closing"
    """
    from mlops.deploying.moves import freeze as rule

    _change("freeze", endpoint, rule, **how)


@deploy.command()
@_changing
def unfreeze(endpoint: str, **how: Any) -> None:
    """Allow changes again; approvals that waited begin within a minute.

    \b
    Example:
      mlops deploy unfreeze fraud --reason "closed"
    """
    from mlops.deploying.moves import unfreeze as rule

    _change("unfreeze", endpoint, rule, **how)


@deploy.command()
@_changing
@click.argument("version", type=click.IntRange(min=1))
@click.option(
    "--weight",
    type=click.FloatRange(0, 1, max_open=True),
    required=True,
    help="Its share of all traffic, below 1; 0 takes it out.",
)
@click.option("--key", help="The id that always meets the same version, for example customer_id.")
def canary(endpoint: str, version: int, weight: float, key: str | None, **how: Any) -> None:
    """Give an approved version a share of the traffic, by hand. Nobody judges it but you.

    \b
    Examples:
      mlops deploy canary fraud 4 --weight 0.05 --key customer_id --reason "RISK-12"
      mlops deploy canary fraud 4 --weight 0 --reason "seen enough"
    """
    from mlops.deploying.moves import set_canary

    _change("canary", endpoint, set_canary(version, weight, key), **how)


@deploy.command()
@_changing
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option("--off", is_flag=True, help="Without a shadow from now on.")
def shadow(endpoint: str, version: int | None, share: float, off: bool, **how: Any) -> None:
    """Let an approved version score what others answer; nobody waits for it.

    \b
    Examples:
      mlops deploy shadow fraud 5 --share 0.5 --reason "RISK-12"
      mlops deploy shadow fraud --off --reason "seen enough"
    """
    from mlops.deploying.moves import set_shadow

    if off == (version is not None):
        raise click.UsageError("Name a version, or give --off.")
    _change("shadow", endpoint, set_shadow(version, share), **how)


@deploy.command()
@_changing
@click.option("--timeout-ms", type=click.FloatRange(0, 60_000, min_open=True))
@click.option("--fallback-score", type=float, help="What callers get where a score is late.")
@click.option("--clear", is_flag=True, help="Leave both to the models' manifests.")
def answering(
    endpoint: str, timeout_ms: float | None, fallback_score: float | None, clear: bool, **how: Any
) -> None:
    """Overrule the deadline and the fallback that the models' manifests name.

    \b
    Examples:
      mlops deploy answering fraud --timeout-ms 40 --fallback-score 0.5 --reason "INC-40"
      mlops deploy answering fraud --clear --reason "over"
    """
    from mlops.answering import Answering
    from mlops.deploying.moves import set_answering

    if clear == (timeout_ms is not None or fallback_score is not None):
        raise click.UsageError("Give --timeout-ms, --fallback-score or both, or --clear.")
    wanted = None if clear else Answering(timeout_ms=timeout_ms, fallback_score=fallback_score)
    _change("answering", endpoint, set_answering(wanted), **how)


@deploy.command()
@_endpoint
@json_option
def history(endpoint: str, as_json: bool) -> None:
    """Show every revision of an endpoint's document, and verify that the record is whole.

    Ends with exit code 1 when an entry was changed or lost, or the document was written around it.

    \b
    Example:
      mlops deploy history fraud
    """
    from mlops.deploying import tables
    from mlops.deploying.history import read_history
    from mlops.errors import MlopsError

    found = read_history(_desk().documents, endpoint)
    if as_json:
        entries = [entry.model_dump(mode="json") for entry in found.entries]
        print_json({"entries": entries, "problems": found.problems, "verified": found.holds})
    elif not found.entries:
        out.print(f"Endpoint '{endpoint}' has no changes on record.", highlight=False)
    else:
        print_table(*tables.record(found.entries), title=f"Changes of {endpoint}")
    if not found.holds:
        raise MlopsError(f"The record of '{endpoint}' does not hold: {'; '.join(found.problems)}.")


def _change(
    action: str, endpoint: str, rule: Rule, *, reason: str, dry_run: bool, as_json: bool
) -> None:
    from mlops.deploying.telling import difference, facts_of

    done = _desk().change(endpoint, action, rule, reason=reason, dry_run=dry_run)
    if as_json:
        facts = facts_of(action, done) if done else {"action": action, "endpoint": endpoint}
        print_json(facts | {"changed": done is not None, "dry_run": dry_run})
        return
    if done is None:
        out.print(f"Endpoint '{endpoint}' is so already. Nothing changed.", highlight=False)
        return
    start = "Would be: " if dry_run else ""
    out.print(f"{start}{facts_of(action, done)['message']}", highlight=False, markup=False)
    for line in difference(done):
        out.print(f"  {line}", highlight=False, markup=False)
