"""Whoever reads a column is named: views, on-demand views, services, models, saved datasets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from feast.protos.feast.core.SavedDataset_pb2 import SavedDataset

from mlops.deployment import DeployedVersion, Deployment, save_deployment
from mlops.feast import REGISTRY_KEY, load_registry
from mlops.manifest import ModelInput
from mlops.objects import MemoryDocuments
from mlops.plan import load_plan
from mlops.registry.memory import MemoryRegistry
from mlops.registry.versions import Status
from pipelines.datasets.record import Cost, DatasetRecord, Entities, Removal
from pipelines.datasets.store import RECORDS, DatasetStore
from pipelines.features.apply import apply_changes
from pipelines.features.definitions import load_definitions
from pipelines.features.schemas.consumers import Users, find_consumers, load_users
from tests.approvals import BUCKET, NOW, model_version, upload_model
from tests.unit.features.test_apply import ENVIRONMENT, REPO

CUSTOMER = ModelInput(name="n", origin="feature", source="customer_spend:customer_count_7d")
COMPUTED = ModelInput(name="r", origin="on_demand", source="payment_context:amount_over_mean")
TERMINAL = ModelInput(name="t", origin="feature", source="terminal_risk:terminal_count_7d")


@pytest.fixture(scope="module")
def applied() -> dict[str, bytes]:
    """A bucket to which the project's own repo was applied; compiled once."""
    documents = MemoryDocuments()
    apply_changes(load_definitions(Path(REPO), ENVIRONMENT), documents)
    return documents.stored


@pytest.fixture
def documents(applied: dict[str, bytes]) -> MemoryDocuments:
    return MemoryDocuments(dict(applied))


def users(documents: MemoryDocuments, registry: MemoryRegistry | None = None) -> Users:
    return load_users(documents, BUCKET, registry or MemoryRegistry(), DatasetStore(documents))


def named(users: Users, column: str, table: str = "customer_spend") -> list[str]:
    return [consumer.words for consumer in find_consumers(users, table, {column})]


def test_a_stored_feature_is_read_by_its_view_its_service_and_its_model(
    documents: MemoryDocuments,
) -> None:
    assert named(users(documents), "customer_count_7d") == [
        "feature view customer_spend",
        "feature service fraud_v1",
        "model settings fraud",
    ]


def test_what_an_on_demand_view_computes_from_a_column_counts(documents: MemoryDocuments) -> None:
    assert "on-demand view payment_context" in named(users(documents), "customer_mean_amount_30d")


@pytest.mark.parametrize("column", ["customer_id", "event_time", "created"])
def test_without_its_key_or_times_nothing_of_a_view_can_be_read(
    documents: MemoryDocuments, column: str
) -> None:
    found = find_consumers(users(documents), "customer_spend", {column})
    assert [consumer.kind for consumer in found] == [
        "feature view",
        "on-demand view",
        "feature service",
        "model settings",
    ]
    assert {consumer.columns for consumer in found} == {(column,)}


def test_a_column_that_no_view_asks_for_is_read_by_nobody(documents: MemoryDocuments) -> None:
    assert named(users(documents), "customer_count_14d") == []
    assert named(users(documents), "customer_count_7d", table="terminal_risk") == []


def test_each_consumer_is_told_with_the_columns_that_it_reads(documents: MemoryDocuments) -> None:
    columns = {"customer_count_1d", "customer_mean_amount_30d", "elsewhere"}
    found = find_consumers(users(documents), "customer_spend", columns)
    read = {consumer.kind: consumer.columns for consumer in found}
    assert read["feature view"] == ("customer_count_1d", "customer_mean_amount_30d")
    assert read["on-demand view"] == ("customer_mean_amount_30d",)


def test_a_field_mapping_is_followed_to_the_stored_column(documents: MemoryDocuments) -> None:
    registry, _ = load_registry(documents)
    [view] = [v for v in registry.feature_views if v.spec.name == "customer_spend"]
    view.spec.batch_source.field_mapping["payments_of_a_week"] = "customer_count_7d"
    documents.put(REGISTRY_KEY, registry.SerializeToString())
    assert named(users(documents), "customer_count_7d") == []
    assert named(users(documents), "payments_of_a_week")[0] == "feature view customer_spend"


def versions_of(documents: MemoryDocuments) -> MemoryRegistry:
    """Four versions, of which the first reads customers, the second terminals only."""
    registry = MemoryRegistry()
    inputs = {1: (CUSTOMER,), 2: (TERMINAL,), 3: (COMPUTED,), 4: (CUSTOMER,)}
    status = {1: Status.APPROVED, 2: Status.APPROVED, 3: Status.PENDING, 4: Status.REJECTED}
    for number, given in inputs.items():
        written = upload_model(documents, number, inputs=given)
        registry.add(model_version(number, status=status[number], **written))
    return registry


def deploy(documents: MemoryDocuments, version: int) -> None:
    deployed = DeployedVersion(
        version=version, package_arn="arn", model_prefix="s3://b/", manifest_sha256="0" * 64
    )
    deployment = Deployment(
        endpoint="payments",
        model="fraud",
        stable=deployed,
        changed_at=datetime(2025, 1, 1, tzinfo=UTC),
        changed_by="arn:someone",
        reason="better",
    )
    save_deployment(documents, deployment, replacing=None)


def test_versions_are_named_by_the_inputs_of_their_manifests(documents: MemoryDocuments) -> None:
    found = users(documents, versions_of(documents))
    assert "model version fraud/1 (Approved)" in named(found, "customer_count_7d")
    assert not [words for words in named(found, "customer_count_7d") if "fraud/2" in words]
    assert "model version fraud/3 (PendingManualApproval)" in named(
        found, "customer_mean_amount_30d"
    )


def test_a_rejected_version_is_nobody_s(documents: MemoryDocuments) -> None:
    found = users(documents, versions_of(documents))
    assert not [words for words in named(found, "customer_count_7d") if "fraud/4" in words]


def test_a_version_that_serves_is_told_with_its_endpoint(documents: MemoryDocuments) -> None:
    deploy(documents, 1)
    found = named(users(documents, versions_of(documents)), "customer_count_7d")
    assert "model version fraud/1 (Approved; stable of payments)" in found


def test_a_version_whose_manifest_is_gone_may_read_anything(documents: MemoryDocuments) -> None:
    registry = MemoryRegistry()
    registry.add(model_version(9))
    [*_, last] = named(users(documents, registry), "created")
    assert last.startswith("model version fraud/9 (PendingManualApproval; its manifest cannot be")


def save_dataset(documents: MemoryDocuments, *, removed: Removal | None = None) -> None:
    plan = load_plan(documents, "fraud_v1")
    record = DatasetRecord(
        name="july",
        version=2,
        created=NOW,
        created_by="arn:someone",
        plan=plan,
        plan_sha256=plan.sha256,
        entities=Entities(origin="query", rows=0, sha256=""),
        time_column="event_time",
        tables=(),
        rows=0,
        columns=(),
        sha256="",
        writer="",
        cost=Cost(),
        removed=removed,
    )
    documents.put(f"{RECORDS}july/2.json", record.model_dump_json().encode())


def test_a_dataset_is_named_by_the_features_it_was_built_of(documents: MemoryDocuments) -> None:
    save_dataset(documents)
    assert "dataset july@2 (its rows stay)" in named(users(documents), "customer_count_7d")
    assert "dataset july@2 (its rows stay)" not in named(users(documents), "customer_count_14d")


def test_a_dataset_whose_rows_were_removed_reads_nothing(documents: MemoryDocuments) -> None:
    save_dataset(documents, removed=Removal(at=NOW, by="arn:someone"))
    assert not [words for words in named(users(documents), "customer_id") if "july" in words]


def test_feast_s_saved_datasets_are_named(documents: MemoryDocuments) -> None:
    registry, _ = load_registry(documents)
    saved = SavedDataset()
    saved.spec.name = "july"
    saved.spec.features.append("customer_spend:customer_count_7d")
    registry.saved_datasets.append(saved)
    documents.put(REGISTRY_KEY, registry.SerializeToString())
    assert "saved dataset july" in named(users(documents), "customer_count_7d")
    assert "saved dataset july" not in named(users(documents), "customer_count_1d")


def test_where_nothing_is_applied_only_the_checkout_s_models_could_read() -> None:
    assert named(users(MemoryDocuments()), "customer_count_7d") == []
