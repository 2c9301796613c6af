"""`mlops features`: definitions and tables; the online store's commands are in `upsync.cli`."""

from __future__ import annotations

import shlex
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.console import (
    err,
    json_option,
    out,
    print_json,
    print_table,
    step_progress,
)
from mlops.errors import InputError, Refused
from pipelines.features.backup.cli import backup, backups, restore
from pipelines.features.downsync.cli import downsync
from pipelines.features.migration.cli import migrate_online
from pipelines.features.schemas.cli import schema
from pipelines.features.upsync.cli import runs, upsync, verify

if TYPE_CHECKING:
    from pipelines.features.apply import ApplyPlan
    from pipelines.features.build import BuildReport, BuildRequest
    from pipelines.features.changes import Change
    from pipelines.features.definitions import Definitions
    from pipelines.features.orphans import Orphan
    from pipelines.features.session import Session

CHANGES_EXIT, DELETIONS_EXIT = 10, 11
_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(dir_okay=False, path_type=Path)
_READ = click.Path(exists=True, dir_okay=False, path_type=Path)
_SIGNS = {"create": "+", "change": "~", "delete": "-"}


@click.group()
def features() -> None:
    """Plan and apply feature definitions, build their tables, and load them into Redis."""


features.add_command(schema)
features.add_command(downsync)


@features.command()
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help=f"Exit {CHANGES_EXIT} when something would change, {DELETIONS_EXIT} when something would "
    "be deleted.",
)
@click.option("--out", "target", type=_FILE, help="Write the plan there, for 'apply --plan'.")
@json_option
def plan(detailed_exitcode: bool, target: Path | None, as_json: bool) -> None:
    """Say what applying the feature repo would create, change and delete, and for whom.

    It names the services and models that read what changes, the model versions that
    would break, what loading it scans and costs, and what it adds to Redis. On a checkout of what
    was applied last, a plan that is not empty is drift: somebody changed the registry by another
    way ('--detailed-exitcode' tells a schedule).

    \b
    Examples:
      mlops features plan
      mlops features plan --out build/plan.json
      mlops features plan --detailed-exitcode --json
    """
    from pipelines.features.apply import plan_changes
    from pipelines.features.definitions import compile_plan
    from pipelines.features.impact import find_impact
    from pipelines.features.supply import load_columns
    from pipelines.features.upsync.state import Runs

    session = _session()
    tables = load_columns(session.data)
    definitions = _definitions(session)
    found = plan_changes(definitions, session.artifacts, tables=tables)
    desired = [compile_plan(service, definitions) for service in definitions.services]
    impact = find_impact(found.changes, desired, session.users, Runs(session.artifacts))
    found = found.model_copy(update={"impact": impact})
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(found.model_dump_json(indent=1), encoding="utf-8")
    _show_plan(found, as_json=as_json, done=False)
    if detailed_exitcode and not found.empty:
        raise SystemExit(DELETIONS_EXIT if found.deletions else CHANGES_EXIT)


@features.command()
@click.option("--allow-delete", is_flag=True, help="Delete what the repo no longer declares.")
@click.option("--plan", "shown", type=_READ, help="Refuse what this plan does not show.")
@click.option("--wait", type=click.FloatRange(min=0), default=0.0, help="Seconds, for another's.")
@json_option
def apply(allow_delete: bool, shown: Path | None, wait: float, as_json: bool) -> None:
    """Make the environment what the feature repo says; doing it twice changes nothing.

    One 'apply' runs at a time; another ends with exit code 6, or waits. A deleted view's rows go
    from the online store. Should Redis not answer then, or the command be interrupted, the next
    'apply' removes them.

    \b
    Examples:
      mlops features apply
      mlops features apply --plan build/plan.json
      mlops features apply --allow-delete --wait 60
    """
    from mlops.settings import load_settings
    from pipelines.features.apply import apply_changes
    from pipelines.features.lease import apply_leases
    from pipelines.features.upsync.site import OnlineSession

    looked_at = None if shown is None else _read_plan(shown)
    session = OnlineSession(load_settings())
    holder = f"{session.aws.identity} ({session.new_id()})"
    lease = apply_leases(session.artifacts).take(session.names.prefix, holder, wait=wait)
    try:
        with lease.kept(), step_progress() as report:
            remover = session.remover(told=lambda view, keys: report(f"keys of {view}", keys, None))
            done = apply_changes(
                _definitions(session),
                session.artifacts,
                allow_delete=allow_delete,
                remover=remover,
                shown=looked_at,
            )
    finally:
        lease.release()
    _show_plan(done, as_json=as_json, done=True)


@features.command()
@click.argument("table", nargs=-1)
@click.option("--from", "first", type=_DAY, help="The first day; the first with payments before.")
@click.option("--to", "last", type=_DAY, help="The last day; the last that can be built by now.")
@click.option("--rebuild", is_flag=True, help="Build days again, as a new generation.")
@click.option("--dry-run", is_flag=True, help="Say what would be built and build nothing.")
@json_option
def build(
    table: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the missing days of feature tables, up to the platform's clock.

    \b
    Examples:
      mlops features build
      mlops features build customer_spend --from 2018-07-01 --to 2018-07-31 --rebuild
    """
    from pipelines.features.build import BuildRequest

    session = _session()
    request = BuildRequest(
        now=session.now,
        built_by=session.aws.identity,
        new_id=session.new_id,
        first=_as_date(first),
        last=_as_date(last),
        rebuild=rebuild,
        dry_run=dry_run,
    )
    reports = _build(session, table, request)
    _tell_of_builds(session, reports)
    _show_builds(reports, as_json=as_json)


def _build(session: Session, names: tuple[str, ...], request: BuildRequest) -> list[BuildReport]:
    """Those tables, or all."""
    from pipelines.data.ledger import load_ledger
    from pipelines.features.build import build_table
    from pipelines.features.tables import TABLES, find_table

    tables = [find_table(name) for name in names or TABLES]
    payments, _ = load_ledger(session.data)
    with step_progress() as report:
        return [
            build_table(
                wanted,
                request,
                names=session.names,
                queries=session.athena,
                documents=session.data,
                footers=session.footers,
                payments=payments,
                progress=report,
            )
            for wanted in tables
        ]


@features.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the applied views, how far they are built, and how far they are online.

    \b
    Example:
      mlops features list
    """
    from pipelines.features.overview import list_views

    rows = list_views(_session())
    if as_json:
        print_json(rows)
        return
    print_table(
        ["view", "entity", "features", "ttl", "pii", "built to", "online to"],
        [
            [
                r.view,
                ", ".join(r.join_keys),
                len(r.features),
                f"{r.ttl.days}d" if r.ttl.days else r.ttl,
                "yes" if r.pii else "no",
                r.built_to,
                f"{r.online_to:%Y-%m-%d}" if r.online_to else None,
            ]
            for r in rows
        ],
    )


@features.command()
def env() -> None:
    """Print the feature repo's variables, for Feast's own command; they hold the Redis password.

    \b
    Example:
      eval "$(mlops features env)" && cd feature_repo && feast feature-views list
    """
    from mlops.feast import feast_environment

    session = _session()
    for name, value in feast_environment(session.settings, session.aws).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _read_plan(path: Path) -> ApplyPlan:
    from pydantic import ValidationError

    from pipelines.features.apply import ApplyPlan

    try:
        return ApplyPlan.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        raise InputError(
            f"{path} is no plan. Make one: 'mlops features plan --out {path}'."
        ) from exc


def _session() -> Session:
    from mlops.settings import load_settings
    from pipelines.features.session import Session

    return Session(load_settings())


def _definitions(session: Session) -> Definitions:
    from mlops.feast import feast_environment
    from pipelines.features.definitions import load_definitions

    # Without Redis: whoever applies needs no password of the online store.
    environment = feast_environment(session.settings, session.aws, online=False)
    return load_definitions(session.settings.feature_repo.resolve(), environment, online=False)


def _as_date(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _show_plan(found: ApplyPlan, *, as_json: bool, done: bool) -> None:
    for warning in found.warnings:
        err.print(f"Warning: {warning}", highlight=False, soft_wrap=True)
    if as_json:
        print_json(found)
        return
    _show_changes(found)
    if found.empty:
        out.print("Nothing to change.")
        return
    for line in found.impact.words if found.impact else ():
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    counts = {a: sum(c.action == a for c in found.changes) for a in _SIGNS}
    words = (
        "created, {change} changed, {delete} deleted"
        if done
        else ("to create, {change} to change, {delete} to delete")
    )
    out.print(("{create} " + words + ".").format(**counts), highlight=False)


def _show_changes(found: ApplyPlan) -> None:
    for change in found.changes:
        _show_change(change)
    for service in found.services:
        out.print(f"~ compiled plan {service}", highlight=False)
    for view in found.flows:
        out.print(f"~ pushes and logs of {view}", highlight=False)
    for view in found.removals:
        rows = f"{found.removed[view]:,} rows" if view in found.removed else "rows"
        out.print(f"- {rows} of {view} from the online store", highlight=False)


def _show_change(change: Change) -> None:
    out.print(f"{_SIGNS[change.action]} {change.kind} {change.name}", highlight=False)
    for path, (before, after) in change.fields.items():
        out.print(f"    {path}: {before} -> {after}", highlight=False, markup=False)


def _tell_of_builds(session: Session, reports: list[BuildReport]) -> None:
    """Let workflows start that wait for days of a feature table; once all tables are built."""
    from mlops.bus import EventBus, tell_arrivals

    built = [r for r in reports if r.days and not r.dry_run]
    facts = [{"table": r.table, "days": r.days, "rows": r.rows, "last": r.last} for r in built]
    if facts:
        tell_arrivals(EventBus(session.aws), facts)


def _show_builds(reports: list[BuildReport], *, as_json: bool) -> None:
    if as_json:
        print_json(reports)
        return
    print_table(
        ["table", "generation", "days", "first", "last", "rows"],
        [
            [
                r.table,
                r.generation,
                r.days,
                r.first,
                r.last,
                "" if r.rows is None else f"{r.rows:,}",
            ]
            for r in reports
        ],
        title="would build" if any(r.dry_run for r in reports) else "built",
    )
    for report in reports:
        if report.stale_from:
            out.print(
                f"{report.table}: payments arrived late or were corrected for the snapshots from "
                f"{report.stale_from}. Correct them: mlops features build {report.table} --from "
                f"{report.stale_from} --rebuild",
                highlight=False,
                soft_wrap=True,
            )


@features.command()
@click.option(
    "--older-than",
    "hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="Hours since a query began or a build wrote; what runs needs what it wrote.",
)
@click.option("--no-builds", is_flag=True, help="Leave the data bucket alone, as readers must.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed and remove nothing.")
@json_option
def sweep(hours: float, no_builds: bool, dry_run: bool, as_json: bool) -> None:
    """Remove what killed queries and builds left: staged objects, scratch tables, files.

    \b
    Examples:
      mlops features sweep --dry-run
      mlops features sweep --older-than 2
      mlops features sweep --no-builds
    """
    from mlops.stores.athena import staging

    session = _session()
    names = session.settings.names
    base, database = f"s3://{names.staging_bucket}", names.database
    before = staging.older_than(hours)
    left = staging.find_left(session.aws, database=database, base=base, before=before)
    if not dry_run:
        staging.sweep(session.aws, left, database=database)
    orphans = [] if no_builds else _sweep_builds(session, before, dry_run=dry_run)
    if as_json:
        builds = [
            {"table": o.table, "build": o.build, "objects": len(o.files), "bytes": o.bytes}
            for o in orphans
        ]
        found = {"tables": left.tables, "objects": left.objects, "builds": builds}
        print_json({"removed": not dry_run, **found})
        return
    done = "would remove" if dry_run else "removed"
    out.print(f"{done} {len(left.tables)} tables and {len(left.objects)} objects")
    for o in orphans:
        out.print(
            f"{done} build {o.build} of {o.table}: {len(o.files)} files, {o.bytes:,} bytes, newest "
            f"{o.newest:%Y-%m-%d %H:%M}",
            highlight=False,
            soft_wrap=True,
        )


def _sweep_builds(session: Session, before: datetime, *, dry_run: bool) -> list[Orphan]:
    from pipelines.features.orphans import BuildFiles, sweep_builds
    from pipelines.features.tables import TABLES

    files = BuildFiles(session.aws, session.names.data_bucket)
    try:
        return [
            orphan
            for table in TABLES
            for orphan in sweep_builds(table, session.data, files, before=before, dry_run=dry_run)
        ]
    except Refused as exc:
        raise Refused(
            f"{exc} Removing what builds left needs a role that builds; what queries left is "
            "removed. Without builds: 'mlops features sweep --no-builds'."
        ) from exc


for _command in (upsync, runs, verify, backup, backups, restore, migrate_online):
    features.add_command(_command)
