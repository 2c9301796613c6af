"""`mlops models drift`: hold what a model reads against what it was trained on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import err, json_option, out, print_json, print_table

if TYPE_CHECKING:
    from mlops.registry.drift.measure import Check, Moved

DRIFT_EXIT = 10


@click.command()
@click.argument("model")
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True)
@click.option(
    "--above",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="The distance (KS, 0 to 1), or change of missing values, from which on it is drift.",
)
@click.option("--detailed-exitcode", is_flag=True, help=f"Exit {DRIFT_EXIT} when there is drift.")
@click.option("--dry-run", is_flag=True, help="Measure, and let nothing start by it.")
@json_option
def drift(
    model: str, days: int, above: float, detailed_exitcode: bool, dry_run: bool, as_json: bool
) -> None:
    """Hold what the stable version was served of late against what it was trained on.

    It looks at the stored features that the model reads, and at its score, where the views are
    tagged 'downsync: served'. Drift starts the model's workflow, where its settings say so
    (mlops workflows schedule show), once and not again while it lasts. The workflow 'drift' does
    the same each night for every model that is served.

    \b
    Examples:
      mlops models drift fraud
      mlops models drift fraud --days 14 --above 0.1 --dry-run
      mlops models drift fraud --detailed-exitcode --json
    """
    from mlops.aws import Aws
    from mlops.bus import EventBus
    from mlops.objects import S3Documents
    from mlops.registry.drift.desk import look_for_drift, tell_drift
    from mlops.settings import load_settings

    settings = load_settings()
    aws = Aws(region=settings.region)
    check = look_for_drift(settings, aws, model, days=days)
    drifted = check.beyond(above)
    again = False
    if drifted and not dry_run:
        documents = S3Documents(aws, settings.names.artifact_bucket)
        now = settings.build_clock().now()
        again = tell_drift(EventBus(aws), documents, check, drifted, now=now)
    if as_json:
        facts = {"drifted": [moved.name for moved in drifted], "again": again, "dry_run": dry_run}
        print_json(check.model_dump(mode="json") | facts)
    else:
        _show(check, drifted, again=again)
    if drifted and detailed_exitcode:
        sys.exit(DRIFT_EXIT)


def _show(check: Check, drifted: Sequence[Moved], *, again: bool) -> None:
    rows = [_row(moved, is_drift=moved in drifted) for moved in check.columns]
    title = f"{check.model} {check.version}, served since {check.since:%Y-%m-%d %H:%M}"
    print_table(["input", "view", "rows", "KS distance", "missing", ""], rows, title=title)
    for view in check.not_logged:
        err.print(f"{view}: not logged, not looked at", highlight=False)
    if check.too_few:
        err.print(f"Fewer than {check.least} rows say nothing: {', '.join(check.too_few)}")
    verdict = f"{len(drifted)} of {len(rows)} drifted." if drifted else "No drift."
    known = " It was told before, so it starts nothing anew." if again else ""
    out.print(verdict + known, highlight=False)


def _row(moved: Moved, *, is_drift: bool) -> list[Any]:
    distance = "" if moved.distance is None else f"{moved.distance:.3f}"
    missing = f"{moved.missing_before:.1%} → {moved.missing:.1%}"
    return [moved.name, moved.view, f"{moved.rows:,}", distance, missing, "drift" * is_drift]
