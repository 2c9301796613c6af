"""Who reads a column of a feature table, from the views over it to the models that are deployed.

Pure but for `load_users`, which reads what is applied, registered, deployed and saved. Nothing that
a registry holds is unpickled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from feast.protos.feast.core.Registry_pb2 import Registry
from pydantic import BaseModel, ConfigDict

from mlops.deployment import Deployment, list_endpoints, load_deployment
from mlops.errors import InputError, NotFound, Refused
from mlops.feast import load_registry
from mlops.manifest import MANIFEST, ModelInput, read_manifest
from mlops.objects import Documents
from mlops.plan import FeaturePlan, load_plan
from mlops.registry.artifacts import key_prefix
from mlops.registry.versions import ModelRegistry, ModelVersion, Status
from pipelines.datasets.record import DatasetRecord
from pipelines.datasets.store import DatasetStore
from pipelines.training.settings import list_models, load_defaults

_PLANS = "feast/plans/"

Kind = Literal[
    "feature view",
    "on-demand view",
    "feature service",
    "model settings",
    "model version",
    "dataset",
    "saved dataset",
]


class Consumer(BaseModel):
    """Something that reads columns of a feature table."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    name: str
    columns: tuple[str, ...]
    """Which of the columns that were asked for; empty where that cannot be known."""
    detail: str = ""

    @property
    def words(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version that waits for an approval or has one, with the inputs of its manifest."""

    version: ModelVersion
    inputs: tuple[ModelInput, ...] | None
    """None where the manifest cannot be read."""
    uses: tuple[str, ...] = ()
    """'stable of fraud', …"""


@dataclass(frozen=True)
class Users:
    """Everything of an environment that may read a feature table."""

    registry: Registry = field(default_factory=Registry)
    plans: tuple[FeaturePlan, ...] = ()
    models: Mapping[str, tuple[ModelInput, ...]] = field(default_factory=dict)
    """Inputs by model, as this checkout's settings say."""
    versions: tuple[RegisteredVersion, ...] = ()
    datasets: tuple[DatasetRecord, ...] = ()


def load_users(
    artifacts: Documents, bucket: str, models: ModelRegistry, datasets: DatasetStore
) -> Users:
    """artifacts: the bucket named `bucket`."""
    registry, _ = load_registry(artifacts)
    services = [key.removeprefix(_PLANS).removesuffix(".json") for key in artifacts.keys(_PLANS)]
    deployments = [load_deployment(artifacts, name)[0] for name in list_endpoints(artifacts)]
    return Users(
        registry=registry,
        plans=tuple(load_plan(artifacts, service) for service in services),
        models={model: load_defaults(model).inputs for model in list_models()},
        versions=tuple(
            RegisteredVersion(
                version, _inputs(artifacts, bucket, version), _uses(deployments, version)
            )
            for model in models.models()
            for version in models.versions(model)
            if version.complete and version.status is not Status.REJECTED
        ),
        datasets=tuple(record for record in datasets.records() if record.removed is None),
    )


def _inputs(
    artifacts: Documents, bucket: str, version: ModelVersion
) -> tuple[ModelInput, ...] | None:
    try:
        key = key_prefix(bucket, version) + MANIFEST
        return read_manifest(artifacts.get(key).body, where=f"s3://{bucket}/{key}").inputs
    except (NotFound, InputError, Refused):
        return None


def _uses(deployments: Sequence[Deployment], version: ModelVersion) -> tuple[str, ...]:
    return tuple(
        f"{use} of {deployment.endpoint}"
        for deployment in deployments
        if deployment.model == version.model and (use := deployment.use_of(version.version))
    )


def find_consumers(users: Users, table: str, columns: Collection[str]) -> list[Consumer]:
    """Whoever reads one of the columns: views first, then what is made from them."""
    reading = _Reading()
    return [
        *_views(users.registry, table, columns, reading),
        *_on_demand(users.registry, reading),
        *_services(users.plans, reading),
        *_models(users.models, reading),
        *_versions(users.versions, reading),
        *_datasets(users.datasets, reading),
        *_saved(users.registry, reading),
    ]


@dataclass
class _Reading:
    """What was found to read a column, each with the columns that it reads."""

    features: dict[str, set[str]] = field(default_factory=dict)
    """By 'view:feature'."""
    computed: dict[str, set[str]] = field(default_factory=dict)
    """By on-demand view."""

    def of(self, features: Sequence[str], computed: Sequence[str] = ()) -> tuple[str, ...]:
        """The columns behind features and on-demand views together."""
        sets = [self.features.get(name, set()) for name in features]
        sets += [self.computed.get(name, set()) for name in computed]
        return tuple(sorted(set().union(*sets)))


def _views(
    registry: Registry, table: str, columns: Collection[str], reading: _Reading
) -> Iterator[Consumer]:
    for entry in (*registry.feature_views, *registry.stream_feature_views):
        spec = entry.spec
        source = spec.batch_source
        if source.athena_options.table != table:
            continue
        stored = {feature: column for column, feature in source.field_mapping.items()}
        shared = {source.timestamp_field, source.created_timestamp_column}
        shared |= {stored.get(column.name, column.name) for column in spec.entity_columns}
        used = {f.name: stored.get(f.name, f.name) for f in spec.features}
        for feature, column in used.items():
            # Without its key or its times no feature of the view can be read.
            read = {column, *shared} & {*columns}
            if read:
                reading.features[f"{spec.name}:{feature}"] = read
        read = {*used.values(), *shared} & {*columns}
        if read:
            yield Consumer(kind="feature view", name=spec.name, columns=tuple(sorted(read)))


def _on_demand(registry: Registry, reading: _Reading) -> Iterator[Consumer]:
    for entry in registry.on_demand_feature_views:
        read = reading.of(list(_sources_of(entry.spec)))
        if read:
            reading.computed[entry.spec.name] = {*read}
            yield Consumer(kind="on-demand view", name=entry.spec.name, columns=read)


def _sources_of(spec: Any) -> Iterator[str]:
    for source in spec.sources.values():
        projection = source.feature_view_projection
        for feature in projection.feature_columns:
            yield f"{projection.feature_view_name}:{feature.name}"


def _services(plans: Sequence[FeaturePlan], reading: _Reading) -> Iterator[Consumer]:
    for plan in plans:
        read = _read_by_plan(plan, reading)
        if read:
            yield Consumer(kind="feature service", name=plan.service, columns=read)


def _models(models: Mapping[str, tuple[ModelInput, ...]], reading: _Reading) -> Iterator[Consumer]:
    for model, inputs in models.items():
        read = _read_by(inputs, reading)
        if read:
            yield Consumer(kind="model settings", name=model, columns=read)


def _versions(versions: Sequence[RegisteredVersion], reading: _Reading) -> Iterator[Consumer]:
    for found in versions:
        about = [found.version.status.value, *found.uses]
        if found.inputs is None:
            about.append("its manifest cannot be read, so it may read anything")
        read = _read_by(found.inputs or (), reading)
        if read or found.inputs is None:
            name = f"{found.version.model}/{found.version.version}"
            yield Consumer(kind="model version", name=name, columns=read, detail="; ".join(about))


def _read_by(inputs: Sequence[ModelInput], reading: _Reading) -> tuple[str, ...]:
    features = [column.source for column in inputs if column.origin == "feature"]
    computed = [c.source.partition(":")[0] for c in inputs if c.origin == "on_demand"]
    return reading.of(features, computed)


def _datasets(datasets: Sequence[DatasetRecord], reading: _Reading) -> Iterator[Consumer]:
    """Their rows stay; building them again asks the views for the columns."""
    for record in datasets:
        read = _read_by_plan(record.plan, reading)
        if read:
            yield Consumer(
                kind="dataset", name=record.reference, columns=read, detail="its rows stay"
            )


def _read_by_plan(plan: FeaturePlan, reading: _Reading) -> tuple[str, ...]:
    return reading.of(plan.references, [t.name for t in plan.transformations])


def _saved(registry: Registry, reading: _Reading) -> Iterator[Consumer]:
    for entry in registry.saved_datasets:
        read = reading.of(list(entry.spec.features))
        if read:
            yield Consumer(kind="saved dataset", name=entry.spec.name, columns=read)
