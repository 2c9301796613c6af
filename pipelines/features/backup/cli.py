"""`mlops features backup`, `backups` and `restore`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mlops.cli.console import json_option, out, print_json, print_table, progress

if TYPE_CHECKING:
    from pipelines.features.backup.archive import Manifest
    from pipelines.features.upsync.site import OnlineSession


@click.command()
@click.option("--name", help="What to call it; by default the time.")
@click.option("--dry-run", is_flag=True, help="Say how many keys there are and save nothing.")
@json_option
def backup(name: str | None, dry_run: bool, as_json: bool) -> None:
    """Save the online store and the registry to S3.

    Every key is saved as it stood at one moment, with its expiry; those that are written while it
    runs are in it as they were before or after. Redis serves others meanwhile.

    \b
    Examples:
      mlops features backup
      mlops features backup --name before-migration --json
    """
    from mlops.clock import SystemClock
    from pipelines.features.backup.archive import checked_id

    session = _session()
    session.require_packed_rows()
    keys, archive = session.keys_of(session.feast.project), session.archive
    now = SystemClock().now()
    if dry_run:
        count = sum(1 for _ in keys.scan())
        print_json({"keys": count}) if as_json else out.print(f"would save about {count:,} keys")
        return
    id_ = checked_id(name) if name else f"{now:%Y%m%dT%H%M%S}"
    with _counted("keys saved") as told:
        manifest = archive.save(
            keys, session.artifacts, id_=id_, now=now, by=session.aws.identity, told=told
        )
    if as_json:
        print_json(manifest)
    else:
        out.print(_line(manifest), highlight=False)


@click.command()
@json_option
def backups(as_json: bool) -> None:
    """List the backups of the online store and the registry.

    \b
    Example:
      mlops features backups
    """
    found = _session().archive.manifests()
    if as_json:
        print_json(found)
        return
    print_table(
        ["backup", "created (UTC)", "keys", "documents", "bytes"],
        [
            [
                m.id,
                f"{m.created:%Y-%m-%d %H:%M:%S}",
                f"{m.keys:,}",
                len(m.documents),
                f"{m.bytes:,}",
            ]
            for m in found
        ],
    )


@click.command()
@click.argument("backup_id", metavar="BACKUP")
@click.option(
    "--only",
    type=click.Choice(["online", "registry"]),
    help="Restore one of the two; both without it.",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--dry-run", is_flag=True, help="Check the backup and the target; restore nothing.")
@json_option
def restore(backup_id: str, only: str | None, force: bool, dry_run: bool, as_json: bool) -> None:
    """Restore a backup ('latest' for the newest) into an empty online store and registry.

    Every checksum is verified before anything is written. Interrupted, the same command goes on.
    Afterwards 'mlops features upsync' loads what came since.

    \b
    Examples:
      mlops features restore latest --dry-run
      mlops features restore 20260101T030000
      mlops features restore latest --only online --force
    """
    from pipelines.features.backup.restoring import Restorer

    session = _session()
    manifest = session.archive.manifest(backup_id)
    keys = session.keys_of(manifest.project)
    restorer = Restorer(session.archive, keys, session.artifacts)
    with _counted("keys restored", manifest.keys) as told:
        done = restorer.restore(
            manifest,
            part=only or "all",  # type: ignore[arg-type]  # click checked it
            force=force,
            dry_run=dry_run,
            told=told,
        )
    if as_json:
        print_json(done)
        return
    verb = "would restore" if dry_run else "restored"
    out.print(
        f"{done.id}: {verb} {done.keys:,} keys and {done.documents} documents of the registry",
        highlight=False,
    )


def _line(manifest: Manifest) -> str:
    return (
        f"{manifest.id}: {manifest.keys:,} keys and {len(manifest.documents)} documents of the "
        f"registry, {manifest.bytes:,} bytes"
    )


@contextmanager
def _counted(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    with progress() as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _session() -> OnlineSession:
    from mlops.settings import load_settings
    from pipelines.features.upsync.site import OnlineSession

    return OnlineSession(load_settings())
