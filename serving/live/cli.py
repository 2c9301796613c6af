"""`mlops serve watch`: what the running services do, as it happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from mlops.cli.console import json_option

if TYPE_CHECKING:
    from serving.live.board import Board
    from serving.live.looks import Replica


@click.command()
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="URL",
    help="A proxy process; may be given more than once. Default: http://127.0.0.1:8080.",
)
@click.option(
    "--inference",
    "inferences",
    multiple=True,
    metavar="URL",
    help="An inference process; may be given more than once. Default: http://127.0.0.1:8081.",
)
@click.option(
    "--every",
    type=click.FloatRange(0.2, 60),
    default=2.0,
    show_default=True,
    help="Seconds that a look covers.",
)
@click.option("--once", is_flag=True, help="Look once and end.")
@json_option
def watch(
    proxies: tuple[str, ...], inferences: tuple[str, ...], every: float, once: bool, as_json: bool
) -> None:
    """Show what the running services do: rates, latencies, errors, fallbacks, features, replicas.

    Reads /metrics and /readyz of each process; needs no key and changes nothing. In a terminal it
    is a live table until Ctrl-C, elsewhere lines. Ends with 7 where no process answers.

    \b
    Examples:
      mlops serve watch
      mlops serve watch --proxy http://10.0.1.5:8080 --proxy http://10.0.2.5:8080 --once
      mlops serve watch --once --json | jq '.versions[] | {version, p99_ms}'
    """
    from mlops.errors import Unavailable
    from serving.live.looks import Part, Replica

    replicas = [
        *(Replica(Part.PROXY, url.rstrip("/")) for url in proxies or ("http://127.0.0.1:8080",)),
        *(
            Replica(Part.INFERENCE, url.rstrip("/"))
            for url in inferences or ("http://127.0.0.1:8081",)
        ),
    ]
    boards = _boards(replicas, every)
    first = next(boards)
    if all(row.state == "down" for row in first.replicas):
        where = ", ".join(row.url for row in first.replicas)
        raise Unavailable(
            f"No process answers at {where}. Start them ('mlops local up', 'mlops serve proxy'), "
            "or name them with --proxy and --inference."
        )
    with suppress(KeyboardInterrupt):  # Ctrl-C is how one ends watching
        _show(first, boards, once=once, as_json=as_json)


def _show(first: Board, boards: Iterator[Board], *, once: bool, as_json: bool) -> None:
    from itertools import chain

    from rich.live import Live

    from mlops.cli.console import out, print_json
    from serving.live.table import build_tables

    if once and as_json:
        print_json(_plain(first))
    elif once and out.is_terminal:
        out.print(build_tables(first, width=out.width))
    elif once or as_json or not out.is_terminal:
        for board in [first] if once else chain([first], boards):
            _print(board, as_json=as_json)
    else:
        tables = build_tables(first, width=out.width)
        with Live(tables, console=out, screen=True, auto_refresh=False) as live:
            live.refresh()
            for board in boards:
                live.update(build_tables(board, width=out.width), refresh=True)


def _boards(replicas: list[Replica], every: float) -> Iterator[Board]:
    """A board for each interval, for ever."""
    import asyncio

    import httpx

    from serving.live.board import build_board
    from serving.live.looks import look_at

    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(trust_env=False)
        try:
            before = runner.run(look_at(client, replicas))
            while True:
                runner.run(asyncio.sleep(every))
                after = runner.run(look_at(client, replicas))
                yield build_board(before, after)
                before = after
        finally:
            runner.run(client.aclose())


def _print(board: Board, *, as_json: bool) -> None:
    import json

    from mlops.clock import SystemClock
    from serving.live.table import build_lines

    if as_json:
        click.echo(json.dumps(_plain(board)))
        return
    # For the reader of a log: the platform's own clock may stand still.
    now = f"{SystemClock().now():%H:%M:%S}Z"
    for line in build_lines(board, at=now):
        click.echo(line)


def _plain(board: Board) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(board)
