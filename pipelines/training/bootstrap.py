"""How sure a metric is: measured again and again on test rows that are drawn with replacement.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 8 and 13. The draws
depend on the rows and the seed alone, so that two models, also of different runs, are measured on
the same draws of the same rows, and their differences can be taken draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.errors import InputError

Measure = Callable[[pd.DataFrame, NDArray[np.float64]], Mapping[str, float]]
"""A model's own metrics of n test rows and their scores."""
SEED = 20180808
DRAWS = 200


def replicate(
    measure: Measure,
    rows: pd.DataFrame,
    scores: Sequence[NDArray[np.float64]],
    *,
    unit: str | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[dict[str, tuple[float, ...]]]:
    """Each model's metrics on every draw, by metric; scores: n per model.

    unit: the column whose values are drawn whole, since rows of one customer are not independent;
    who is drawn twice counts as two. None draws rows. A draw on which the metrics are not defined,
    as one without a positive row, is left out for all models.
    """
    found: list[list[Mapping[str, float]]] = []
    for sample, places in _draws(rows, unit, draws, np.random.default_rng(seed)):
        try:
            found.append([measure(sample, own[places]) for own in scores])
        except InputError:
            continue
    return [_by_metric([draw[model] for draw in found]) for model in range(len(scores))]


def _by_metric(draws: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    names = draws[0] if draws else ()
    return {name: tuple(round(float(draw[name]), 8) for draw in draws) for name in names}


def _draws(
    rows: pd.DataFrame, unit: str | None, draws: int, random: np.random.Generator
) -> Iterator[tuple[pd.DataFrame, NDArray[np.intp]]]:
    """Drawn rows, and their places among all rows."""
    if unit is None:
        for _ in range(draws):
            places = random.integers(0, len(rows), len(rows))
            yield rows.iloc[places], places
        return
    codes, names = pd.factorize(rows[unit], sort=True)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=len(names))
    starts = np.cumsum(sizes) - sizes
    for _ in range(draws):
        drawn = random.integers(0, len(names), len(names))
        places, owners = _rows_of(drawn, order, starts, sizes)
        yield rows.iloc[places].assign(**{unit: owners}), places


def _rows_of(
    drawn: NDArray[np.int64],
    order: NDArray[np.intp],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The places of the drawn units' rows, and to which draw of a unit each belongs."""
    counts = sizes[drawn]
    owners = np.repeat(np.arange(len(drawn)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[starts[drawn][owners] + within], owners
