"""`mlops features downsync`: the consumer, its state, and what it would do."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import err, json_option, out, print_json, print_table

if TYPE_CHECKING:
    from mlops.aws import Aws
    from mlops.objects import Documents
    from mlops.settings import Settings
    from pipelines.features.downsync.catalog import Catalog
    from pipelines.features.downsync.consumer import Consumer
    from pipelines.features.downsync.judging import Verdict
    from pipelines.features.downsync.reading import KinesisStream
    from pipelines.features.downsync.status import StreamStatus
    from pipelines.features.downsync.worker import Limits, Tools

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option(
    "--until-caught-up",
    "--once",
    "once",
    is_flag=True,
    help="End when everything that has arrived is in its table, instead of going on.",
)
@click.option("--status", is_flag=True, help="Say how far each shard is read, and end.")
@click.option("--dry-run", is_flag=True, help="Say what would be written and write nothing.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0.1, max=900),
    default=60.0,
    show_default=True,
    help="How old what was read may get before it is committed.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=1),
    default=50_000,
    show_default=True,
    help="Events that are committed at once.",
)
@click.option(
    "--lease-seconds",
    type=click.FloatRange(min=1, max=600),
    default=30.0,
    show_default=True,
    help="How long a shard stays with a consumer that is not heard of.",
)
@click.option("--metrics-port", type=int, help="Answer Prometheus on this port, at 127.0.0.1.")
@json_option
def downsync(
    once: bool,
    status: bool,
    dry_run: bool,
    max_seconds: float,
    max_rows: int,
    lease_seconds: float,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Take what was served and pushed from the stream into tables of the offline store.

    Runs until SIGTERM, then commits what it has read and exits with 0. Several may run at once:
    each takes its share of the shards. Killed at any moment, the next one goes on where the last
    commit stood, and nothing is lost or repeated.

    \b
    Examples:
      mlops features downsync
      mlops features downsync --until-caught-up
      mlops features downsync --dry-run
      mlops features downsync --status --json
    """
    from mlops.errors import InputError
    from pipelines.features.downsync.worker import Limits

    if status and (once or dry_run):
        raise InputError("--status only looks: leave --until-caught-up and --dry-run away.")
    place = Place.open()
    if status:
        _show_status(_status(place), as_json=as_json)
        return
    limits = Limits(rows=max_rows, seconds=max_seconds, lease_seconds=lease_seconds)
    if dry_run:
        counts = _preview(place, limits)
    else:
        counts = _consume(place, limits, once=once, metrics_port=metrics_port)
    _show_counts(counts, as_json=as_json, would=dry_run)


@dataclass(frozen=True)
class Place:
    """The environment, without Feast: a consumer needs nothing of it, and starts at once."""

    settings: Settings
    aws: Aws

    @classmethod
    def open(cls) -> Place:
        from mlops.aws import Aws
        from mlops.settings import load_settings

        settings = load_settings()
        return cls(settings, Aws(region=settings.region))

    def documents(self, bucket: str) -> Documents:
        from mlops.objects import S3Documents

        return S3Documents(self.aws, bucket)

    @property
    def data(self) -> Documents:
        return self.documents(self.settings.names.data_bucket)

    @property
    def stream(self) -> KinesisStream:
        from pipelines.features.downsync.reading import KinesisStream

        return KinesisStream(self.aws, self.settings.names.downsync_stream)

    def glue(self) -> Catalog:
        from pipelines.features.downsync.catalog import GlueCatalog

        names = self.settings.names
        return GlueCatalog(self.aws, database=names.database, bucket=names.data_bucket)

    def tools(self, documents: Documents, catalog: Catalog, limits: Limits) -> Tools:
        import time

        from pipelines.features.downsync.flows import FlowBook
        from pipelines.features.downsync.metrics import ConsumerMetrics
        from pipelines.features.downsync.worker import Tools

        artifacts = self.documents(self.settings.names.artifact_bucket)
        return Tools(
            stream=self.stream,
            documents=documents,
            catalog=catalog,
            flows=FlowBook(artifacts, catalog, time.monotonic),
            clock=self.settings.build_clock(),
            metrics=ConsumerMetrics(),
            limits=limits,
        )


def _status(place: Place) -> StreamStatus:
    from pipelines.features.downsync.shards import ShardBook
    from pipelines.features.downsync.status import status_of

    stream = place.stream
    return status_of(stream, ShardBook(place.data, stream.identity))


def _consume(
    place: Place, limits: Limits, *, once: bool, metrics_port: int | None
) -> dict[str, dict[Verdict, int]]:
    """What became of the events of this run."""
    from pipelines.features.downsync.consumer import Consumer

    consumer = Consumer(place.tools(place.data, place.glue(), limits), until_caught_up=once)
    with _stopped_by_signals(consumer), _metrics(consumer, metrics_port):
        if not once:
            err.print("Consuming; Ctrl-C or SIGTERM commits what was read and ends.")
        consumer.run()
    return consumer.tools.metrics.counts


def _preview(place: Place, limits: Limits) -> dict[str, dict[Verdict, int]]:
    from pipelines.features.downsync.catalog import MemoryCatalog
    from pipelines.features.downsync.consumer import Consumer
    from pipelines.features.downsync.preview import Overlay

    tools = place.tools(Overlay(place.data), MemoryCatalog(), limits)
    consumer = Consumer(tools, until_caught_up=True)
    for shard, known in consumer.book.read().items():
        consumer.book.take(shard, known[0].parents, known, owner=consumer.owner)
    with _stopped_by_signals(consumer):
        consumer.run()
    return consumer.tools.metrics.counts


@contextmanager
def _stopped_by_signals(consumer: Consumer) -> Iterator[None]:
    before = [signal.signal(number, lambda *_: consumer.ask_to_stop()) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _metrics(consumer: Consumer, port: int | None) -> Iterator[None]:
    from prometheus_client import start_http_server

    from mlops.errors import Conflict

    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(
            port, addr="127.0.0.1", registry=consumer.tools.metrics.registry
        )
    except OSError as exc:
        raise Conflict(f"Port {port} is in use. Choose another with --metrics-port.") from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _show_counts(
    counts: Mapping[str, Mapping[Verdict, int]], *, as_json: bool, would: bool
) -> None:
    if as_json:
        print_json({"written": not would, "events": counts})
        return
    _print_counts(counts, title="events, as they would be" if would else "events of this run")


def _show_status(found: StreamStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        ["shard", "state", "behind", "heard at", "events to", "unpublished"],
        [
            [
                shard.shard,
                shard.state,
                "" if shard.behind_seconds is None else f"{shard.behind_seconds:.1f} s",
                _time(shard.heard_at),
                _time(shard.arrived),
                shard.unpublished or "",
            ]
            for shard in found.shards
        ],
        title=found.stream,
    )
    _print_counts(found.counts, title="events so far")


def _print_counts(counts: Mapping[str, Mapping[Verdict, int]], *, title: str) -> None:
    from pipelines.features.downsync.judging import Verdict

    if not counts:
        out.print("No events.")
        return
    rows: list[list[Any]] = [
        [table, *(f"{of_table.get(verdict, 0):,}" for verdict in Verdict)]
        for table, of_table in sorted(counts.items())
    ]
    print_table(["table", *(v.value.replace("_", " ") for v in Verdict)], rows, title=title)


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""
