"""Values as the inputs of a model take them."""

from __future__ import annotations

from typing import Any

from serving.proxy.instances import MAX_NUMBER


def as_number(value: Any) -> float | None:
    """None where there is no number: missing, not within float32, or of another type."""
    if not isinstance(value, (int, float)) or not abs(value) <= MAX_NUMBER:
        return None
    return float(value)
