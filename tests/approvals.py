"""A registered model with its files, and approvals over fakes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

from mlops.clock import FixedClock
from mlops.manifest import MANIFEST, MODEL, Manifest, ModelInput, Window
from mlops.names import Names
from mlops.objects import Documents, MemoryDocuments
from mlops.registry.approval import Approvals, Ask, Outcome
from mlops.registry.memory import MemoryRecords, MemoryRegistry
from mlops.registry.policy import Applied, Rules, save_rules
from mlops.registry.scorecard import METADATA, SCORECARD, Latency, Measured, Scorecard
from mlops.registry.versions import ModelVersion, Status

NAMES = Names(project="mlops", env="local", account="000000000000", region="ap-northeast-2")
BUCKET = NAMES.artifact_bucket
NOW = datetime(2018, 8, 15, 9, 30, tzinfo=UTC)

_ROLES = f"arn:aws:sts::{NAMES.account}:assumed-role/{NAMES.prefix}"
APPROVER = f"{_ROLES}-approver/ann"
OTHER_APPROVER = f"{_ROLES}-approver/ben"
SUBMITTER = f"{_ROLES}-data-scientist/carol"
TRAINER = f"arn:aws:iam::{NAMES.account}:role/{NAMES.prefix}-training-job"


def manifest_of(model: str, version: int, *, graph: bytes, **changes: Any) -> Manifest:
    start, end = datetime(2018, 7, 25, tzinfo=UTC), datetime(2018, 8, 1, tzinfo=UTC)
    values: dict[str, Any] = {
        "model": model,
        "feature_service": "fraud_v1",
        "plan_sha256": "0" * 64,
        "graph_input": "inputs",
        "inputs": (ModelInput(name="amount", origin="request", source="amount"),),
        "graph_output": "probabilities",
        "opset": 17,
        "files": {MODEL: hashlib.sha256(graph).hexdigest()},
        "training_window": Window(start=start, end=end),
        "test_window": Window(start=start, end=end),
        "data_snapshot": f"payments@{version}",
        "code_sha256": "c" * 64,
        "execution": f"run-{version}",
        "trained_by": TRAINER,
        "submitted_by": SUBMITTER,
        "created": NOW,
        "metrics": {"auc_roc": 0.85},
        "reference": {},
    }
    return Manifest.model_validate(values | changes)


def upload_model(
    documents: Documents, version: int, *, model: str = "fraud", **changes: Any
) -> dict[str, str]:
    """Write a model's files and return what its registration says of them."""
    prefix, graph = f"models/{model}/run-{version}/", f"graph {version}".encode()
    body = manifest_of(model, version, graph=graph, **changes).model_dump_json().encode()
    documents.put(prefix + MODEL, graph)
    documents.put(prefix + MANIFEST, body)
    return {
        "model_prefix": f"s3://{BUCKET}/{prefix}",
        "manifest_sha256": hashlib.sha256(body).hexdigest(),
        "trained_by": TRAINER,
        "submitted_by": SUBMITTER,
    }


def model_version(version: int = 1, *, model: str = "fraud", **changes: Any) -> ModelVersion:
    """A version that waits for its approval."""
    arn = f"arn:aws:sagemaker:{NAMES.region}:{NAMES.account}:model-package"
    values: dict[str, Any] = {
        "model": model,
        "version": version,
        "package_arn": f"{arn}/{NAMES.model_group(model)}/{version}",
        "status": Status.PENDING,
        "created": NOW,
        "model_prefix": f"s3://{BUCKET}/models/{model}/run-{version}/",
        "manifest_sha256": "a" * 64,
        "trained_by": TRAINER,
        "submitted_by": SUBMITTER,
        "metrics": {"auc_roc": 0.85, "average_precision": 0.6},
        "lineage": {"execution": f"run-{version}"},
    }
    return ModelVersion.model_validate(values | changes)


def scorecard(
    *, rows: str = "a", approved: tuple[int, float] | None = None, auc: float = 0.85, p99: float = 1
) -> Scorecard:
    """A test on the rows that the text stands for; approved: a version and its AUC on them."""
    theirs = None if approved is None else Measured(metrics={"auc_roc": approved[1]})
    return Scorecard(
        model="fraud",
        rows_sha256=rows * 64,
        rows=100,
        own=Measured(metrics={"auc_roc": auc}),
        approved_version=approved[0] if approved else None,
        approved=theirs,
        latency=Latency(runs=1, p50_ms=p99 / 2, p99_ms=p99),
        model_bytes=1000,
    )


@dataclass
class Office:
    """Approvals with everything they stand on, in memory."""

    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    data: MemoryDocuments = field(default_factory=MemoryDocuments)

    @property
    def approvals(self) -> Approvals:
        return Approvals(
            self.registry, self.records, self.documents, self.data, NAMES, FixedClock(NOW)
        )

    def register(self, version: int, *, model: str = "fraud", **changes: Any) -> ModelVersion:
        written = upload_model(self.documents, version, model=model)
        return self.registry.add(model_version(version, model=model, **(written | changes)))

    def register_with(
        self, version: int, card: Scorecard | None = None, **manifest: Any
    ) -> ModelVersion:
        """Register a version whose manifest says something else, and that has a scorecard."""
        written = upload_model(self.documents, version, **manifest)
        lineage = {}
        if card is not None:
            body = card.model_dump_json().encode()
            self.documents.put(f"models/fraud/run-{version}/{SCORECARD}", body)
            lineage[METADATA] = hashlib.sha256(body).hexdigest()
        return self.registry.add(model_version(version, **written, lineage=lineage))

    def apply(self, **rules: Any) -> None:
        """Put approval rules in force."""
        save_rules(self.documents, Applied(model="fraud", rules=Rules.model_validate(rules)))

    def decide(
        self,
        action: Literal["approve", "reject"],
        version: int,
        *,
        who: str = APPROVER,
        reason: str = "better than before",
        model: str = "fraud",
        ticket: str = "",
    ) -> Outcome:
        return self.approvals.decide(Ask(model, version, action, reason, who, ticket))


def metadata_of(version: ModelVersion) -> dict[str, str]:
    """What registration writes of a version."""
    return {
        "model_prefix": version.model_prefix,
        "manifest_sha256": version.manifest_sha256,
        "trained_by": version.trained_by,
        "submitted_by": version.submitted_by,
        **version.lineage,
        **{f"metric_{name}": str(value) for name, value in version.metrics.items()},
    }


def register_package(sagemaker: Any, names: Names, version: ModelVersion) -> str:
    """Create the version's package as the workflow's last step does, and return its ARN."""
    group = names.model_group(version.model)
    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    answer = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties=metadata_of(version),
        InferenceSpecification={
            "Containers": [
                {
                    "Image": f"{names.account}.dkr.ecr.{names.region}.amazonaws.com/inference:1",
                    "ModelDataUrl": f"{version.model_prefix}model.tar.gz",
                }
            ],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    return str(answer["ModelPackageArn"])
