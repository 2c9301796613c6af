"""`mlops models`: look at model versions, compare them, and decide on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mlops.cli.console import json_option, out, print_json, print_table
from mlops.registry.drift.cli import drift
from mlops.registry.webhooks.cli import webhook

if TYPE_CHECKING:
    from mlops.registry.desk import Desk

_DELIVERED = {"model", "version", "status"}
_version = click.argument("version", type=click.IntRange(min=1))
_ticket = click.option("--ticket", default="", help="The ticket it belongs to; kept on record.")
_reason = click.option("--reason", required=True, help="Why; kept on record for good.")


@click.group()
def models() -> None:
    """Registered model versions: list, compare, approve, reject.

    \b
    Examples:
      mlops models list fraud
      mlops models compare fraud 2 3
      mlops models check fraud 3
      mlops models approve fraud 3 --reason "AUC +0.01 on the same week" --ticket RISK-12
      mlops models history fraud
      mlops models drift fraud
    """


models.add_command(drift)
models.add_command(webhook)


def _desk() -> Desk:
    from mlops.registry.desk import open_desk
    from mlops.settings import load_settings

    return open_desk(load_settings())


@models.command("list")
@click.argument("model", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@json_option
def list_(model: str | None, limit: int, as_json: bool) -> None:
    """List a model's newest versions, or every model.

    \b
    Examples:
      mlops models list
      mlops models list fraud
      mlops models list fraud --json | jq '.[0].metrics'
    """
    from mlops.registry import tables

    desk = _desk()
    if model is None:
        newest = [desk.registry.versions(name, limit=1) for name in desk.registry.models()]
        versions = [version for found in newest for version in found]
    else:
        versions = desk.registry.versions(model, limit=limit)
    if as_json:
        print_json([desk.describe(version) for version in versions])
    elif not versions:
        start = f"mlops workflows run {model or 'fraud'}"
        out.print(f"{_name(model)} no versions yet. Train one: {start}", highlight=False)
    else:
        print_table(*tables.versions(versions, desk.serves))


@models.command()
@click.argument("model")
@_version
@json_option
def show(model: str, version: int, as_json: bool) -> None:
    """Show everything that is known of a version.

    \b
    Example:
      mlops models show fraud 3
    """
    from mlops.registry import tables

    desk = _desk()
    found = desk.registry.get(model, version)
    if as_json:
        print_json(desk.describe(found))
    else:
        print_table(*tables.version(found, desk.serves(found)), title=f"{model} {version}")


@models.command()
@click.argument("model")
@click.argument("first", type=click.IntRange(min=1))
@click.argument("second", type=click.IntRange(min=1))
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write a page with curves and plots; it needs nothing else to be read.",
)
@json_option
def compare(model: str, first: int, second: int, html: Path | None, as_json: bool) -> None:
    """Compare two versions: metrics with 95% intervals, data, inputs, size and latency.

    Which is better is said by the test rows that both were measured on, where there are any.

    \b
    Examples:
      mlops models compare fraud 2 3
      mlops models compare fraud 2 3 --html fraud-2-3.html
    """
    from mlops.registry import tables
    from mlops.registry.comparison import compare as compare_dossiers
    from mlops.registry.report import render_report

    desk = _desk()
    one, two = desk.dossier(model, first), desk.dossier(model, second)
    found = compare_dossiers(one, two)
    if html is not None:
        html.write_text(render_report(two, one), encoding="utf-8")
    if as_json:
        print_json(found)
        return
    for title, rows in tables.comparison(found):
        print_table(*rows, title=title)
    for reason in found.missing:
        out.print(f"not compared: {reason}", highlight=False, markup=False)
    if html is not None:
        out.print(f"Written: {html}", highlight=False, markup=False)


@models.command()
@click.argument("model")
@_version
@click.option("--ticket", default="", help="The ticket that you would name.")
@click.option("--anyone", is_flag=True, help="Leave out the rules on who approves.")
@json_option
def check(model: str, version: int, ticket: str, anyone: bool, as_json: bool) -> None:
    """Hold a version, and you, against the approval rules; changes nothing.

    Ends with exit code 5 when a rule is not kept, and says what to do.

    \b
    Examples:
      mlops models check fraud 3
      mlops models check fraud 3 --anyone --json
    """
    from mlops.errors import Refused
    from mlops.registry import tables
    from mlops.registry.approval import Ask
    from mlops.registry.checks import PERSONAL

    desk = _desk()
    outcomes = desk.approvals.check(Ask(model, version, "approve", "", desk.who, ticket))
    found = [check for check in outcomes if not (anyone and check.rule in PERSONAL)]
    if as_json:
        print_json(found)
    else:
        print_table(*tables.checks(found), title=f"{model} {version}")
    if failed := [check.rule for check in found if not check.passed]:
        raise Refused(f"Version {version} of '{model}' does not keep {', '.join(failed)}.")


@models.command()
@click.argument("model", required=False)
@click.option("--all", "every", is_flag=True, help="With --apply: every model of this checkout.")
@click.option("--apply", "applies", is_flag=True, help="Put the file's rules in force.")
@click.option("--dry-run", is_flag=True, help="With --apply: only say whether they differ.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Where the rules are; pipelines/MODEL/approval.toml without it.",
)
@json_option
def rules(
    model: str | None, every: bool, applies: bool, dry_run: bool, path: Path | None, as_json: bool
) -> None:
    """Show a model's approval rules that are in force, or apply those of a file.

    Jenkins applies what is in git; approvers cannot.

    \b
    Examples:
      mlops models rules fraud
      mlops models rules fraud --apply --dry-run
      mlops models rules fraud --apply --file pipelines/fraud/approval.toml
      mlops models rules --all --apply --dry-run
    """
    from mlops.registry import tables
    from mlops.registry.applying import apply_rules, plan_rules
    from mlops.registry.policy import load_rules

    if bool(model) == every or (every and (path or not applies)):
        raise click.UsageError("name one MODEL, or say --all --apply for every one")
    desk = _desk()
    if model is None:
        _apply_all(desk, dry_run=dry_run, as_json=as_json)
        return
    if not applies:
        shown = load_rules(desk.documents, model)
        said = tables.applied(shown)
    else:
        change = plan_rules(desk, model, path)
        if not dry_run:
            apply_rules(desk, change)
        shown, said = change.applied, tables.applying(change, dry_run=dry_run)
    if as_json:
        print_json({**shown.model_dump(mode="json"), "sha256": shown.rules.sha256, "said": said})
        return
    print_table(*tables.rules(shown.rules, desk.names), title=f"Approval rules of {model}")
    out.print(said, highlight=False, markup=False)


def _apply_all(desk: Desk, *, dry_run: bool, as_json: bool) -> None:
    """All are read before the first is applied."""
    from mlops.registry import tables
    from mlops.registry.applying import apply_rules, models_with_rules, plan_rules

    found = [plan_rules(desk, model, None) for model in models_with_rules()]
    for change in () if dry_run else found:
        apply_rules(desk, change)
    said = {one.applied.model: tables.applying(one, dry_run=dry_run) for one in found}
    if as_json:
        print_json(
            [
                one.applied.model_dump(mode="json")
                | {"changes": list(one.differences()), "said": said[one.applied.model]}
                for one in found
            ]
        )
    for change in () if as_json else found:
        click.echo(f"{change.applied.model}: {said[change.applied.model]}")
        for line in change.differences():
            click.echo(f"  ~ {line}")


@models.command()
@click.argument("model")
@_version
@_reason
@_ticket
@json_option
def approve(model: str, version: int, reason: str, ticket: str, as_json: bool) -> None:
    """Approve a version; it is deployed within seconds.

    You must act as another person than who trained or submitted it, and keep the other
    rules that 'mlops models check' shows. Where two approvals are asked for, the registry
    changes with the second. Running it again completes what was interrupted, and changes
    nothing where all is done.

    \b
    Example:
      mlops models approve fraud 3 --reason "AUC +0.01 on the same week" --ticket RISK-12
    """
    _decide("approve", model, version, reason, ticket, as_json=as_json)


@models.command()
@click.argument("model")
@_version
@_reason
@_ticket
@json_option
def reject(model: str, version: int, reason: str, ticket: str, as_json: bool) -> None:
    """Reject a version; where it is served, the one approved before it comes back.

    \b
    Example:
      mlops models reject fraud 3 --reason "alerts doubled since Tuesday"
    """
    _decide("reject", model, version, reason, ticket, as_json=as_json)


@models.command()
@click.argument("model")
@json_option
def history(model: str, as_json: bool) -> None:
    """Show who decided what and why, and verify that the record is whole.

    Ends with exit code 1 when an entry was changed or lost, or the registry was changed
    around the record.

    \b
    Example:
      mlops models history fraud
    """
    from mlops.errors import MlopsError
    from mlops.registry import tables
    from mlops.registry.history import read_history

    desk = _desk()
    found = read_history(desk.registry, desk.records, model)
    if as_json:
        print_json({**found.model_dump(mode="json", by_alias=True), "verified": found.holds})
    elif not found.entries:
        out.print(f"{_name(model)} no decisions on record.", highlight=False)
    else:
        print_table(*tables.entries(found.entries), title=f"Decisions on {model}")
    if not as_json:
        for sentence in found.unfinished:
            out.print(f"unfinished: {sentence}", highlight=False, markup=False)
    if not found.holds:
        raise MlopsError(f"The record of '{model}' does not hold: {'; '.join(found.problems)}.")
    if found.entries and not as_json:
        out.print(f"The record holds: {len(found.entries)} in an unbroken chain.", highlight=False)


@models.command()
@json_option
def deliver(as_json: bool) -> None:
    """Tell the rollout of every decision again; what it knows already changes nothing.

    For a registry in MLflow, of whose decisions 'approve' and 'reject' tell, and its webhooks:
    this makes good for those that were interrupted or lost. Run it on a schedule.

    \b
    Example:
      mlops models deliver
    """
    delivered = _desk().deliver_decisions()
    if as_json:
        print_json(
            [{"model": v.model, "version": v.version, "status": v.status} for v in delivered]
        )
    else:
        out.print(f"Told of {len(delivered)} versions.", highlight=False)


@models.command()
@json_option
def audit(as_json: bool) -> None:
    """Hold every model's registry state against its record.

    Ends with exit code 1 when a record does not hold, or the registry says what no entry
    explains: then somebody went around it. Decisions that have not reached the registry are
    listed, and are no failure.

    \b
    Examples:
      mlops models audit
      mlops models audit --json | jq '.[] | select(.problems != [])'
    """
    from mlops.errors import MlopsError
    from mlops.registry import tables
    from mlops.registry.history import audit as audit_models

    desk = _desk()
    found = audit_models(desk.registry, desk.records)
    if as_json:
        print_json([tables.verdict(history) for history in found])
    else:
        print_table(*tables.audit(found), title="Audit")
    broken = [history for history in found if not history.holds]
    if broken:
        told = "".join(f"\n- {h.model}: {problem}" for h in broken for problem in h.problems)
        raise MlopsError(f"{len(broken)} of {len(found)} models do not hold:{told}")


def _decide(
    action: Literal["approve", "reject"],
    model: str,
    version: int,
    reason: str,
    ticket: str,
    *,
    as_json: bool,
) -> None:
    from mlops.registry import tables
    from mlops.registry.approval import Ask

    desk = _desk()
    outcome = desk.approvals.decide(Ask(model, version, action, reason, desk.who, ticket))
    if outcome.entry.decides:
        desk.tell_rollout(desk.registry.get(model, version))
    if as_json:
        entry = outcome.entry.model_dump(mode="json", by_alias=True)
        print_json({"effect": outcome.effect, "entry": entry})
    else:
        out.print(tables.outcome(outcome), highlight=False, markup=False)


def _name(model: str | None) -> str:
    return f"Model '{model}' has" if model else "There are"
