"""`mlops data`: payments in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, out, print_json, print_table, progress

if TYPE_CHECKING:
    from mlops.aws import Aws
    from mlops.settings import Settings
    from pipelines.data.imports import ImportReport
    from pipelines.data.staging import Progress
    from pipelines.data.store import Store


@click.group()
def data() -> None:
    """Simulate payments, or import a file of them, into the raw table."""


@data.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--timezone", metavar="ZONE", help="Zone of times that name none, e.g. UTC.")
@click.option("--currency", metavar="CODE", help="Currency of rows that name none, e.g. EUR.")
@click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Refuse the whole file when a larger share of its rows is bad.",
)
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
    """Import a Parquet or CSV file of payments; its bad rows are kept aside with reasons.

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


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the imports, oldest first.

    \b
    Example:
      mlops data list
    """
    from mlops.aws import Aws
    from mlops.objects import S3Documents
    from mlops.settings import load_settings
    from pipelines.data.manifests import list_manifests

    settings = load_settings()
    manifests = list_manifests(S3Documents(Aws(region=settings.region), settings.names.data_bucket))
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
                m.days[0] if m.days else "",
                m.days[-1] if m.days else "",
                f"{m.imported_at:%Y-%m-%d %H:%M}",
            ]
            for m in manifests
        ],
    )


def _import(
    file: Path,
    *,
    timezone: str | None = None,
    currency: str | None = None,
    max_bad_share: float = 0.05,
    dry_run: bool = False,
) -> ImportReport:
    from mlops.aws import Aws
    from mlops.settings import load_settings
    from pipelines.data.imports import import_payments
    from pipelines.data.units import ImportOptions
    from pipelines.data.validation import Rules

    settings = load_settings()
    aws = Aws(region=settings.region)
    rules = Rules(
        now=settings.build_clock().now(),
        currency=settings.currency,
        file_currency=currency,
        timezone=timezone,
    )
    with _progress() as report:
        return import_payments(
            file,
            ImportOptions(rules, aws.identity, max_bad_share=max_bad_share, dry_run=dry_run),
            store=_store(settings, aws),
            progress=report,
        )


def _store(settings: Settings, aws: Aws) -> Store:
    import uuid

    from mlops.athena import Athena
    from mlops.objects import S3Documents
    from pipelines.data.payments import PaymentsTable
    from pipelines.data.store import Store

    names = settings.names
    return Store(
        table=PaymentsTable(names, aws, Athena(settings, aws)),
        documents=S3Documents(aws, names.data_bucket),
        data_url=f"s3://{names.data_bucket}",
        new_id=lambda: uuid.uuid4().hex[:12],
    )


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar for each step that reports, in the order in which they begin."""
    with progress() as bars:
        tasks: dict[str, Any] = {}

        def report(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done)

        yield report


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
