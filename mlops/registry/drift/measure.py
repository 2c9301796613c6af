"""How far what was served is from what was trained on: columns, one query a view, distances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from mlops.deploying.figures import Figures, ScoreClasses, score_classes
from mlops.manifest import Distribution, Manifest

SCORE = "score"
LEAST_ROWS = 500
"""Fewer say nothing: by chance alone, the distance of 500 rows is seldom above 0.06."""


class Queries(Protocol):
    """What is asked of Athena."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A small result, as Python values."""


@dataclass(frozen=True)
class Watched:
    """A column that is held against its reference."""

    name: str
    """As the manifest calls it."""
    column: str
    reference: Distribution
    default: float | None = None
    """What the model reads where there is no value; None where it reads that there is none."""

    @property
    def classes(self) -> ScoreClasses:
        return score_classes(self.reference)

    @property
    def value(self) -> str:
        """What the model read, in SQL."""
        stored = f"CAST({self.column} AS double)"
        return stored if self.default is None else f"COALESCE({stored}, {self.default!r})"


class Moved(BaseModel):
    """How far a column is from its reference."""

    model_config = ConfigDict(frozen=True)

    name: str
    view: str
    rows: int
    distance: float | None
    """0 to 1; None where too few rows have a value."""
    missing: float
    """Share of rows without a value; that of the reference beside it."""
    missing_before: float

    def beyond(self, bound: float) -> bool:
        """Whether it moved farther than a bound, or lost or gained as many values."""
        lost = abs(self.missing - self.missing_before)
        return self.rows >= LEAST_ROWS and max(self.distance or 0.0, lost) > bound


def watched_columns(manifest: Manifest) -> dict[str, list[Watched]]:
    """By view, the stored features that a model reads; its score comes with the first view's."""
    found: dict[str, list[Watched]] = {}
    for column in manifest.inputs:
        view, _, feature = column.source.partition(":")
        reference = manifest.reference.get(column.name)
        if column.origin == "feature" and reference is not None and _is_whole(reference):
            default = column.default if isinstance(column.default, float | int) else None
            found.setdefault(view, []).append(Watched(column.name, feature, reference, default))
    reference = manifest.reference.get(SCORE)
    if reference is not None and _is_whole(reference):
        for columns in list(found.values())[:1]:
            columns.append(Watched(SCORE, SCORE, reference))
    return found


def _is_whole(reference: Distribution) -> bool:
    """A column without a value in training has nothing to be held against."""
    return reference.missing < 1 and all(map(math.isfinite, reference.quantiles))


def served_sql(
    view: str, columns: Sequence[Watched], *, model: str, version: int, since: datetime
) -> str:
    """One row: how many rows there are, then of each column its values, and those up to each edge.

    since: UTC.
    """
    counts = ["COUNT(*)"]
    for column in columns:
        counts.append(f"COUNT({column.value})")
        counts += [
            f"SUM(CASE WHEN {column.value} <= {edge!r} THEN 1 ELSE 0 END)"
            for edge in column.classes.edges
        ]
    return (
        f"SELECT {', '.join(counts)} FROM {view}_served "  # noqa: S608  # names of our manifest
        f"WHERE model = '{model}' AND model_version = {version} AND day >= '{since:%Y-%m-%d}' "
        f"AND event_time >= TIMESTAMP '{since:%Y-%m-%d %H:%M:%S}'"
    )


class Check(BaseModel):
    """What was looked at, and how far it moved."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    since: datetime
    columns: tuple[Moved, ...]
    """The farthest first."""
    not_logged: tuple[str, ...] = ()
    """Views that the model reads, of which nothing is kept."""
    least: int = LEAST_ROWS

    def beyond(self, bound: float) -> list[Moved]:
        return [moved for moved in self.columns if moved.beyond(bound)]

    @property
    def too_few(self) -> list[str]:
        return [moved.name for moved in self.columns if moved.rows < self.least]


def check_drift(
    queries: Queries,
    manifest: Manifest,
    views: Mapping[str, Sequence[Watched]],
    *,
    version: int,
    since: datetime,
    not_logged: Sequence[str] = (),
) -> Check:
    """Measure the watched columns of some views, on what was served since a moment (UTC)."""
    found: list[Moved] = []
    for view, columns in views.items():
        sql = served_sql(view, columns, model=manifest.model, version=version, since=since)
        [row] = queries.rows(sql)
        found += _moved(view, columns, [int(count or 0) for count in row])
    found.sort(key=lambda moved: moved.distance or 0.0, reverse=True)
    return Check(
        model=manifest.model,
        version=version,
        since=since,
        columns=tuple(found),
        not_logged=tuple(not_logged),
    )


def _moved(view: str, columns: Sequence[Watched], counts: Sequence[int]) -> Iterator[Moved]:
    rows, *rest = counts
    for column in columns:
        classes = column.classes
        size = 1 + len(classes.edges)
        [values, *up_to], rest = rest[:size], rest[size:]
        yield Moved(
            name=column.name,
            view=view,
            rows=rows,
            distance=_distance(classes, [*up_to, values]) if values >= LEAST_ROWS else None,
            missing=(rows - values) / rows if rows else 0.0,
            missing_before=0.0 if column.default is not None else column.reference.missing,
        )


def _distance(classes: ScoreClasses, up_to: Sequence[int]) -> float | None:
    """As proxies tell how far scores shifted: from counts by class."""
    each = tuple(more - less for less, more in zip((0, *up_to), up_to, strict=False))
    return Figures(scores=each, levels=classes.levels).score_shift
