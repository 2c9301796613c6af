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
    _print([_row(m) for m in measured])


def _print(rows: list[list[str]]) -> None:
    """Without the columns that are empty."""
    names = ["part", "work", "ours", "peer", "floor", "unit", "ratio", "asked", "on"]
    filled = [place for place in range(len(names)) if any(row[place] for row in rows)]
    print_table([names[n] for n in filled], [[row[n] for n in filled] for row in rows])


def _row(m: Measurement) -> list[str]:
    asked = "" if m.asked is None else f"{m.asked:.3g}x"
    figures = map(_cell, (m.ours, m.peer, m.floor))
    return [m.part, m.work, *figures, m.unit, f"{m.ratio:.1f}x", asked, m.data or ""]


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
