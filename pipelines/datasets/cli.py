"""`mlops datasets`: training sets by name and version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.console import json_option, out, print_json, print_table, step_progress

if TYPE_CHECKING:
    from pipelines.datasets.desk import Datasets
    from pipelines.datasets.lineage import Lineage

_reference = click.argument("reference", metavar="NAME[@VERSION]")


@click.group()
def datasets() -> None:
    """Build training sets, look at them, compare them, and see what they came from and went into.

    \b
    Examples:
      mlops datasets build fraud-week --service fraud_v1 --entities payments.parquet
      mlops datasets show fraud-week
      mlops datasets lineage --model fraud/3
    """


@datasets.command()
@click.argument("name")
@click.option("--service", required=True, help="The feature service to join, as fraud_v1.")
@click.option("--entities", metavar="FILE", help="Entity rows: a Parquet or CSV file.")
@click.option("--query", metavar="SQL", help="Entity rows: a query for Athena, or @FILE with one.")
@click.option("--like", metavar="NAME@VERSION", help="Entity rows: those of another dataset.")
@click.option("--as-of", metavar="TIME", help="Read feature tables as readers saw them at TIME.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Kept in the record.")
@click.option("--force", is_flag=True, help="Make another version of what is there already.")
@click.option("--dry-run", is_flag=True, help="Say what would be scanned and cost; build nothing.")
@json_option
def build(
    name: str,
    service: str,
    entities: str | None,
    query: str | None,
    like: str | None,
    as_of: str | None,
    tags: tuple[str, ...],
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Join a service's features to entity rows, and keep the result as NAME's next version.

    Entity rows have the service's join keys and request fields, a time in event_time, and whatever
    else is wanted back, labels for example. What was built from the same inputs before is shown
    instead, and costs nothing.

    \b
    Examples:
      mlops datasets build fraud-week --service fraud_v1 --entities payments.parquet
      mlops datasets build fraud-may --service fraud_v1 --query @may.sql --dry-run
      mlops datasets build fraud-week --service fraud_v1 --like fraud-week@1
      mlops datasets build fraud-past --service fraud_v1 --query @may.sql --as-of 2025-06-01
    """
    from pipelines.datasets import tables
    from pipelines.datasets.desk import Rows

    rows = Rows(entities, _query(query), like)
    desk = _desk()
    if dry_run:
        scan = desk.estimate(rows, name=name, service=service, as_of=as_of)
        if as_json:
            print_json(scan)
        else:
            print_table(*tables.scan(scan), title="would scan at most")
        return
    with step_progress() as progress:
        dataset = desk.build_from(
            rows,
            name=name,
            service=service,
            as_of=as_of,
            tags=_pairs(tags),
            force=force,
            progress=progress,
        )
    if as_json:
        print_json(dataset.record)
    else:
        print_table(*tables.facts(dataset.record), title=dataset.reference)


@datasets.command()
@_reference
@click.option("--restore", is_flag=True, help="Put its files back where they were lost or changed.")
@json_option
def rebuild(reference: str, restore: bool, as_json: bool) -> None:
    """Build a dataset again from its record, and compare it byte by byte.

    It is read from the generations that it was built on, whatever the tables show by now.

    \b
    Examples:
      mlops datasets rebuild fraud-week@1
      mlops datasets rebuild fraud-week@1 --restore
    """
    with step_progress() as progress:
        done = _desk().rebuild(reference, restore=restore, progress=progress)
    if as_json:
        print_json(done)
        return
    same = (
        "byte for byte the same"
        if done.same_bytes
        else (f"the same rows, in other bytes: written by {done.writer}, now by {done.writer_now}")
    )
    restored = "; its files were put back" if done.restored else ""
    out.print(f"{done.dataset}: {done.rows:,} rows, {same}{restored}", highlight=False)


@datasets.command("list")
@click.argument("name", required=False)
@json_option
def list_(name: str | None, as_json: bool) -> None:
    """List datasets and their versions.

    \b
    Examples:
      mlops datasets list
      mlops datasets list fraud-week --json
    """
    from pipelines.datasets import tables

    found = _desk().list(name)
    if as_json:
        print_json(found)
    elif not found:
        out.print("There are no datasets yet. Build one: mlops datasets build --help")
    else:
        print_table(*tables.records(found))


@datasets.command()
@_reference
@json_option
def show(reference: str, as_json: bool) -> None:
    """Show what a dataset was made from, what it cost, and statistics of its columns.

    \b
    Examples:
      mlops datasets show fraud-week
      mlops datasets show fraud-week@1 --json | jq '.columns[] | select(.statistics.missing > 0)'
    """
    from pipelines.datasets import tables

    record = _desk().record(reference)
    if as_json:
        print_json(record)
        return
    print_table(*tables.facts(record), title=record.reference)
    print_table(*tables.statistics(record), title="columns")


@datasets.command()
@_reference
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .parquet or .csv file; by default NAME-VERSION.parquet.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file where there is one.")
@json_option
def get(reference: str, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write a dataset's rows to a local file, checked against its record.

    \b
    Examples:
      mlops datasets get fraud-week
      mlops datasets get fraud-week@1 --output week.csv
    """
    dataset = _desk().get(reference)
    path = output or Path(f"{dataset.record.name}-{dataset.record.version}.parquet")
    dataset.export(path, overwrite=overwrite)
    if as_json:
        print_json({"dataset": dataset.reference, "file": path, "rows": len(dataset)})
    else:
        out.print(f"{dataset.reference}: {len(dataset):,} rows in {path}", highlight=False)


@datasets.command()
@click.argument("first", metavar="NAME@VERSION")
@click.argument("second", metavar="NAME@VERSION")
@json_option
def diff(first: str, second: str, as_json: bool) -> None:
    """Compare two datasets: columns, rows by key, changed values, shifted distributions, price.

    PSI is the population stability index over the first one's deciles (or most frequent values):
    below 0.1 stable, above 0.25 another population. KS is the Kolmogorov-Smirnov distance.

    \b
    Example:
      mlops datasets diff fraud-week@1 fraud-week@2
    """
    from pipelines.datasets import tables

    found = _desk().diff(first, second)
    if as_json:
        print_json(found)
        return
    out.print(tables.sentence(found), highlight=False, soft_wrap=True)
    if found.facts:
        print_table(*tables.pairs(found, found.facts))
    if found.columns:
        print_table(*tables.pairs(found, found.columns), title="columns")
    if found.shifts:
        print_table(*tables.shifts(found), title="distributions, the largest shift first")


@datasets.command()
@click.argument("reference", metavar="NAME@VERSION")
@click.option("--force", is_flag=True, help="Also where registered models were trained on it.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and what it trained.")
@json_option
def rm(reference: str, force: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a version's rows. Its record stays for lineage, and its number is not used again.

    \b
    Examples:
      mlops datasets rm fraud-week@1 --dry-run
      mlops datasets rm fraud-week@1
    """
    desk = _desk()
    if dry_run:
        found = desk.record(reference)
        users = [f"{v.model}/{v.version}" for v in desk.lineages.users([found])]
        told = {"dataset": found.reference, "bytes": found.bytes, "models": users, "removed": False}
    else:
        found = desk.remove(reference, force=force)
        told = {"dataset": found.reference, "bytes": found.bytes, "removed": True}
    if as_json:
        print_json(told)
        return
    done = "would remove" if dry_run else "removed"
    trained = f"; it trained {', '.join(users)}" if dry_run and users else ""
    out.print(
        f"{done} {found.rows:,} rows, {found.bytes:,} bytes of {found.reference}{trained}",
        highlight=False,
    )


@datasets.command()
@click.option("--model", metavar="MODEL/VERSION", help="Back from a registered version.")
@click.option("--dataset", metavar="NAME@VERSION", help="Both ways from a dataset.")
@click.option("--view", help="On from a feature view.")
@click.option("--import", "import_id", metavar="ID", help="On from an import of raw data.")
@json_option
def lineage(
    model: str | None, dataset: str | None, view: str | None, import_id: str | None, as_json: bool
) -> None:
    """Walk from a model version to its raw data, or from raw data to the models it went into.

    \b
    Examples:
      mlops datasets lineage --model fraud/3
      mlops datasets lineage --dataset fraud@2
      mlops datasets lineage --view customer_spend
      mlops datasets lineage --import 179fd1f4c7784bc6 --json
    """
    from pipelines.datasets import tables

    if sum(given is not None for given in (model, dataset, view, import_id)) != 1:
        raise click.UsageError("Give one of --model, --dataset, --view and --import.")
    found = _walk(model, dataset, view, import_id)
    if as_json:
        print_json(found)
    else:
        out.print(tables.tree(found), highlight=False, soft_wrap=True)


def _walk(
    model: str | None, dataset: str | None, view: str | None, import_id: str | None
) -> Lineage:
    from pipelines.datasets.lineage import parse_model
    from pipelines.datasets.record import Reference

    lineages = _desk().lineages
    if model is not None:
        return lineages.of_model(*parse_model(model))
    if dataset is not None:
        return lineages.of_dataset(Reference.parse(dataset))
    return lineages.of_view(view) if view is not None else lineages.of_import(import_id or "")


@datasets.command()
@click.option(
    "--older-than",
    "hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="Hours since a build began; a running one needs what it uploaded.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed and remove nothing.")
@json_option
def sweep(hours: float, dry_run: bool, as_json: bool) -> None:
    """Remove files that killed builds uploaded and no dataset has.

    \b
    Examples:
      mlops datasets sweep --dry-run
      mlops datasets sweep --older-than 2
    """
    from mlops.stores.athena.staging import older_than

    store = _desk().store
    left = store.unfinished(older_than(hours))
    if not dry_run:
        store.sweep(left)
    if as_json:
        print_json({"removed": not dry_run, "objects": left})
        return
    out.print(f"{'would remove' if dry_run else 'removed'} {len(left)} objects")


def _desk() -> Datasets:
    from pipelines.datasets.desk import open_datasets

    return open_datasets()


def _query(text: str | None) -> str | None:
    """The text itself, or that of the file it names. Raises UsageError when there is none."""
    if text is None or not text.startswith("@"):
        return text
    path = Path(text[1:])
    if not path.is_file():
        raise click.UsageError(f"There is no file {path} with a query.")
    return path.read_text(encoding="utf-8")


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if wrong := [key for key, equals, _ in pairs if not (key and equals)]:
        raise click.UsageError(f"--tag {wrong[0]}: write it as KEY=VALUE.")
    return {key: value for key, _, value in pairs}
