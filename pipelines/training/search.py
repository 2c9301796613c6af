"""A search for hyperparameters: what a model lets be tried, and how a trial is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

OBJECTIVE = "objective"
TRIALS = "trials.json"
"""Beside the run's document: what was tried, and how good it was."""


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; of whole ones both are whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float
    log: bool = False
    """Whether each order of magnitude is tried as often as another."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("a range goes from low to high, and above 0 where it is logarithmic")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(BaseModel):
    """The space of a model's search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: Mapping[str, Range | tuple[str, ...]]
    """By hyperparameter: a range, or the texts to choose from."""
    metric: Literal["auc_roc", "average_precision"] = "average_precision"
    holdout: float = 0.2
    """The last share of the training rows: a trial is judged on them, and trained on the others."""

    def ranges(self) -> dict[str, Any]:
        """As SageMaker's ParameterRanges."""
        found: dict[str, list[dict[str, Any]]] = {
            "ContinuousParameterRanges": [],
            "IntegerParameterRanges": [],
            "CategoricalParameterRanges": [],
        }
        for name, tried in self.space.items():
            if isinstance(tried, Range):
                kind = "IntegerParameterRanges" if tried.whole else "ContinuousParameterRanges"
                scale = "Logarithmic" if tried.log else "Linear"
                ends = {"MinValue": str(tried.low), "MaxValue": str(tried.high)}
                found[kind].append({"Name": name, **ends, "ScalingType": scale})
            else:
                found["CategoricalParameterRanges"].append({"Name": name, "Values": list(tried)})
        return {kind: ranges for kind, ranges in found.items() if ranges}


class Trial(BaseModel):
    """One training job of a search, as SageMaker lists it."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: str
    tuned: Mapping[str, str]
    value: float | None
    """Of the objective; None where the trial did not come that far."""


def to_trials(summaries: list[Mapping[str, Any]]) -> list[Trial]:
    """Read TrainingJobSummaries."""
    metric = "FinalHyperParameterTuningJobObjectiveMetric"
    return [
        Trial(
            name=one["TrainingJobName"],
            status=one["TrainingJobStatus"],
            tuned=one["TunedHyperParameters"],
            value=one.get(metric, {}).get("Value"),
        )
        for one in summaries
    ]
