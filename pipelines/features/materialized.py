"""Feast's registry is told which times of a view are online."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.errors import Conflict, NotFound
from mlops.feast import REGISTRY_KEY, load_registry
from mlops.objects import Documents

_ATTEMPTS = 10
_KEPT = 50
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def note_interval(documents: Documents, view: str, start: datetime | None, end: datetime) -> None:
    """Add an interval to a view's, where Feast looks for it; start None is from the beginning.

    Intervals that touch become one. Raises NotFound when the view is not applied any more.
    """
    for _ in range(_ATTEMPTS):
        registry, document = load_registry(documents)
        entries = [entry for entry in registry.feature_views if entry.spec.name == view]
        if document is None or not entries:
            raise NotFound(f"View '{view}' is not applied any more. Run 'mlops features apply'.")
        _merge(entries[0].meta.materialization_intervals, start or _FIRST, end)
        body = registry.SerializeToString(deterministic=True)
        if body == document.body:
            return
        try:
            documents.put(REGISTRY_KEY, body, etag=document.etag)
        except Conflict:
            continue
        return
    raise Conflict("The Feast registry keeps changing. Run the command again.")


def _merge(intervals: Any, start: datetime, end: datetime) -> None:
    known = [(i.start_time.ToDatetime(UTC), i.end_time.ToDatetime(UTC)) for i in intervals]
    joined: list[tuple[datetime, datetime]] = []
    for first, last in sorted([*known, (start, end)]):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    del intervals[:]
    for first, last in joined[-_KEPT:]:
        interval = intervals.add()
        interval.start_time.FromDatetime(first)
        interval.end_time.FromDatetime(last)
