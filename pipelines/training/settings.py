"""What a training run can be told: typed, frozen, the same in the command, the jobs and the ASL."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.answering import Answering
from mlops.errors import InputError, NotFound
from mlops.manifest import ModelInput, Window
from mlops.registry.comparison import better_direction
from mlops.strategy import Strategy
from pipelines.training.search import Search
from pipelines.training.starts import Starts

Turns = Literal["together", "queue", "refuse"]
Days = Annotated[int, Field(ge=1, le=3650)]
Hyperparameter = int | float | str | bool | None
_Settings = TypeVar("_Settings", bound=BaseModel)


@dataclass(frozen=True)
class Windows:
    """The split by time: train, a gap in which labels arrive, test; all at 00:00 UTC."""

    train: Window
    test: Window
    delay_days: int


class Instances(BaseModel):
    """On what the jobs run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processing: str = "ml.m5.xlarge"
    training: str = "ml.m5.xlarge"
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    max_seconds: Annotated[int, Field(ge=60, le=86400)] = 3600
    spot: bool = False
    """Train on spot instances: cheaper, and begun again when AWS takes one back."""
    spot_wait_seconds: Annotated[int, Field(ge=0, le=86400)] = 3600
    """How long training may wait for spot instances, beside its own time."""


class TrainingSettings(BaseModel):
    """The settings that every model's workflow has; a model adds its own in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithms: ClassVar[Mapping[str, Mapping[str, Hyperparameter]]]
    """Every algorithm the model can be trained with, and its hyperparameters' defaults."""

    turns: ClassVar[Turns] = "together"
    """Whether a run waits for the one before it ('queue'), is refused ('refuse'), or neither."""
    search: ClassVar[Search | None] = None
    """What `trials` try; None for a model that is not searched."""
    rollouts: ClassVar[Mapping[str, Strategy]] = {}
    """How an approved version takes over, by environment; at once where none is named."""

    starts: ClassVar[Starts] = Starts()
    """What starts a run by itself, once 'mlops workflows schedule set' has put it in force."""
    reads: ClassVar[tuple[str, ...]] = ()
    """The tables of its rows and features: where one is missing yet, no merge starts a run."""

    model: str
    feature_service: str
    inputs: tuple[ModelInput, ...]
    """The columns of the model's matrix, in order."""
    algorithm: str
    hyperparameters: Mapping[str, Hyperparameter] = {}
    """What differs from the algorithm's defaults."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    trials: Annotated[int, Field(ge=0, le=100)] = 0
    """How many hyperparameters are tried before the model is trained with the best of them."""
    parallel_trials: Annotated[int, Field(ge=1, le=10)] = 2

    test_end: date | None = None
    """The first day after the test window; None is the day on which the run starts."""
    train_days: Days = 7
    delay_days: Days = 7
    """Days between training and test, in which the labels of the training window arrive."""
    test_days: Days = 7

    thresholds: Mapping[str, float]
    """What a metric must reach to be registered: at least, or at most where less of it is better,
    which its name says (`log_loss`, `rmse`)."""
    tolerance: Mapping[str, float]
    """How much a metric may be worse than the approved version's on the same rows."""
    onnx_bound: Annotated[float, Field(gt=0)] = 1e-5
    """The largest difference between the ONNX graph's and the native model's probability."""
    answering: Answering | None = None
    """Its callers' deadline and fallback; None leaves them to the proxy and to operations."""
    latency_budget_ms: Annotated[float, Field(gt=0)] | None = None
    """Within which 95 % of its callers must be answered, whatever else runs beside it."""
    rollout: Strategy | None = None
    """How an approved version takes over from the one before; None is as `rollouts` has it."""
    instances: Instances = Instances()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.algorithm not in self.algorithms:
            raise ValueError(f"algorithm must be one of {', '.join(self.algorithms)}")
        unknown = set(self.hyperparameters) - set(self.algorithms[self.algorithm])
        if unknown:
            known = ", ".join(self.algorithms[self.algorithm])
            raise ValueError(f"{self.algorithm} knows no {sorted(unknown)}; it knows {known}")
        if self.trials and self.search is None:
            raise ValueError(f"{self.model} declares no search, so that there is nothing to try")
        if set(self.thresholds) != set(self.tolerance):
            raise ValueError("thresholds and tolerance must name the same metrics")
        if unclear := [name for name in self.thresholds if better_direction(name) is None]:
            raise ValueError(
                f"nobody knows whether more or less {', '.join(unclear)} is better; let the name "
                "say it, as in mood_auc, mood_precision, mood_error or mood_loss"
            )
        if unbounded := [env for env in (*self.rollouts, "") if self._is_unbounded(env)]:
            raise ValueError(
                f"the rollout {_where(unbounded)} needs latency_budget_ms, or latency_ms among its "
                "bounds: a slow version slows the one beside it, which a ratio does not show"
            )
        return self

    def rollout_in(self, env: str) -> Strategy | None:
        """How an approved version takes over in an environment, held to the model's budget."""
        strategy = self.rollout or self.rollouts.get(env)
        if strategy is None or strategy.bounds.latency_ms is not None:
            return strategy
        bounds = strategy.bounds.model_copy(update={"latency_ms": self.latency_budget_ms})
        return strategy.model_copy(update={"bounds": bounds})

    def _is_unbounded(self, env: str) -> bool:
        strategy = self.rollout_in(env)
        return bool(strategy and strategy.is_gradual and strategy.bounds.latency_ms is None)

    @property
    def effective_hyperparameters(self) -> dict[str, Hyperparameter]:
        return {**self.algorithms[self.algorithm], **self.hyperparameters}

    def windows(self, today: date) -> Windows:
        """The windows of a run that starts on `today`."""
        test_end = self.test_end or today
        test_start = test_end - timedelta(days=self.test_days)
        train_end = test_start - timedelta(days=self.delay_days)
        train_start = train_end - timedelta(days=self.train_days)
        return Windows(
            train=Window(start=_midnight(train_start), end=_midnight(train_end)),
            test=Window(start=_midnight(test_start), end=_midnight(test_end)),
            delay_days=self.delay_days,
        )


def _where(environments: Iterable[str]) -> str:
    return "in " + ", ".join(env or "any environment" for env in environments)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def with_overrides(defaults: _Settings, pairs: Mapping[str, str]) -> _Settings:
    """The defaults, changed by 'key' or 'key.inner' with a text that is JSON where it can be.

    Raises InputError naming every key that is unknown or wrong.
    """
    values = defaults.model_dump(mode="json")
    for key, text in pairs.items():
        _assign(values, key, literal(text))
    try:
        return type(defaults).model_validate(values)
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in exc.errors()
        )
        known = ", ".join(type(defaults).model_fields)
        of = getattr(defaults, "model", type(defaults).__name__)
        raise InputError(f"Settings of '{of}': {wrong}. They are: {known}.") from exc


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise InputError(f"'{key}': '{parent}' has no inner settings.")
        values = inner
    values[last] = value


def literal(text: str) -> Any:
    """A text as JSON where it is some, else as it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def chosen_fields(settings: BaseModel, keys: Iterable[str]) -> dict[str, Any]:
    """The top-level fields that 'key' or 'key.inner' belong to, as JSON values.

    What was chosen is sent even where it is this checkout's default: the deployed one may differ.
    """
    return settings.model_dump(mode="json", include={key.partition(".")[0] for key in keys})


def load_defaults(model: str) -> TrainingSettings:
    """The settings that a model's folder declares: `DEFAULTS` in pipelines/<model>/settings.py.

    Raises NotFound listing the models there are.
    """
    if model not in list_models():
        raise NotFound(f"There is no model '{model}'. There are: {', '.join(list_models())}.")
    defaults = importlib.import_module(f"pipelines.{model}.settings").DEFAULTS
    assert isinstance(defaults, TrainingSettings)
    return defaults


def list_models() -> list[str]:
    """Every folder of pipelines/ that has a training script."""
    pipelines = Path(__file__).parent.parent
    return sorted(path.parent.name for path in pipelines.glob("*/train.py"))
