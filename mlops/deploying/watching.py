"""Endpoints on a terminal, looked at again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlops.cli.console import out
from mlops.deploying import tables
from mlops.errors import Unavailable

EVERY_SECONDS = 1.0


def watch_statuses(look: Callable[[], list[dict[str, Any]]]) -> None:
    """Until Ctrl-C; a look that fails shows as what it was, and why."""
    # Ctrl-C is how one ends watching.
    with suppress(KeyboardInterrupt), Live(console=out, auto_refresh=False) as live:
        while True:
            try:
                live.update(_table(look()), refresh=True)
            except Unavailable as exc:
                live.console.print(f"not seen: {exc}", markup=False, highlight=False)
            time.sleep(EVERY_SECONDS)


def _table(found: list[dict[str, Any]]) -> Table:
    columns, rows = tables.statuses(found)
    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
