from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from mlops.errors import InputError, NotFound
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.settings import chosen_fields, list_models, load_defaults, with_overrides


def test_the_windows_lie_back_from_the_last_day() -> None:
    windows = with_overrides(DEFAULTS, {"test_end": "2018-08-15"}).windows(date(2030, 1, 1))

    assert windows.train.start == datetime(2018, 7, 25, tzinfo=UTC)
    assert windows.train.end == datetime(2018, 8, 1, tzinfo=UTC)
    assert windows.test.start == datetime(2018, 8, 8, tzinfo=UTC)
    assert windows.test.end == datetime(2018, 8, 15, tzinfo=UTC)


def test_without_a_last_day_the_windows_end_where_the_run_starts() -> None:
    assert DEFAULTS.windows(date(2024, 3, 1)).test.end == datetime(2024, 3, 1, tzinfo=UTC)


def test_overrides_reach_inner_settings_and_read_numbers() -> None:
    changed = with_overrides(
        DEFAULTS,
        {"thresholds.auc_roc": "0.7", "hyperparameters.max_iter": "5", "algorithm": "random_forest"}
        | {"hyperparameters": "{}"},
    )

    assert changed.thresholds["auc_roc"] == 0.7
    assert changed.algorithm == "random_forest"


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ({"learning": "1"}, "learning"),
        ({"train_days": "0"}, "train_days"),
        ({"algorithm": "magic"}, "logistic_regression, random_forest, gradient_boosting"),
        ({"hyperparameters.depth": "3"}, "gradient_boosting knows no"),
        ({"thresholds.f1": "0.5"}, "same metrics"),
        ({"seed.inner": "1"}, "'seed' has no inner settings"),
        (
            {"thresholds": '{"mood": 0.5}', "tolerance": '{"mood": 0.1}'},
            "whether more or less mood is better",
        ),
    ],
)
def test_a_wrong_override_is_refused_by_name(pairs: dict[str, str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        with_overrides(DEFAULTS, pairs)


def test_what_was_chosen_is_sent_whole_even_where_it_is_the_default() -> None:
    chosen = with_overrides(DEFAULTS, {"thresholds.auc_roc": "0.7", "seed": "0"})

    assert chosen_fields(chosen, ["thresholds.auc_roc", "seed"]) == {
        "thresholds": {**DEFAULTS.thresholds, "auc_roc": 0.7},
        "seed": 0,
    }


def test_hyperparameters_are_the_defaults_with_what_was_changed() -> None:
    changed = with_overrides(DEFAULTS, {"hyperparameters.max_iter": "5"})

    assert changed.effective_hyperparameters["max_iter"] == 5
    assert changed.effective_hyperparameters["learning_rate"] == 0.05


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    assert "fraud" in list_models()
    with pytest.raises(NotFound, match="fraud"):
        load_defaults("frod")


def test_versions_take_over_by_canary_in_prod_and_at_once_elsewhere() -> None:
    prod = DEFAULTS.rollout_in("prod")
    assert prod is not None
    assert (prod.steps, prod.bake_seconds, prod.key) == ((0.05, 0.25, 0.5), 1800, "customer_id")
    assert prod.bounds.latency_ms == DEFAULTS.latency_budget_ms
    assert [DEFAULTS.rollout_in(env) for env in ("local", "dev", "stage")] == [None] * 3


def test_a_rollout_that_a_run_was_told_counts_everywhere() -> None:
    told = with_overrides(DEFAULTS, {"rollout": '{"steps": [0.5], "bounds": {"latency_ms": 9}}'})
    found = [told.rollout_in(env) for env in ("local", "prod")]
    assert [one and (one.steps, one.bounds.latency_ms) for one in found] == [((0.5,), 9)] * 2


def test_a_gradual_rollout_without_a_time_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match=r"the rollout in prod needs latency_budget_ms"):
        with_overrides(DEFAULTS, {"latency_budget_ms": "null"})
