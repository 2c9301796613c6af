"""What the loan default model is trained on, with, and judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mlops.manifest import ModelInput
from pipelines.training.search import Range, Search
from pipelines.training.settings import Hyperparameter, TrainingSettings, Turns
from pipelines.training.starts import Starts


class CreditSettings(TrainingSettings):
    """Defaults reach the thresholds on the loans of Feast's credit scoring tutorial."""

    algorithms: ClassVar[Mapping[str, Mapping[str, Hyperparameter]]] = {
        "lightgbm": {
            "n_estimators": 200,
            "learning_rate": 0.05,
            "num_leaves": 31,
            "min_child_samples": 20,
        },
    }
    turns: ClassVar[Turns] = "refuse"
    starts: ClassVar[Starts] = Starts(new_data=("loans",), merge=True)
    reads: ClassVar[tuple[str, ...]] = ("loans", "credit_history", "zipcodes")
    search: ClassVar[Search | None] = Search(
        space={
            "learning_rate": Range(low=0.02, high=0.2, log=True),
            "num_leaves": Range(low=7, high=63, log=True),
            "min_child_samples": Range(low=5, high=60),
        }
    )


def _asked(*names: str) -> list[ModelInput]:
    return [ModelInput(name=name, origin="request", source=name) for name in names]


def _computed(*names: str) -> list[ModelInput]:
    return [ModelInput(name=n, origin="on_demand", source=f"loan_terms:{n}") for n in names]


def _known(view: str, *names: str) -> list[ModelInput]:
    """Whom no bureau and no census knows has no value, which the trees can tell from 0."""
    return [
        ModelInput(name=n, origin="feature", source=f"{view}:{n}", on_missing="null") for n in names
    ]


DEFAULTS = CreditSettings(
    model="credit",
    feature_service="credit_v1",
    inputs=(
        *_asked("person_age", "person_income", "person_emp_length", "loan_amnt", "loan_int_rate"),
        *_computed("loan_over_income", "home_code", "intent_code"),
        *_known("credit_history", "credit_card_due", "mortgage_due", "missed_payments_1y"),
        *_known("zipcode_economy", "tax_returns_filed", "population", "total_wages"),
    ),
    algorithm="lightgbm",
    train_days=240,
    delay_days=30,
    test_days=60,
    thresholds={"auc_roc": 0.9, "average_precision": 0.85},
    tolerance={"auc_roc": 0.005, "average_precision": 0.01},
)
