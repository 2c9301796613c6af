"""`mlops features …` for the online store: load it, compare it, save and restore it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mlops.cli.console import err, json_option, out, print_json, print_table

if TYPE_CHECKING:
    from pipelines.features.upsync.site import OnlineSession
    from pipelines.features.upsync.state import RunReport
    from pipelines.features.verify import Verdict

_view = click.argument("view", nargs=-1)


@click.command()
@_view
@click.option("--full", is_flag=True, help="Load everything within the TTL, also back in time.")
@click.option("--dry-run", is_flag=True, help="Say how many rows and bytes, and load nothing.")
@click.option(
    "--shards",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Parts by the keys' hash; a killed run goes on with those that are left.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=70.0,
    show_default=True,
    help="Seconds to wait for another run of the view.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    help="Seconds to wait for a Redis that is full or fails over.",
)
@json_option
def upsync(
    view: tuple[str, ...],
    full: bool,
    dry_run: bool,
    shards: int,
    wait: float,
    patience: float,
    as_json: bool,
) -> None:
    """Load into Redis what changed since the last run, by the platform's clock.

    A run that was killed is finished by the next one. Where the online store was replaced,
    everything within the TTL is loaded.

    \b
    Examples:
      mlops features upsync
      mlops features upsync customer_spend --dry-run
      mlops --clock 2018-08-08 features upsync customer_spend
      mlops features upsync --full --shards 16
    """
    from pipelines.features.upsync.running import Options

    session = _session()
    options = Options(session.now, full=full, shards=shards, wait=wait, patience=patience)
    loader = session.upsync(told=_tell)
    views = session.views(view, told=_tell)
    if dry_run:
        _show(([loader.preview(one, options) for one in views]), as_json=as_json)
        return
    _show(loader.run_all(views, options), as_json=as_json)


@click.command()
@_view
@click.option("--last", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@json_option
def runs(view: tuple[str, ...], last: int, as_json: bool) -> None:
    """Show the last runs of upsync: what each read, wrote and left out.

    \b
    Examples:
      mlops features runs
      mlops features runs customer_spend --last 20 --json
    """
    from itertools import islice

    from pipelines.features.upsync.state import Runs

    session = _session()
    views = session.views(view, told=_tell)
    records = Runs(session.artifacts)
    found = [report for one in views for report in islice(records.reports(one.name), last)]
    if as_json:
        print_json(found)
        return
    print_table(
        ["view", "run", "until", "read", "written", "older", "removed", "refused", "seconds"],
        [
            [
                r.view,
                r.run,
                f"{r.until:%Y-%m-%d %H:%M:%S}",
                *(f"{n:,}" for n in (r.rows, r.written, r.older, r.removed, r.refused)),
                r.seconds,
            ]
            for r in found
        ],
    )


@click.command()
@_view
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="The share of the keys that is compared.",
)
@click.option("--seed", default="", help="Another seed compares other keys.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of rows that may be wrong.",
)
@click.option(
    "--examples", "shown", type=click.IntRange(min=0), default=0, help="Keys to show of each fault."
)
@click.option("--remove-extra", is_flag=True, help="Take out extra rows and those that are ahead.")
@json_option
def verify(
    view: tuple[str, ...],
    sample: float,
    seed: str,
    threshold: float,
    shown: int,
    remove_extra: bool,
    as_json: bool,
) -> None:
    """Compare what stands online with what the offline store says should, by the platform's clock.

    Exits with 1 when more rows than the threshold allows are missing, stale, different, extra or
    unreadable. A newer row online is no fault. Extra rows are pushed ones that the offline store
    does not know (yet), or rows that vanished from a source. Rows that are ahead were pushed before
    the clock went back.

    \b
    Examples:
      mlops features verify
      mlops features verify customer_spend --sample 0.01 --seed monday --json
      mlops features verify --threshold 0.001 --examples 3
    """
    from pipelines.features.verify import Sample

    session, part = _session(), Sample(sample, seed)
    verifier = session.verifier(shown)
    verdicts = [
        verifier.verify(one, now=session.now, sample=part, remove_extra=remove_extra)
        for one in session.views(view, told=_tell)
    ]
    _show_verdicts(verdicts, as_json=as_json)
    _raise_wrong(verdicts, threshold)


def _raise_wrong(verdicts: Sequence[Verdict], threshold: float) -> None:
    from mlops.errors import JobFailed

    wrong = [v.view for v in verdicts if v.fault_share > threshold]
    if wrong:
        raise JobFailed(
            f"{', '.join(wrong)}: more than {threshold:.3%} of the rows are wrong online. Load "
            "what is missing, stale or different: 'mlops features upsync --full "
            f"{' '.join(wrong)}'. Extra rows, unless they were pushed, and those ahead: "
            "--remove-extra."
        )


def _show_verdicts(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    if as_json:
        print_json(list(verdicts))
        return
    columns = ["checked", "same", "newer", "missing", "stale", "different", "extra", "unreadable"]
    columns += ["ahead"]
    rows = [[v.view, *(f"{getattr(v, name):,}" for name in columns)] for v in verdicts]
    print_table(["view", *columns], rows)
    for verdict in verdicts:
        for name, count in sorted(verdict.features.items()):
            out.print(f"{verdict.view}: {name} differs in {count:,} rows", highlight=False)
        for kind, keys in verdict.examples.items():
            out.print(f"{verdict.view}: {kind}: {', '.join(keys)}", markup=False, soft_wrap=True)
        if verdict.removed:
            out.print(f"{verdict.view}: {verdict.removed:,} rows taken out", highlight=False)


def _session() -> OnlineSession:
    from mlops.settings import load_settings
    from pipelines.features.upsync.site import OnlineSession

    return OnlineSession(load_settings())


def _tell(view: str, what: str) -> None:
    """Progress and pauses, on standard error, beside JSON too."""
    err.print(f"  {view}: {what}", style="dim", highlight=False, markup=False, soft_wrap=True)


def _show(reports: Sequence[RunReport], *, as_json: bool) -> None:
    if as_json:
        print_json(list(reports))
        return
    for report in reports:
        out.print(_line(report), highlight=False, markup=False, soft_wrap=True)
        for reason in report.reasons:
            out.print(f"  refused: {reason}", highlight=False, markup=False, soft_wrap=True)


def _line(r: RunReport) -> str:
    newest = f", newest row {r.through:%Y-%m-%d %H:%M:%S}" if r.through else ""
    since = f"{r.oldest:%Y-%m-%d %H:%M:%S}" if r.oldest else "the beginning"
    times = f"{since} to {r.until:%Y-%m-%d %H:%M:%S}{newest}"
    if r.state == "would load":
        counts = f"about {r.rows:,} rows, {r.bytes:,} bytes; Athena reads {r.scanned:,} bytes"
    else:
        counts = f"{r.written:,} of {r.rows:,} rows written"
        others = {"older": r.older, "removed": r.removed, "refused": r.refused}
        counts += "".join(f", {n:,} {what}" for what, n in others.items() if n)
    finished = "finished what was left, " if r.resumed else ""
    return f"{r.view}: {finished}{r.state}, {counts} ({times}; {r.reason}; {r.seconds} s)"
