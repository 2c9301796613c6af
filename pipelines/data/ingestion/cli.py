"""`mlops data ingest` and `mlops data ingests`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, out, print_json, print_table, step_progress
from pipelines.data.options import bad_share_option, currency_option, timezone_option

if TYPE_CHECKING:
    from pipelines.data.ingestion.runs import IngestRun
    from pipelines.data.session import Session

_FORMATS = ("auto", "parquet", "orc", "csv")
_SHOWN = 50


@click.command()
@click.argument("source")
@click.option(
    "--as", "known_as", metavar="NAME", help="What the ledger calls it; else its address."
)
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="auto", show_default=True)
@timezone_option
@currency_option
@bad_share_option
@click.option(
    "--day-folder",
    metavar="KEY",
    default="day",
    show_default=True,
    help="Folders KEY=2025-05-01 name the day of event_time; '' if none do.",
)
@click.option("--require-success", is_flag=True, help="Wait for a _SUCCESS in or above a folder.")
@click.option(
    "--whole-folders",
    is_flag=True,
    help="A folder with new files holds all of it: what it had before is retracted.",
)
@click.option("--all-or-nothing", is_flag=True, help="Import nothing when one file is refused.")
@click.option("--max-files", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--max-file-gib", type=click.FloatRange(0.001), default=4.0, show_default=True)
@click.option("--dry-run", is_flag=True, help="Check the files and import nothing.")
@json_option
def ingest(source: str, *, as_json: bool, **asked: Any) -> None:
    """Take in what a warehouse hands over: each new file of a bucket or folder, once.

    SOURCE is s3://bucket/prefix/, a folder, or one file: Parquet, ORC, CSV or gzipped CSV, with
    Hive-style folders (day=2025-05-01/currency=EUR/) whose values become columns. A file that
    comes again with other content is corrected: its rows replace the earlier ones. A bad file is
    told and does not stop the others; the exit code is 2 then.

    \b
    Examples:
      mlops data ingest s3://landing/payments/ --timezone Asia/Seoul --currency KRW
      mlops data ingest /mnt/export --as warehouse --whole-folders --require-success
      mlops data ingest s3://landing/payments/day=2025-05-01/ --dry-run --json
    """
    from mlops.errors import InputError

    run = _ingest(source, **asked)
    if as_json:
        print_json(run)
    else:
        _show(run)
    if run.failed:
        raise InputError(
            f"Files that did not come in: {len(run.failed)}. {run.failed[0].path}: "
            f"{run.failed[0].error} Correct them and run it again; the others are not read twice."
        )


@click.command()
@click.argument("run", required=False)
@json_option
def ingests(run: str | None, as_json: bool) -> None:
    """List the runs of 'mlops data ingest', or show what one did, file by file.

    \b
    Examples:
      mlops data ingests
      mlops data ingests 20250601T020000Z-1a2b3c
    """
    from pipelines.data.ingestion.runs import list_runs, read_run

    documents = _session().documents
    if run is not None:
        found = read_run(documents, run)
        if as_json:
            print_json(found)
        else:
            _show(found)
        return
    runs = [read_run(documents, name) for name in list_runs(documents)]
    if as_json:
        print_json([{**r.model_dump(mode="json", exclude={"files"}), **r.states} for r in runs])
        return
    print_table(
        ["run", "source", "files", "seconds", "by"],
        [[r.run, r.source, _counted(r), r.seconds, r.by] for r in runs],
    )


def _ingest(
    source: str,
    *,
    timezone: str | None,
    currency: str | None,
    max_bad_share: float,
    dry_run: bool,
    format_: str,
    day_folder: str,
    max_file_gib: float,
    max_files: int,
    **rest: Any,
) -> IngestRun:
    from pipelines.data.ingestion.ingest import ingest as run_ingest
    from pipelines.data.ingestion.intake import IngestOptions
    from pipelines.data.ingestion.sources import open_source
    from pipelines.data.schema import TABLE

    session = _session()
    imports = session.options(
        timezone=timezone,
        currency=currency,
        max_bad_share=max_bad_share,
        dry_run=dry_run,
        run=session.new_run(),
    )
    options = IngestOptions(
        imports,
        format=format_,
        day_folder=day_folder or None,
        most_files=max_files,
        most_file_bytes=int(max_file_gib * 2**30),
        **rest,
    )
    with step_progress() as report:
        opened = open_source(source, session.aws)
        run = run_ingest(opened, options, store=session.store, progress=report)
    if run.rows_imported and not run.dry_run:
        session.tell_arrival(TABLE, rows=run.rows_imported, source=run.source)
    return run


def _session() -> Session:
    from mlops.settings import load_settings
    from pipelines.data.session import Session

    return Session(load_settings())


def _show(run: IngestRun) -> None:
    rows = [row for row in _rows(run) if row[1] != "known"]
    if rows:
        print_table(
            ["file", "state", "rows", "refused", "replaced", "first day", "last day"],
            rows[:_SHOWN],
        )
    if len(rows) > _SHOWN:
        out.print(f"and {len(rows) - _SHOWN} more: mlops data ingests {run.run}", highlight=False)
    for file in run.failed[:_SHOWN]:
        out.print(f"{file.path}: {file.error}", highlight=False, markup=False, soft_wrap=True)
    verb = "dry run" if run.dry_run else f"run {run.run}"
    out.print(f"{verb}: {_counted(run)} of {run.source} ({run.seconds:.1f} s)", highlight=False)


def _rows(run: IngestRun) -> Iterator[list[str]]:
    for file in run.files:
        brought = file.manifest
        if brought is None:
            yield [file.path, file.state, "", "", "", "", ""]
            continue
        yield [
            file.path,
            file.state,
            f"{brought.rows_imported:,}",
            f"{brought.rows_refused:,}",
            f"{brought.rows_replaced:,}",
            brought.days[0] if brought.days else "",
            brought.days[-1] if brought.days else "",
        ]


def _counted(run: IngestRun) -> str:
    states = [f"{count:,} {state}" for state, count in run.states.most_common()]
    return ", ".join([*states, f"{run.unchanged:,} unchanged"])
