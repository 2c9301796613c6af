"""`python -m tests.benchmarks [--part NAME] [--json]`: every part is a module with `measure()`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import click

from mlops.cli.console import err, print_table
from tests.benchmarks.measure import Measurement

PARTS = sorted(path.stem.removeprefix("part_") for path in Path(__file__).parent.glob("part_*.py"))


def run(parts: list[str], work: str | None = None) -> Iterator[Measurement]:
    for part in parts:
        err.print(f"measuring {part} …", style="dim")
        module = importlib.import_module(f"tests.benchmarks.part_{part}")
        yield from module.measure() if work is None else _works(module)[work]()


def _works(module: ModuleType) -> Mapping[str, Callable[[], Iterator[Measurement]]]:
    """The works of a part that can be measured alone, by name."""
    works: Mapping[str, Callable[[], Iterator[Measurement]]] = getattr(module, "WORKS", {})
    return works


@click.command()
@click.option("--part", type=click.Choice(PARTS), help="Only this part.")
@click.option("--work", help="Only this work of the part, where it can be measured alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def main(part: str | None, work: str | None, as_json: bool) -> None:
    """Measure ours against its peers, in one run on this machine.

    \b
    Examples:
      make bench
      make bench PART=serving JSON=1
      make bench PART=serving WORK=predict
    """
    if work is not None:
        _check_work(part, work)
    measured = list(run([part] if part else PARTS, work))
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


def _check_work(part: str | None, work: str) -> None:
    known = _works(importlib.import_module(f"tests.benchmarks.part_{part}")) if part else {}
    if work not in known:
        raise click.BadParameter(
            f"'{work}' is none of {', '.join(known) or 'a part that is named'}.",
            param_hint="--work",
        )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
