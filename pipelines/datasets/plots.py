"""Histograms of a dataset's columns. Only this module imports matplotlib, which is slow to load."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_BINS = 40
_ACROSS = 4


class Plot(Figure):
    """A figure that a notebook shows by itself, whatever backend it has."""

    def _repr_png_(self) -> bytes:
        body = io.BytesIO()
        self.savefig(body, format="png", dpi=80)
        return body.getvalue()


def histograms(columns: Mapping[str, NDArray[np.float64]], *, title: str) -> Plot:
    """One histogram per column, from its 1st to its 99th percentile."""
    across = min(len(columns), _ACROSS)
    down = -(-len(columns) // _ACROSS)
    figure = Plot(figsize=(4 * across, 2.6 * down), layout="constrained")
    figure.suptitle(title)
    for place, (name, values) in enumerate(columns.items(), start=1):
        axes = figure.add_subplot(down, across, place)
        axes.hist(_usual(values), bins=_BINS)
        axes.set_title(name, fontsize="small")
    return figure


def _usual(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without what is missing and the outermost percents, which would squeeze all else."""
    present: NDArray[np.float64] = values[np.isfinite(values)]
    if not len(present):
        return present
    low, high = np.quantile(present, [0.01, 0.99])
    usual: NDArray[np.float64] = present[(present >= low) & (present <= high)]
    return usual
