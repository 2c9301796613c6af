"""`mlops features schema`: the declared columns of feature tables, and the versions on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, out, print_json, print_table
from mlops.errors import InputError

if TYPE_CHECKING:
    from pipelines.features.schemas.evolution import SchemaReport
    from pipelines.features.session import Session

CHANGES_EXIT, BREAKING_EXIT = 10, 11
_SIGNS = {"added": "+", "removed": "-"}
_STATES = {
    "not recorded": "not on record yet; its next build records version 1",
    "as declared": "as declared: version {version}",
    "unfinished": "version {version} is on record, but readers do not see all of it yet: run "
    "'mlops features schema evolve {table}'",
    "differs": "the declared schema is not version {version}, which is on record",
    "evolved": "readers see version {version} now",
    "finished": "readers see version {version} now; an interrupted run had left it unfinished",
}
_tables = click.argument("table", nargs=-1)


@click.group()
def schema() -> None:
    """What the columns of feature tables are, were, and would become.

    \b
    Examples:
      mlops features schema show customer_spend
      mlops features schema diff
      mlops features schema evolve
    """


@schema.command()
@_tables
@click.option("--version", "number", type=click.IntRange(min=1), help="By default the newest.")
@json_option
def show(table: tuple[str, ...], number: int | None, as_json: bool) -> None:
    """Show a version of the schema, and the history of all.

    \b
    Examples:
      mlops features schema show
      mlops features schema show customer_spend --version 1
      mlops features schema show customer_spend --json
    """
    from pipelines.features.schemas.overview import show_schema

    session = _session()
    shown = [show_schema(session.data, wanted, number) for wanted in _chosen(table)]
    if as_json:
        print_json(shown)
        return
    for one in shown:
        _print_schema(one.model_dump())


@schema.command()
@_tables
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help=f"Exit {CHANGES_EXIT} when something differs, {BREAKING_EXIT} when it breaks readers.",
)
@json_option
def diff(table: tuple[str, ...], detailed_exitcode: bool, as_json: bool) -> None:
    """Compare the declared columns with those on record, and name whom a difference breaks.

    \b
    Examples:
      mlops features schema diff
      mlops features schema diff customer_spend --detailed-exitcode --json
    """
    from pipelines.features.buildlog import load_log
    from pipelines.features.schemas.evolution import report_schema

    session = _session()
    reports = [
        report_schema(wanted, load_log(session.data, wanted.name)[0], session.consumers)
        for wanted in _chosen(table)
    ]
    _print_reports(reports, as_json=as_json)
    if detailed_exitcode and any(report.differences for report in reports):
        raise SystemExit(BREAKING_EXIT if any(r.breaking for r in reports) else CHANGES_EXIT)


@schema.command()
@_tables
@click.option("--why", default="", help="Kept with the version; needed for --allow-breaking.")
@click.option("--allow-breaking", is_flag=True, help="Also do what breaks readers.")
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@json_option
def evolve(
    table: tuple[str, ...], why: str, allow_breaking: bool, dry_run: bool, as_json: bool
) -> None:
    """Make the declared columns the next version, and show it to readers in one step.

    \b
    Examples:
      mlops features schema evolve --dry-run
      mlops features schema evolve customer_spend
      mlops features schema evolve customer_spend --allow-breaking --why "cents, see PAY-12"
    """
    from pipelines.features.schemas.evolution import EvolveRequest, evolve_tables

    if allow_breaking and not dry_run and not why.strip():
        raise InputError("What breaks readers needs a reason. Add: --why REASON")
    session = _session()
    request = EvolveRequest(
        now=session.now,
        by=session.aws.identity,
        why=why.strip(),
        allow_breaking=allow_breaking,
        dry_run=dry_run,
    )
    reports = evolve_tables(
        _chosen(table),
        request,
        names=session.names,
        queries=session.athena,
        documents=session.data,
        find=session.consumers,
    )
    _print_reports(reports, as_json=as_json)
    if dry_run and not as_json:
        _say("Nothing was changed: a dry run.")


def _session() -> Session:
    from mlops.settings import load_settings
    from pipelines.features.session import Session

    return Session(load_settings())


def _chosen(names: tuple[str, ...]) -> list[Any]:
    from pipelines.features.tables import TABLES, find_table

    return [find_table(name) for name in names or TABLES]


def _print_reports(reports: list[SchemaReport], *, as_json: bool) -> None:
    if as_json:
        print_json(reports)
        return
    for report in reports:
        state = _STATES[report.state].format(table=report.table, version=report.version)
        _say(f"{report.table}: {state}")
        for difference in report.differences:
            sign = _SIGNS.get(difference.kind, "~")
            note = f" ({difference.note})" if difference.note else ""
            _say(f"  {sign} {difference.words}{note}")
        if report.breaking:
            columns = ", ".join(dict.fromkeys(d.column for d in report.breaking))
            _say(f"  breaks whoever reads {columns}:{'' if report.consumers else ' nobody known'}")
        for consumer in report.consumers:
            _say(f"    {consumer.words}: {', '.join(consumer.columns) or 'unknown'}")


def _print_schema(shown: dict[str, Any]) -> None:
    from mlops.registry.tables import person

    about = f"version {shown['version']}" if shown["version"] else "declared, not on record yet"
    columns = shown["columns"]
    print_table(
        ["column", "type", "values", "stored as", "description"],
        [
            [
                c["name"],
                c["type"],
                c["rule"],
                "" if c["stored"] == c["name"] else c["stored"],
                c["description"],
            ]
            for c in columns
        ],
        title=f"{shown['table']}: {about}",
    )
    if shown["history"]:
        print_table(
            ["version", "from", "by", "why", "changes"],
            [
                [
                    v["version"],
                    f"{v['at']:%Y-%m-%d %H:%M}",
                    person(v["by"]),
                    v["why"],
                    "\n".join(v["changes"]),
                ]
                for v in shown["history"]
            ],
        )


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
