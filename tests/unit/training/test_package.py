from __future__ import annotations

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest

from mlops.errors import JobFailed
from mlops.manifest import MANIFEST, MODEL, check_files, read_manifest
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.archive import archive
from pipelines.training.dataset import DatasetCard
from pipelines.training.graph import Graph
from pipelines.training.package import (
    build_manifest,
    check_parity,
    customer_metadata,
    package_files,
    reference,
)
from tests.unit.training import examples

_GRAPH = Graph(b"a graph")
_CARD = DatasetCard(
    dataset="fraud@3",
    feature_service="fraud_v1",
    plan_sha256="p" * 64,
    data_snapshot="s" * 64,
    train_rows=10,
    train_positives=1,
    test_rows=5,
    test_positives=1,
)


def _manifest_files() -> dict[str, bytes]:
    width = len(DEFAULTS.inputs)
    distributions = reference(
        np.ones((3, width), dtype=np.float32), np.array([0.5]), DEFAULTS.inputs
    )
    manifest = build_manifest(
        examples.run(), _CARD, _GRAPH, {"auc_roc": 0.9}, distributions, env="local"
    )
    return package_files(_GRAPH, manifest)


def test_the_manifest_fits_its_files_and_describes_every_input_and_the_score() -> None:
    files = _manifest_files()

    manifest = read_manifest(files[MANIFEST], where="here")

    check_files(manifest, files)
    assert set(manifest.reference) == {column.name for column in DEFAULTS.inputs} | {"score"}
    assert manifest.created == examples.run().started


def test_manifest_and_registry_name_the_dataset() -> None:
    body = _manifest_files()[MANIFEST]
    manifest = read_manifest(body, where="here")

    metadata = customer_metadata(examples.run(), "s3://bucket/", manifest, body)

    assert manifest.dataset == metadata["dataset"] == "fraud@3"


def test_the_archive_holds_graph_and_manifest_as_they_lie_beside_it() -> None:
    files = _manifest_files()

    with tarfile.open(fileobj=io.BytesIO(files["model.tar.gz"])) as tar:
        inside = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]  # files

    assert inside == {MODEL: files[MODEL], MANIFEST: files[MANIFEST]}


def test_packaging_twice_gives_the_same_bytes() -> None:
    assert _manifest_files() == _manifest_files()
    assert archive({"b": b"2", "a": b"1"}) == archive({"a": b"1", "b": b"2"})


def test_metrics_are_in_the_schema_that_sagemaker_shows() -> None:
    metrics = json.loads(_manifest_files()["metrics.json"])

    assert metrics == {"binary_classification_metrics": {"auc_roc": {"value": 0.9}}}


def test_the_registry_gets_lineage_and_every_metric_as_text() -> None:
    files = _manifest_files()
    manifest = read_manifest(files[MANIFEST], where="here")

    found = customer_metadata(examples.run(), "s3://b/models/", manifest, files[MANIFEST])

    assert found["metric_auc_roc"] == "0.9"
    assert found["manifest_sha256"] == hashlib.sha256(files[MANIFEST]).hexdigest()
    assert found["submitted_by"] == examples.run().submitted_by
    assert len(found) <= 50
    assert all(len(text) <= 256 for text in found.values())


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_a_graph_that_scores_differently_is_not_exported(difference: float) -> None:
    with pytest.raises(JobFailed, match="differs from the native model"):
        check_parity(difference, 1e-5)
