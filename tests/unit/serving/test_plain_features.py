"""The quick way to a prediction's inputs answers what the careful one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.objects import MemoryDocuments
from mlops.stores.online import FeatureStatus, MemoryOnlineStore, ViewTable
from serving.proxy.features import Assembled, assemble
from serving.proxy.plain_features import FoundRows, PlainFeatures
from serving.proxy.predict import describe_features
from serving.proxy.served import ServedModel, build_served_model
from serving.proxy.work import Prediction
from tests.serving_examples import (
    INSTANCE,
    NOW,
    build_manifest,
    build_plan,
    onnx_model,
    publish,
    write_repo,
)

EVENT = int(NOW.timestamp()) * 1_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    repo: Path = write_repo(tmp_path_factory.mktemp("repo"))
    plan, graph = build_plan(repo), onnx_model()
    manifest = build_manifest(plan, graph)
    version = publish(MemoryDocuments(), manifest, graph, version=1)
    store = MemoryOnlineStore()
    return build_served_model("fraud", version, manifest, plan, store=store, repo=repo)


def tables(model: ServedModel, columns: dict[str, Any], *, is_plain: bool) -> list[ViewTable]:
    count = len(next(iter(columns.values())))
    return [
        ViewTable(
            read,
            [FeatureStatus.PRESENT] * count,
            [EVENT] * count,
            [columns[name] for name in read.features],
            {},
            is_plain=is_plain,
        )
        for read in model.reads
    ]


def both(
    model: ServedModel, columns: dict[str, Any], amounts: list[float]
) -> tuple[list[Assembled], list[Assembled]]:
    """The quick way's answer, and the careful one's."""
    sent = [INSTANCE | {"amount": amount} for amount in amounts]
    instances = [model.schema.parse(one, place) for place, one in enumerate(sent)]
    count = len(amounts)
    quick = FoundRows(tables(model, columns, is_plain=True), count)
    careful = FoundRows(tables(model, columns, is_plain=False), count)
    return assemble(model, instances, quick), assemble(model, instances, careful)


numbers = st.floats(-1e30, 1e30)


@given(
    rows=st.lists(
        st.tuples(st.integers(-(2**62), 2**62), numbers, numbers, numbers), min_size=1, max_size=20
    ),
    as_arrays=st.booleans(),
)
def test_both_ways_give_the_same_features_and_inputs(
    model: ServedModel, rows: list[Any], as_arrays: bool
) -> None:
    payments, means, risks, amounts = (list(column) for column in zip(*rows, strict=True))
    columns: dict[str, Any] = {"payments": payments, "mean_amount": means, "risk": risks}
    if as_arrays:
        columns = {name: np.array(values) for name, values in columns.items()}
    quick, careful = both(model, columns, amounts)
    assert [one.vector for one in quick] == [one.vector for one in careful]
    assert [list(one.features.items()) for one in quick] == [
        list(one.features.items()) for one in careful
    ]
    assert [(str(one.error), one.defaulted) for one in quick] == [
        (str(one.error), one.defaulted) for one in careful
    ]


def columns_of(**changes: Any) -> dict[str, Any]:
    return {"payments": [4, 5], "mean_amount": [10.0, 20.0], "risk": [0.1, 0.2]} | changes


def test_the_quick_way_is_taken_where_it_can_be(model: ServedModel) -> None:
    quick, _ = both(model, columns_of(), [1.0, 2.0])
    assert all(isinstance(one.features, PlainFeatures) for one in quick)


def test_a_number_that_the_model_cannot_hold_is_left_to_the_careful_way(
    model: ServedModel,
) -> None:
    quick, careful = both(model, columns_of(mean_amount=[1e300, 20.0]), [1.0, 2.0])
    assert [str(one.error) for one in quick] == [str(one.error) for one in careful]
    assert quick[0].error is not None
    assert quick[1].error is None


def test_a_function_that_raises_for_one_is_left_to_the_careful_way(model: ServedModel) -> None:
    def picky(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if 13.0 in columns["amount"]:
            raise ZeroDivisionError
        return {"over_mean": columns["amount"], "is_night": columns["amount"]}

    (view,) = model.on_demand
    strict = replace(model, on_demand=(replace(view, function=picky),))
    quick, _ = both(strict, columns_of(), [13.0, 2.0])
    assert [one.error is None for one in quick] == [False, True]


def test_an_answer_says_the_same_of_both(model: ServedModel) -> None:
    import orjson

    quick, careful = both(model, columns_of(), [1.0, 2.0])
    for explain in (True, False):
        told = [
            orjson.dumps(describe_features(Prediction(one.features), explain=explain))
            for one in (quick[0], careful[0])
        ]
        assert told[0] == told[1]
