"""A request under way: what is known of each instance when its time is over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops.errors import MlopsError
from mlops.stores.online import FeatureValue
from serving.errors import ComputationFailed
from serving.proxy.features import Assembled
from serving.proxy.instances import Instance
from serving.proxy.routes import Choice
from serving.proxy.served import ServedModel


@dataclass(frozen=True)
class Prediction:
    """What one instance got: a score of the model, the model's fallback, or its own error."""

    features: Mapping[str, FeatureValue]
    defaulted: frozenset[str] = frozenset()
    score: float | None = None
    error: MlopsError | None = None
    fallback: str | None = None
    """The code of what failed, where the score is the model's fallback."""


@dataclass
class Work:
    """The instances of one request, and how far each has come."""

    choice: Choice
    given: Sequence[Any]
    outcomes: list[Instance | MlopsError] = field(default_factory=list)
    assembled: list[Assembled] = field(default_factory=list)
    """Of the valid instances, in order; empty until their features are there."""
    scores: list[float] = field(default_factory=list)
    """Of those whose inputs are complete, in order."""

    @property
    def model(self) -> ServedModel:
        return self.choice.model

    @property
    def valid(self) -> list[Instance]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Instance)]

    @property
    def complete(self) -> list[Assembled]:
        return [one for one in self.assembled if one.error is None]

    def parse(self) -> None:
        schema = self.model.schema
        for index, instance in enumerate(self.given):
            try:
                self.outcomes.append(schema.parse(instance, index))
            except MlopsError as exc:
                self.outcomes.append(exc)

    def items(self) -> list[Prediction]:
        """One for each instance, when all of it is done."""
        scores = iter(self.scores)
        return [_scored(one, scores) for one in self._known()]

    def instead(self, error: MlopsError, score: float) -> list[Prediction]:
        """One for each instance, where the rest of the work failed: the fallback, or its error."""
        return [
            Prediction(one.features, frozenset(one.defaulted), score, None, error.code)
            if one.error is None
            else Prediction(one.features, frozenset(one.defaulted), error=one.error)
            for one in self._known()
        ]

    def _known(self) -> list[Assembled]:
        assembled = iter(self.assembled)
        return [
            next(assembled, Assembled())
            if isinstance(outcome, Instance)
            else Assembled(error=outcome)
            for outcome in self.outcomes
        ]


def _scored(one: Assembled, scores: Iterator[float]) -> Prediction:
    score = next(scores) if one.error is None else None
    error = one.error
    if score is not None and math.isnan(score):
        error = ComputationFailed(
            "The model gives no number for these inputs.",
            remedy="The model's owner should give the missing features a default in its manifest.",
        )
    return Prediction(one.features, frozenset(one.defaulted), None if error else score, error)
