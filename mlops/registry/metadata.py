"""What registration writes of a version, as the short texts that every registry keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

METRIC = "metric_"
_FIELDS = ("model_prefix", "manifest_sha256", "trained_by", "submitted_by")


def read_metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """Fields of `ModelVersion`; a metric that is no number is NaN, which is never approved."""
    written = dict(texts)
    known = {name: written.pop(name, "") for name in _FIELDS}
    metrics = {
        name.removeprefix(METRIC): _number(written.pop(name))
        for name in list(written)
        if name.startswith(METRIC)
    }
    return {**known, "metrics": metrics, "lineage": written}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
