"""What a hyperparameter tuning job tries: drawn at random from its ranges, seeded. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
_REFUSED = {
    "TrainingJobEarlyStoppingType": "lets every trial end",
    "TuningJobCompletionCriteria": "tries MaxNumberOfTrainingJobs, no more and no less",
    "StrategyConfig": "searches at random",
}


def refused_search(config: Document) -> str | None:
    """What of a tuning job's configuration the local AWS does not do, by name."""
    if config["Strategy"] != "Random":
        return f"Strategy {config['Strategy']}: the local AWS searches at random; use Random"
    for name, why in _REFUSED.items():
        if config.get(name, "Off") != "Off":
            return f"{name}: the local AWS {why}"
    if "HyperParameterTuningJobObjective" not in config:
        return "HyperParameterTuningJobObjective: say which metric is to be reached"
    if not any(config.get("ParameterRanges", {}).values()):
        return "ParameterRanges: say what is to be searched"
    return next(filter(None, map(_refused_range, _scaled(config["ParameterRanges"]))), None)


def _refused_range(scaled: tuple[str, float, float, str]) -> str | None:
    name, low, high, scaling = scaled
    if low > high:
        return f"ParameterRanges '{name}': MinValue {low} is above MaxValue {high}"
    if scaling == "ReverseLogarithmic":
        return f"ParameterRanges '{name}': the local AWS scales Linear, Logarithmic or Auto"
    if scaling == "Logarithmic" and low <= 0:
        return f"ParameterRanges '{name}': a logarithmic scale begins above 0"
    return None


def draw_trials(config: Document) -> list[dict[str, str]]:
    """A value for every range, for every trial; the same seed gives the same trials."""
    chance = random.Random(config.get("RandomSeed", 0))  # noqa: S311 - a search, no secret
    number = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    return [_draw(config["ParameterRanges"], chance) for _ in range(number)]


def _draw(ranges: Document, chance: random.Random) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in ranges.get("ContinuousParameterRanges", ()):
        found[one["Name"]] = repr(_number(one, chance))
    for one in ranges.get("IntegerParameterRanges", ()):
        low, high = int(one["MinValue"]), int(one["MaxValue"])
        found[one["Name"]] = str(min(high, max(low, round(_number(one, chance)))))
    for one in ranges.get("CategoricalParameterRanges", ()):
        found[one["Name"]] = chance.choice(one["Values"])
    return found


def _number(one: Document, chance: random.Random) -> float:
    low, high = float(one["MinValue"]), float(one["MaxValue"])
    if one.get("ScalingType") == "Logarithmic":
        return math.exp(chance.uniform(math.log(low), math.log(high)))
    return chance.uniform(low, high)


def _scaled(ranges: Document) -> Iterator[tuple[str, float, float, str]]:
    for kind in ("ContinuousParameterRanges", "IntegerParameterRanges"):
        for one in ranges.get(kind, ()):
            scaling = one.get("ScalingType", "Auto")
            yield one["Name"], float(one["MinValue"]), float(one["MaxValue"]), scaling
