"""What a model's answer says of each row, as its manifest describes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.errors import Refused
from mlops.manifest import Manifest


def is_single(manifest: Manifest) -> bool:
    """Whether one number says it all: the probability of yes, or a regression's value."""
    return manifest.output != "probabilities" or len(manifest.classes) == 2


def read_scores(manifest: Manifest, answer: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """One number for each row: n values. Raises Refused for a model of several classes."""
    if not is_single(manifest):
        raise Refused(
            f"Model '{manifest.model}' tells {len(manifest.classes)} classes apart; no single "
            "score says what it found."
        )
    column = answer[:, 1] if manifest.output == "probabilities" else answer.reshape(len(answer))
    return column.astype(np.float64)


def describe_rows(manifest: Manifest, answer: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """{"score"} for each row, or {"class", "scores"} where there are several classes."""
    if is_single(manifest):
        return [{"score": score} for score in read_scores(manifest, answer).tolist()]
    classes = manifest.classes
    return [
        {"class": classes[best], "scores": dict(zip(classes, row, strict=True))}
        for best, row in zip(answer.argmax(axis=1).tolist(), answer.tolist(), strict=True)
    ]
