"""What commands share: the consoles, JSON output, tables and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 160
"""Columns where nobody watches: a log has no edge, and rich would cut tables at 80."""

out = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def print_json(data: Any) -> None:
    """One JSON document on standard output; models and times are written as text."""
    click.echo(json.dumps(data, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = ""
) -> None:
    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        # Text, so that brackets in what users wrote are shown and not taken for markup.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    out.print(table)


def progress() -> Progress:
    """A progress bar on standard error; shows nothing where nobody watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )


@contextmanager
def step_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for each step that reports, in the order in which they begin: step, done, total."""
    with progress() as bars:
        tasks: dict[str, Any] = {}

        def report(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield report
