"""When the demo plays, and public payments whose published results are printed beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day

METRICS = ("auc_roc", "average_precision", "card_precision_100")


@dataclass(frozen=True)
class Published:
    """A public data set, recognised by its rows and first day, and its published results."""

    name: str
    rows: int
    first_day: date
    test_end: date
    """The first day after its published test window."""
    results: Mapping[str, tuple[float, float, float]]
    """By model: the METRICS, in order."""


HANDBOOK = Published(
    name="Fraud Detection Handbook, chapter 3 (exact windows; ours are daily snapshots)",
    rows=1_754_155,
    first_day=date(2018, 4, 1),
    test_end=date(2018, 8, 15),
    results={
        "logistic regression": (0.871, 0.606, 0.291),
        "decision tree, depth 2": (0.763, 0.496, 0.241),
        "random forest": (0.867, 0.658, 0.287),
        "XGBoost": (0.862, 0.639, 0.273),
    },
)


@dataclass(frozen=True)
class Days:
    """When the demo plays: the last test day is the one whose payment is scored."""

    test_end: date
    published: Published | None

    @property
    def scored(self) -> datetime:
        return _midnight(self.test_end - timedelta(days=1))

    @property
    def trained(self) -> datetime:
        return _midnight(self.test_end)


def choose_days(rows: int, first: date, last: date) -> Days:
    """The handbook's own days for its payments, else the last of the payments' days."""
    if (rows, first) == (HANDBOOK.rows, HANDBOOK.first_day):
        return Days(HANDBOOK.test_end, HANDBOOK)
    return Days(last + timedelta(days=1), None)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time_of_day(), tzinfo=UTC)
