"""A request under way: what is known of each instance when its time is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlops.errors import MlopsError
from mlops.stores.online import FeatureValue
from serving.errors import ComputationFailed
from serving.proxy.features import Assembled
from serving.proxy.instances import Instance
from serving.proxy.routes import Choice
from serving.proxy.served import ServedModel
from serving.scores import Told


class Prediction(NamedTuple):
    """What one instance got: a score of the model, the model's fallback, or its own error."""

    features: Mapping[str, FeatureValue]
    defaulted: frozenset[str] = frozenset()
    score: float | None = None
    error: MlopsError | None = None
    fallback: str | None = None
    """The code of what failed, where the score is the model's fallback."""
    classes: Told | None = None
    """What a model says that tells several classes apart, in place of a score."""


@dataclass(slots=True)
class Work:
    """The instances of one request, and how far each has come."""

    choice: Choice
    given: Sequence[Any]
    outcomes: list[Instance | MlopsError] = field(default_factory=list)
    assembled: list[Assembled] = field(default_factory=list)
    """Of the valid instances, in order; empty until their features are there."""
    told: list[Told] = field(default_factory=list)
    """By the model, of those whose inputs are complete, in order."""

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
        told = iter(self.told)
        return [_scored(one, None if one.error else next(told)) for one in self._known()]

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


def _scored(one: Assembled, told: Told | None) -> Prediction:
    defaulted = frozenset(one.defaulted)
    if told is None:
        return Prediction(one.features, defaulted, error=one.error)
    if not told.is_number:
        error = ComputationFailed(
            "The model gives no number for these inputs.",
            remedy="The model's owner should give the missing features a default in its manifest.",
        )
        return Prediction(one.features, defaulted, error=error)
    classes = None if told.scores is None else told
    return Prediction(one.features, defaulted, told.score, classes=classes)
