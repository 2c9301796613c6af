"""Public payments with published results for the same task, to print beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

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
