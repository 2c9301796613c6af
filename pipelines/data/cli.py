"""`mlops data`: payments in."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, out, print_json, print_table, step_progress
from pipelines.data.ingestion.cli import ingest, ingests
from pipelines.data.options import bad_share_option, currency_option, timezone_option

if TYPE_CHECKING:
    from pipelines.data.imports import ImportReport
    from pipelines.data.session import Session


@click.group()
def data() -> None:
    """Bring payments into the raw table, correct them, see what came; load other tables."""


data.add_command(ingest)
data.add_command(ingests)


@data.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@timezone_option
@currency_option
@bad_share_option
@click.option("--dry-run", is_flag=True, help="Check the file and import nothing.")
@json_option
def import_(
    file: Path,
    timezone: str | None,
    currency: str | None,
    max_bad_share: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import a file of payments (Parquet, ORC, CSV); its bad rows are kept aside with reasons.

    The columns may bear our names (payment_id, event_time, customer_id, terminal_id, amount,
    currency, is_fraud, fraud_scenario) or those of the Fraud Detection Handbook (TRANSACTION_ID,
    TX_DATETIME, ...). A file that was imported before is not imported again.

    \b
    Examples:
      mlops data import payments.parquet
      mlops data import transactions_raw.parquet --timezone UTC --currency EUR
    """
    report = _import(
        file,
        timezone=timezone,
        currency=currency,
        max_bad_share=max_bad_share,
        dry_run=dry_run,
    )
    _show(report, as_json=as_json)


@data.command()
@click.option("--customers", type=click.IntRange(1), default=1_000, show_default=True)
@click.option("--terminals", type=click.IntRange(1), default=2_000, show_default=True)
@click.option("--days", type=click.IntRange(1), default=140, show_default=True)
@click.option(
    "--start", type=click.DateTime(["%Y-%m-%d"]), default="2025-01-01", help="The first day."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a Parquet file here instead of importing the payments.",
)
@json_option
def simulate(
    customers: int,
    terminals: int,
    days: int,
    start: datetime,
    seed: int,
    target: Path | None,
    as_json: bool,
) -> None:
    """Simulate card payments with three kinds of fraud; the same seed gives the same bytes.

    \b
    Examples:
      mlops data simulate --seed 7
      mlops data simulate --customers 200 --days 60 --out payments.parquet
    """
    import tempfile

    from pipelines.data.simulator import World
    from pipelines.data.simulator import write as write_world

    world = World(
        customers=customers, terminals=terminals, days=days, start=start.date(), seed=seed
    )
    if target is not None:
        rows = write_world(world, target)
        if as_json:
            print_json({"file": target, "rows": rows})
        else:
            out.print(f"{rows:,} payments of {days} days in {target}", highlight=False)
        return
    with tempfile.TemporaryDirectory(prefix="mlops-simulate-") as folder:
        file = Path(folder) / f"simulated-{start:%Y%m%d}-{days}d-{customers}c-seed{seed}.parquet"
        write_world(world, file)
        _show(_import(file), as_json=as_json)


@data.command()
@click.argument("table")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file and load nothing.")
@json_option
def load(table: str, file: Path, dry_run: bool, as_json: bool) -> None:
    """Add a Parquet file's rows to a table of its own, for features or labels beside payments.

    The table is made where there is none, with the file's columns. The same file is loaded once.

    \b
    Examples:
      mlops data load loans loan_table.parquet
      mlops data load zipcodes zipcode_table.parquet --dry-run
    """
    from mlops.athena import Athena
    from pipelines.data.loading import load_file

    session = _session()
    report = load_file(
        table,
        file,
        names=session.settings.names,
        aws=session.aws,
        queries=Athena(session.settings, session.aws),
        documents=session.documents,
        dry_run=dry_run,
    )
    if report.state == "loaded":
        session.tell_arrival(table, rows=report.rows, source=report.file)
    if as_json:
        print_json(report)
        return
    columns = ", ".join(report.columns)
    out.print(f"{report.state}: {report.rows:,} rows of {report.file} in '{table}' ({columns})")


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the imports that readers see, oldest first.

    \b
    Example:
      mlops data list
    """
    from pipelines.data.manifests import list_manifests

    manifests = list_manifests(_session().documents)
    if as_json:
        print_json(manifests)
        return
    print_table(
        ["import", "file", "rows", "refused", "first day", "last day", "imported at"],
        [
            [
                m.import_id,
                m.file,
                f"{m.rows_imported:,}",
                f"{m.rows_refused:,}",
                *_ends(m.days),
                f"{m.imported_at:%Y-%m-%d %H:%M}",
            ]
            for m in manifests
        ],
    )


@data.command()
@click.argument("file", required=False)
@json_option
def history(file: str | None, as_json: bool) -> None:
    """Show what files brought, and until when readers saw it; FILE is a part of the name.

    \b
    Examples:
      mlops data history
      mlops data history day=2025-05-01/
    """
    from pipelines.data.ledger import load_ledger

    ledger, _ = load_ledger(_session().documents)
    found = [one for one in ledger.imports if file is None or file in one.file]
    if as_json:
        print_json(found)
        return
    print_table(
        ["file", "import", "rows", "first day", "last day", "from", "until"],
        [
            [
                one.file,
                one.id,
                f"{one.rows:,}",
                *_ends(one.days),
                f"{one.created:%Y-%m-%d %H:%M}",
                f"{one.retracted:%Y-%m-%d %H:%M}" if one.retracted else "",
            ]
            for one in found
        ],
    )


@data.command()
@click.argument("file", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would go and change nothing.")
@json_option
def retract(file: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take files back: readers no longer see what they brought. Names are those of 'history'.

    \b
    Examples:
      mlops data retract s3://landing/payments/day=2025-05-01/part-0.parquet
      mlops data retract payments.parquet --dry-run
    """
    from pipelines.data import retention

    session = _session()
    gone = retention.retract(file, session.options(dry_run=dry_run), store=session.store)
    if as_json:
        print_json({"dry_run": dry_run, "retracted": gone})
        return
    rows = sum(one.rows for one in gone)
    done = "would retract" if dry_run else "retracted"
    out.print(f"{done} {len(gone)} imports with {rows:,} payments", highlight=False)


@data.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=90.0,
    show_default=True,
    help="Days since an import was retracted; until then as_of can show it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed and remove nothing.")
@json_option
def sweep(days: float, dry_run: bool, as_json: bool) -> None:
    """Remove retracted imports beyond their retention, and what killed runs left.

    \b
    Examples:
      mlops data sweep --dry-run
      mlops data sweep --older-than 30
    """
    from pipelines.data import retention

    session = _session()
    before = session.now - timedelta(days=days)
    done = retention.sweep(session.store, before=before, dry_run=dry_run)
    if as_json:
        print_json(done)
        return
    verb = "would remove" if dry_run else "removed"
    out.print(
        f"{verb} {done.imports} retracted imports and {done.leftovers} leftovers: "
        f"{done.objects} objects",
        highlight=False,
    )


@data.command()
@click.option("--as-of", "moment", required=True, metavar="TIME", help="By the platform's clock.")
def query(moment: str) -> None:
    """Print a query for the payments as readers saw them at a past moment.

    \b
    Example:
      mlops data query --as-of 2025-05-01T06:00:00Z
    """
    from mlops.clock import parse_instant
    from pipelines.data.ledger import load_ledger
    from pipelines.data.schema import select_sql

    session = _session()
    ledger, _ = load_ledger(session.documents)
    visible = ledger.shown_as_of(parse_instant(moment))
    click.echo(select_sql(session.settings.names.database, visible.condition))


def _session() -> Session:
    from mlops.settings import load_settings
    from pipelines.data.session import Session

    return Session(load_settings())


def _ends(days: tuple[str, ...]) -> tuple[str, str]:
    return (days[0], days[-1]) if days else ("", "")


def _import(file: Path, **asked: Any) -> ImportReport:
    from pipelines.data.imports import import_payments
    from pipelines.data.schema import TABLE

    session = _session()
    with step_progress() as progress:
        report = import_payments(
            file, session.options(**asked), store=session.store, progress=progress
        )
    if report.state == "imported":
        brought = report.manifest
        session.tell_arrival(TABLE, rows=brought.rows_imported, source=brought.file)
    return report


def _show(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    manifest = report.manifest
    span = f", {manifest.days[0]} to {manifest.days[-1]}" if manifest.days else ""
    out.print(
        f"{report.state}: {manifest.rows_imported:,} payments of {manifest.file}{span} "
        f"({manifest.rows_refused:,} refused)",
        highlight=False,
    )
    if manifest.reasons:
        print_table(["rows", "reason"], [[n, why] for why, n in manifest.reasons.items()])
    if manifest.quarantine and report.state != "dry run":
        out.print(f"kept aside: {manifest.quarantine}", highlight=False, soft_wrap=True)
