"""`python -m tests.benchmarks.capacity FILE…`: what a day of reads takes, from what was measured.

The files are what `make bench … JSON=1` wrote: reads (PART=serving WORK=features), predictions
(WORK=predict) and the store (PART=online). The sum is explained in docs/capacity.md.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

HALF = 0.5
"""The part of its limit at which a worker is planned to run."""
ROOM = 1.5
"""Fragmentation of Redis' memory, and its copy while it saves."""
SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Demand:
    """What is asked for."""

    reads_a_day: float
    peak: float
    """The busiest second over the mean."""
    entities: float

    @property
    def reads_a_second(self) -> float:
        return self.reads_a_day / SECONDS_A_DAY * self.peak


@dataclass(frozen=True)
class Machine:
    """What was measured: requests a second, and bytes."""

    works: Mapping[str, float]
    cores: int
    """Of the machine that was measured; a prediction's two processes share them."""


def sum_up(demand: Demand, machine: Machine) -> dict[str, float]:
    """Cores, workers included that may fail, and GB; of what was measured."""
    works, peak = machine.works, demand.reads_a_second
    found: dict[str, float] = {"reads a second at the peak": round(peak)}
    for rows in (1, 10, 100):
        if f"features-{rows}" in works:
            cores = math.ceil(peak / (works[f"features-{rows}"] * HALF)) + 1
            found[f"cores for reads of {rows}"] = cores
    if "predict" in works:
        each = works["predict"] / machine.cores * HALF
        found["cores for predictions"] = math.ceil(peak / each) + 2
    if "bytes-50-used" in works:
        gigabytes = demand.entities * works["bytes-50-used"] * ROOM / 1e9
        found["GB of Redis a node"] = round(gigabytes, 1)
    return found


def read_works(paths: tuple[Path, ...]) -> dict[str, float]:
    """Our figures by work."""
    return {
        measured["work"]: measured["ours"]
        for path in paths
        for measured in json.loads(path.read_text())
    }


def measured_on(paths: tuple[Path, ...]) -> str:
    """When the last of the files was written, and what machine this is, as Linux tells it."""
    written = datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    model = next(models, "no name")
    return f"{written:%Y-%m-%d}, {os.cpu_count()} processors ({model}), {memory:.0f} GB of memory"


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--reads", default=50_000_000.0, show_default=True, help="Reads a day.")
@click.option("--peak", default=4.0, show_default=True, help="The busiest second over the mean.")
@click.option("--entities", default=5_000_000.0, show_default=True, help="Entities online.")
@click.option("--cores", default=2, show_default=True, help="Of the machine that was measured.")
def main(files: tuple[Path, ...], reads: float, peak: float, entities: float, cores: int) -> None:
    """Say how many cores and how much Redis a day takes."""
    found = sum_up(Demand(reads, peak, entities), Machine(read_works(files), cores))
    click.echo(f"measured: {measured_on(files)}")
    for what, number in found.items():
        click.echo(f"{what}: {number:,g}")


if __name__ == "__main__":
    main()
