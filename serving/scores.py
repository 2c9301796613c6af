"""What a model's answer says of each row, as its manifest describes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

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


def read_answer(manifest: Manifest, answer: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """One number for each row, or [n, classes] where there are several classes."""
    return read_scores(manifest, answer) if is_single(manifest) else answer.astype(np.float64)


class Told(NamedTuple):
    """What a model says of one row: one number, or one for each class."""

    score: float | None
    label: str | None = None
    """The likeliest class, where there are several."""
    scores: Mapping[str, float] | None = None

    @property
    def is_number(self) -> bool:
        if self.scores is None:
            return self.score is not None and not math.isnan(self.score)
        return not any(map(math.isnan, self.scores.values()))


def tell_rows(manifest: Manifest, read: npt.NDArray[np.float64]) -> list[Told]:
    """Row by row what was read."""
    if read.ndim == 1:
        return [Told(score) for score in read.tolist()]
    classes = manifest.classes
    return [
        Told(None, classes[best], dict(zip(classes, row, strict=True)))
        for best, row in zip(read.argmax(axis=1).tolist(), read.tolist(), strict=True)
    ]


def describe_rows(manifest: Manifest, answer: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """{"score"} for each row, or {"class", "scores"} where there are several classes."""
    return [describe_told(told) for told in tell_rows(manifest, read_answer(manifest, answer))]


def describe_told(told: Told) -> dict[str, Any]:
    if told.scores is None:
        return {"score": told.score}
    return {"class": told.label, "scores": told.scores}
