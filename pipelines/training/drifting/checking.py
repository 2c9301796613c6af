"""Many models looked at, and what of it is to be told. Pure, but for the look itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from mlops.bus import DRIFTED, MODELS
from mlops.errors import MlopsError
from mlops.registry.drift.desk import NothingToWatch, drift_event
from mlops.registry.drift.measure import Check, Moved
from mlops.registry.drift.seen import Seen

MOST = 10
"""What PutEvents takes at once; the others are found again by the next run."""
Look = Callable[[str], Check]
"""Looks at one model. Raises what `look_for_drift` raises."""


class Entry(BaseModel):
    """An event for the bus, as PutEvents spells it."""

    model_config = ConfigDict(frozen=True)

    Source: str = MODELS
    DetailType: str = DRIFTED
    Detail: dict[str, Any]


class Report(BaseModel):
    """What the state machine tells; it reads the counts to see whether there is anything."""

    model_config = ConfigDict(frozen=True)

    entries: tuple[Entry, ...]
    entries_count: int
    new: dict[str, list[str]]
    """Of drift that was never told: what drifted, by model, the farthest first."""
    new_count: int
    subject: str
    seen: Seen
    failed: dict[str, str]
    """Why a model could not be looked at."""
    failed_count: int
    failures: str
    lines: tuple[str, ...]
    """For people: one for each model."""


@dataclass(frozen=True)
class Found:
    """A check of one model, and what of it is drift."""

    check: Check
    drifted: list[Moved]
    known: bool

    @property
    def columns(self) -> list[str]:
        return [moved.name for moved in self.drifted]

    @property
    def line(self) -> str:
        name = f"{self.check.model} {self.check.version}"
        if not self.drifted:
            return f"{name}: no drift in {len(self.check.columns)} columns"
        told = ", told before" if self.known else ""
        return f"{name}: drift{told}: {', '.join(map(_distance, self.drifted))}"


def _distance(moved: Moved) -> str:
    far = "" if moved.distance is None else f" {moved.distance:.3f}"
    return f"{moved.name}{far} ({moved.missing_before:.1%} → {moved.missing:.1%} missing)"


def check_models(
    models: Iterable[str], look: Look, seen: Seen, *, above: float, now: datetime
) -> Report:
    """Look at every model, whatever becomes of the others. above: the distance that is drift."""
    found: list[Found] = []
    failed: dict[str, str] = {}
    lines: list[str] = []
    for model in models:
        try:
            found.append(_judge(look(model), seen, above))
            lines.append(found[-1].line)
        except NothingToWatch as exc:
            lines.append(f"{model}: {exc}")
        except MlopsError as exc:
            failed[model] = str(exc)
            lines.append(f"{model}: error: {exc}")
    return _report(list(_chosen(found)), seen, failed, lines, now=now)


def _judge(check: Check, seen: Seen, above: float) -> Found:
    drifted = check.beyond(above)
    columns = [moved.name for moved in drifted]
    return Found(check, drifted, seen.knows(check.model, check.version, columns, since=check.since))


def _chosen(found: Iterable[Found]) -> Iterator[Found]:
    """What drifted, as many as can be told at once, what is new first."""
    drifted = sorted((one for one in found if one.drifted), key=lambda one: one.known)
    yield from drifted[:MOST]


def _report(
    told: list[Found], seen: Seen, failed: dict[str, str], lines: list[str], *, now: datetime
) -> Report:
    for one in told:
        check = one.check
        seen = seen.adding(check.model, check.version, one.columns, since=check.since, now=now)
    new = {one.check.model: [_distance(m) for m in one.drifted] for one in told if not one.known}
    entries = [_entry(one) for one in told]
    return Report(
        entries=tuple(entries),
        entries_count=len(entries),
        new=new,
        new_count=len(new),
        subject=f"Drift was found: {', '.join(new)}"[:99],
        seen=seen,
        failed=failed,
        failed_count=len(failed),
        failures=" ".join(f"{model}: {why}" for model, why in failed.items()),
        lines=tuple(lines),
    )


def _entry(found: Found) -> Entry:
    detail = drift_event(found.check, found.drifted, again=found.known)
    return Entry(Detail=detail | {"since": found.check.since.isoformat()})
