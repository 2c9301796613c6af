"""What a model was trained on is what it is asked with: the same rows give the same inputs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.feast import historical_features
from mlops.manifest import ModelInput
from mlops.objects import MemoryDocuments
from mlops.plan import FeaturePlan, load_transformations
from mlops.stores.online import MemoryOnlineStore
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.dataset import to_matrix as matrix_of_training
from serving.proxy.features import assemble
from serving.proxy.features import to_matrix as matrix_of_serving
from serving.proxy.served import ServedModel, build_served_model
from tests.fraud_plan import REPO, fraud_plan
from tests.serving_examples import NOW, build_manifest, onnx_model, publish

ROWS = 10_000


class StoredRows:
    """A Feast store whose point-in-time join finds prepared values."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows

    def get_historical_features(self, entity_df: pd.DataFrame, features: list[str]) -> StoredRows:
        self._rows = pd.concat([entity_df.reset_index(drop=True), self._rows], axis=1)
        return self

    def to_df(self) -> pd.DataFrame:
        return self._rows


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    return fraud_plan()


def payments() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    seconds = rng.integers(0, 30 * 86400, ROWS)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(ROWS)],
            "terminal_id": [f"t{i}" for i in range(ROWS)],
            "amount": rng.gamma(2.0, 30.0, ROWS).round(2),
            "event_time": pd.Timestamp(NOW) + pd.to_timedelta(seconds, unit="s"),
        }
    )


def stored(plan: FeaturePlan) -> pd.DataFrame:
    """Counts, means and shares; a customer without payments has zeros, some terminals nothing."""
    rng = np.random.default_rng(11)
    columns = {
        f.name: rng.integers(0, 9, ROWS) if f.dtype == "Int64" else rng.uniform(0, 300, ROWS)
        for view in plan.views
        for f in view.features
    }
    frame = pd.DataFrame(columns).astype("float64")
    frame.loc[rng.random(ROWS) < 0.1, "customer_mean_amount_30d"] = 0.0
    unseen = rng.random(ROWS) < 0.2
    frame.loc[unseen, [f.name for f in plan.views[1].features]] = np.nan
    return frame


def online(plan: FeaturePlan, rows: pd.DataFrame) -> MemoryOnlineStore:
    store = MemoryOnlineStore()
    for view in plan.views:
        prefix = view.join_keys[0][0]
        for index, values in enumerate(rows[[f.name for f in view.features]].to_dict("records")):
            if not any(np.isnan(list(values.values()))):
                typed = {
                    f.name: int(values[f.name]) if f.dtype == "Int64" else values[f.name]
                    for f in view.features
                }
                store.put(view.name, (f"{prefix}{index}",), NOW - timedelta(hours=1), typed)
    return store


def served(plan: FeaturePlan, store: MemoryOnlineStore, inputs: Any) -> ServedModel:
    graph = onnx_model(width=len(inputs))
    manifest = build_manifest(plan, graph, columns=inputs)
    version = publish(MemoryDocuments(), manifest, graph, version=1)
    return build_served_model("fraud", version, manifest, plan, store=store, repo=REPO)


async def test_ten_thousand_payments_give_the_same_inputs_offline_and_online(
    plan: FeaturePlan,
) -> None:
    inputs: tuple[ModelInput, ...] = tuple(DEFAULTS.inputs)
    paid, features = payments(), stored(plan)
    functions = load_transformations(plan, REPO)
    joined: Any = StoredRows(features)
    offline = matrix_of_training(historical_features(joined, plan, paid, functions), inputs)

    model = served(plan, online(plan, features), inputs)
    sent = [row | {"event_time": row["event_time"].isoformat()} for row in paid.to_dict("records")]
    instances = [model.schema.parse(row, index) for index, row in enumerate(sent)]
    found = await model.reader.read([i.entities for i in instances], now=NOW)
    answered = matrix_of_serving(assemble(model, instances, found))

    np.testing.assert_array_equal(answered, offline)
