"""`mlops features migrate-online`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from mlops.cli.console import json_option, out, print_json, print_table, progress
from mlops.errors import JobFailed

if TYPE_CHECKING:
    from pipelines.features.migration.views import Migrated

_SOURCE = "MLOPS_FEAST_REDIS_URL"


@click.command("migrate-online")
@click.argument("view", nargs=-1)
@click.option(
    "--from",
    "source",
    envvar=_SOURCE,
    show_envvar=True,
    metavar="URL",
    help="The Redis that Feast wrote to, as MLOPS_REDIS_URL; the online store's own by default. "
    "A password is better put in the variable, which other processes do not see.",
)
@click.option(
    "--from-project", metavar="NAME", help="Feast's project there; by default the repo's."
)
@click.option("--remove-old", is_flag=True, help="Take the rows that are taken over out of there.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and write nothing.")
@json_option
def migrate_online(
    view: tuple[str, ...],
    source: str | None,
    from_project: str | None,
    remove_old: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take what Feast's own Redis store holds of these views, or all, into the packed store.

    Newest wins, so that it may run while new rows are written, and again. Exits with 1 when rows
    could not be read; they stay where they are.

    \b
    Examples:
      mlops features migrate-online --dry-run
      mlops features migrate-online customer_spend --from redis://feast.internal:6379 --json
      mlops features migrate-online --remove-old
    """
    from mlops.settings import load_settings
    from pipelines.features.upsync.running import select_views
    from pipelines.features.upsync.site import OnlineSession

    session = OnlineSession(load_settings())
    tables = select_views(session.feast.list_feature_views(), view)
    migration = session.migration(source, from_project)
    with closing(migration.source), progress() as bar:
        task = bar.add_task("keys looked at", total=None)
        reports = migration.run(
            tables,
            dry_run=dry_run,
            remove_old=remove_old,
            told=lambda looked: bar.update(task, completed=looked),
        )
    _show(reports, as_json=as_json)
    _raise_unreadable(reports)


def _show(reports: Sequence[Migrated], *, as_json: bool) -> None:
    if as_json:
        print_json(list(reports))
        return
    columns = ["rows", "written", "older", "unreadable", "removed"]
    rows = [[r.view, *(f"{getattr(r, name):,}" for name in columns)] for r in reports]
    print_table(
        ["view", *columns],
        rows,
        title="would migrate" if any(r.dry_run for r in reports) else "migrated",
    )
    for report in reports:
        for reason in report.reasons:
            out.print(f"{report.view}: {reason}", highlight=False, markup=False, soft_wrap=True)


def _raise_unreadable(reports: Sequence[Migrated]) -> None:
    views = [report.view for report in reports if report.unreadable]
    if views:
        raise JobFailed(
            f"{sum(report.unreadable for report in reports):,} rows of {', '.join(views)} cannot "
            "be taken over. Load them from the offline store: 'mlops features upsync --full "
            f"{' '.join(views)}'."
        )
