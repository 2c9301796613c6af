"""`mlops models`: look at model versions, compare them, and decide on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from mlops.cli.console import json_option, out, print_json, print_table

if TYPE_CHECKING:
    from mlops.registry.desk import Desk

_version = click.argument("version", type=click.IntRange(min=1))
_reason = click.option("--reason", required=True, help="Why; kept on record for good.")


@click.group()
def models() -> None:
    """Registered model versions: list, compare, approve, reject.

    \b
    Examples:
      mlops models list fraud
      mlops models compare fraud 2 3
      mlops models approve fraud 3 --reason "AUC +0.01 on the same week, see RISK-12"
      mlops models history fraud
    """


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
@json_option
def compare(model: str, first: int, second: int, as_json: bool) -> None:
    """Compare the metrics and the lineage of two versions.

    \b
    Example:
      mlops models compare fraud 2 3
    """
    from mlops.registry import tables
    from mlops.registry.comparison import compare_versions

    registry = _desk().registry
    found = compare_versions(registry.get(model, first), registry.get(model, second))
    if as_json:
        print_json(found)
        return
    print_table(*tables.metrics(found), title=f"{model}: {first} and {second}")
    if found.changed:
        print_table(*tables.changes(found), title="Changed between them")


@models.command()
@click.argument("model")
@_version
@_reason
@json_option
def approve(model: str, version: int, reason: str, as_json: bool) -> None:
    """Approve a version; it is deployed within seconds.

    You must act as another person than who trained or submitted it. Running it again
    completes what was interrupted, and changes nothing where all is done.

    \b
    Example:
      mlops models approve fraud 3 --reason "AUC +0.01 on the same week, see RISK-12"
    """
    _decide("approve", model, version, reason, as_json=as_json)


@models.command()
@click.argument("model")
@_version
@_reason
@json_option
def reject(model: str, version: int, reason: str, as_json: bool) -> None:
    """Reject a version; where it is served, the one approved before it comes back.

    \b
    Example:
      mlops models reject fraud 3 --reason "alerts doubled since Tuesday"
    """
    _decide("reject", model, version, reason, as_json=as_json)


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


def _decide(
    action: Literal["approve", "reject"], model: str, version: int, reason: str, *, as_json: bool
) -> None:
    from mlops.registry import tables
    from mlops.registry.approval import Ask

    desk = _desk()
    outcome = desk.approvals.decide(Ask(model, version, action, reason, desk.who))
    if as_json:
        entry = outcome.entry.model_dump(mode="json", by_alias=True)
        print_json({"effect": outcome.effect, "entry": entry})
    else:
        out.print(tables.outcome(outcome), highlight=False, markup=False)


def _name(model: str | None) -> str:
    return f"Model '{model}' has" if model else "There are"
