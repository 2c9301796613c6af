"""A new model beside the approved version, on the same rows."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from mlops.errors import InputError, Refused
from mlops.manifest import MANIFEST, MODEL
from mlops.objects import MemoryDocuments
from mlops.registry.memory import MemoryRegistry
from mlops.registry.versions import ModelVersion, Status
from pipelines.fraud.evaluate import measure
from pipelines.fraud.settings import DEFAULTS
from pipelines.fraud.train import fit
from pipelines.training.approved import load_approved
from pipelines.training.dataset import DatasetCard, to_matrix
from pipelines.training.graph import Graph, to_graph
from pipelines.training.native import native_scores
from pipelines.training.package import build_manifest, package_files
from pipelines.training.steps.evaluate import judge
from tests.approvals import BUCKET, model_version
from tests.unit.training import examples

_CARD = DatasetCard(
    dataset="fraud@3",
    feature_service="fraud_v1",
    plan_sha256="p",
    data_snapshot="s",
    train_rows=1,
    train_positives=1,
    test_rows=1,
    test_positives=1,
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    rows = examples.rows(400)
    model = fit(
        to_matrix(rows, DEFAULTS.inputs),
        rows["is_fraud"].to_numpy(),
        algorithm="logistic_regression",
        hyperparameters={},
        seed=0,
    )
    return to_graph(model, width=len(DEFAULTS.inputs), name="fraud")


def _register(
    registry: MemoryRegistry,
    documents: MemoryDocuments,
    graph: Graph,
    *,
    version: int,
    status: Status,
) -> ModelVersion:
    prefix = f"models/fraud/run-{version}/"
    files = package_files(graph, build_manifest(examples.run(), _CARD, graph, {}, {}, env="local"))
    for name in (MODEL, MANIFEST):
        documents.put(prefix + name, files[name])
    return registry.add(
        model_version(
            version,
            status=status,
            model_prefix=f"s3://{BUCKET}/{prefix}",
            manifest_sha256=hashlib.sha256(files[MANIFEST]).hexdigest(),
        )
    )


def test_the_newest_approved_version_is_loaded_and_scores_from_its_own_inputs(
    graph: Graph,
) -> None:
    registry, documents = MemoryRegistry(), MemoryDocuments()
    for version, status in enumerate((Status.APPROVED, Status.APPROVED, Status.PENDING), start=1):
        _register(registry, documents, graph, version=version, status=status)
    rows = examples.rows(50, seed=3)

    approved = load_approved(registry, documents, BUCKET, "fraud")

    assert approved is not None
    assert approved.version == 2
    assert approved.scores(rows).tolist() == graph.scores(to_matrix(rows, DEFAULTS.inputs)).tolist()


def test_without_an_approved_version_there_is_nothing_to_load(graph: Graph) -> None:
    registry, documents = MemoryRegistry(), MemoryDocuments()
    _register(registry, documents, graph, version=1, status=Status.REJECTED)

    assert load_approved(registry, documents, BUCKET, "fraud") is None


def test_an_approved_version_whose_graph_was_changed_is_refused(graph: Graph) -> None:
    registry, documents = MemoryRegistry(), MemoryDocuments()
    _register(registry, documents, graph, version=1, status=Status.APPROVED)
    documents.put("models/fraud/run-1/" + MODEL, b"something else")

    with pytest.raises(Refused, match="was changed after registration"):
        load_approved(registry, documents, BUCKET, "fraud")


def test_both_models_are_measured_on_the_same_rows(graph: Graph) -> None:
    registry, documents = MemoryRegistry(), MemoryDocuments()
    _register(registry, documents, graph, version=1, status=Status.APPROVED)
    approved = load_approved(registry, documents, BUCKET, "fraud")
    assert approved is not None
    rows = examples.rows(300, seed=4)
    worse = measure(rows, np.zeros(len(rows)))

    verdict = judge(examples.run(), rows, worse, approved, measure, "mlflow-run")

    assert verdict.compared
    assert verdict.approved is not None
    assert verdict.approved.metrics == measure(rows, approved.scores(rows))
    assert verdict.margins["auc_roc"] < 0
    assert "version 1 reaches" in verdict.shortfalls


def test_a_first_run_is_compared_with_nothing() -> None:
    rows = examples.rows(300, seed=4)
    good = {"auc_roc": 0.99, "average_precision": 0.9, "card_precision_100": 0.9}

    verdict = judge(examples.run(), rows, good, None, measure, "mlflow-run")

    assert (verdict.compared, verdict.approved, verdict.shortfalls) == (False, None, "")


def test_rows_that_lack_an_input_of_the_approved_version_are_named(graph: Graph) -> None:
    registry, documents = MemoryRegistry(), MemoryDocuments()
    _register(registry, documents, graph, version=1, status=Status.APPROVED)
    approved = load_approved(registry, documents, BUCKET, "fraud")
    assert approved is not None

    with pytest.raises(InputError, match="no column terminal_count_7d"):
        approved.scores(examples.rows(3).drop(columns=["terminal_count_7d"]))


def test_the_fraud_metrics_are_those_of_the_protocol() -> None:
    rows = pd.DataFrame(
        {
            "customer_id": ["a", "b", "a"],
            "event_time": pd.to_datetime(["2018-08-08", "2018-08-08", "2018-08-09"], utc=True),
            "is_fraud": [True, False, False],
        }
    )

    found = measure(rows, np.array([0.9, 0.1, 0.2]))

    # On the second day nobody is left: 'a' was found on the first.
    assert found == {"auc_roc": 1.0, "average_precision": 1.0, "card_precision_100": 0.5}


def test_scores_in_double_precision_come_from_the_values_that_serving_has(graph: Graph) -> None:
    rows = examples.rows(20)
    model = fit(
        to_matrix(rows, DEFAULTS.inputs),
        np.arange(20) % 2,
        algorithm="logistic_regression",
        hyperparameters={},
        seed=0,
    )

    exact = native_scores(model, to_matrix(rows, DEFAULTS.inputs))

    assert exact.dtype == np.float64
    assert exact.tolist() != exact.astype(np.float32).astype(np.float64).tolist()
