"""`python -m tests.benchmarks [--part NAME] [--json]`: every part is a module with `measure()`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import click

from mlops.cli.console import err, print_table
from tests.benchmarks.measure import Measurement

PARTS = sorted(path.stem.removeprefix("part_") for path in Path(__file__).parent.glob("part_*.py"))


def run(parts: list[str]) -> Iterator[Measurement]:
    for part in parts:
        err.print(f"measuring {part} …", style="dim")
        yield from importlib.import_module(f"tests.benchmarks.part_{part}").measure()


@click.command()
@click.option("--part", type=click.Choice(PARTS), help="Only this part.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def main(part: str | None, as_json: bool) -> None:
    """Measure ours against its peers, in one run on this machine.

    \b
    Examples:
      make bench
      make bench PART=windows JSON=1
    """
    measured = list(run([part] if part else PARTS))
    if as_json:
        click.echo(json.dumps([m.as_dict() for m in measured], indent=2))
        return
    print_table(
        ["part", "work", "ours", "peer", "floor", "unit", "ratio"],
        [
            [m.part, m.work, *map(_cell, (m.ours, m.peer, m.floor)), m.unit, f"{m.ratio:.1f}x"]
            for m in measured
        ],
    )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
