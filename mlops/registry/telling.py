"""A comparison in a few lines, for whoever is told that a version waits."""

from __future__ import annotations

from collections.abc import Iterator

from mlops.registry.comparison import Comparison, SameRowsPair, compare, shown_with_interval
from mlops.registry.dossier import Dossier

_FAR = 0.1
"""The distance from which on an input is told to have moved."""
_VERDICTS = {"first": "worse", "second": "better", "equal": "the same", "unclear": "may be chance"}


def tell_comparison(approved: Dossier | None, waiting: Dossier) -> list[str]:
    """What an approver asks first: which is better on the same rows, and what else changed."""
    if approved is None:
        return ["no version is approved yet, so that there is nothing to compare it with"]
    return list(_lines(compare(approved, waiting), approved))


def _lines(found: Comparison, approved: Dossier) -> Iterator[str]:
    if not found.same_rows:
        yield f"not measured on the same rows as {approved.label}"
    for pair in found.same_rows:
        yield _beside(pair, approved)
    for cost in found.cost:
        if cost.first is not None and cost.second is not None and cost.better != "equal":
            yield f"{cost.metric} {cost.first:.4g} → {cost.second:.4g}"
    if found.inputs:
        yield f"inputs changed: {', '.join(change.name for change in found.inputs)}"
    if moved := [f"{d.name} {d.distance:.2f}" for d in found.drifts if d.distance >= _FAR][:3]:
        yield f"its data moved most (KS): {', '.join(moved)}"
    yield from found.missing


def _beside(pair: SameRowsPair, approved: Dossier) -> str:
    own = shown_with_interval(pair.second, pair.second_interval)
    theirs = shown_with_interval(pair.first, pair.first_interval)
    change = shown_with_interval(pair.difference, pair.difference_interval, sign="+")
    verdict = _VERDICTS.get(pair.better or "")
    told = f"{pair.metric} {own} beside {theirs} of {approved.label}, {change}"
    return f"{told}: {verdict}" if verdict else told
