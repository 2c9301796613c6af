"""The feature repo as Feast objects, and what they compile to: a registry and service plans."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.protos.feast.core.Registry_pb2 import Registry

from mlops.deletion import deleted_field
from mlops.errors import InputError
from mlops.feast import local_store, read_config
from mlops.plan import (
    TRANSFORMATIONS,
    FeaturePlan,
    PlannedField,
    PlannedTransformation,
    PlannedView,
    function_hashes,
)
from mlops.stores.athena.fitting import field_rule
from mlops.stores.athena.views import publication_delay


@dataclass(frozen=True)
class Definitions:
    """Everything that a feature repo declares."""

    repo: Path
    config: Mapping[str, Any]
    """feature_store.yaml, filled in."""
    entities: tuple[Any, ...]
    sources: tuple[Any, ...]
    views: tuple[Any, ...]
    on_demand: tuple[Any, ...]
    services: tuple[Any, ...]

    @property
    def project(self) -> str:
        return str(self.config["project"])

    @property
    def objects(self) -> list[Any]:
        return [*self.entities, *self.sources, *self.views, *self.on_demand, *self.services]


def load_definitions(
    repo: Path, environment: Mapping[str, str], *, online: bool = True
) -> Definitions:
    """Run the repo's modules and collect the Feast objects in them.

    environment: the values of the repo's variables (`mlops.feast.feast_environment`).
    Raises SettingsError when variables are missing and InputError when a module fails.
    """
    config = read_config(repo, environment, online=online)
    with _importable(repo, environment):
        modules = [_import(path) for path in sorted(repo.glob("*.py"))]
    values = [value for module in modules for value in vars(module).values()]
    return Definitions(
        repo=repo,
        config=config,
        entities=_of(values, Entity),
        sources=_of(values, DataSource),
        views=_of(values, FeatureView),
        on_demand=_of(values, OnDemandFeatureView),
        services=_of(values, FeatureService),
    )


@contextlib.contextmanager
def _importable(repo: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """For a moment the repo's modules can be imported by their bare names, as Feast does it."""
    known, variables = set(sys.modules), dict(os.environ)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(repo))
    os.environ.update(environment)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path.remove(str(repo))
        sys.dont_write_bytecode = writes_bytecode
        for name in environment:
            os.environ.pop(name, None)
        os.environ.update({k: v for k, v in variables.items() if k in environment})
        for name in {path.stem for path in repo.glob("*.py")} - known:
            sys.modules.pop(name, None)


def _import(path: Path) -> Any:
    try:
        return importlib.import_module(path.stem)
    except KeyError as exc:
        raise InputError(f"{path} needs the environment variable {exc}.") from exc
    except Exception as exc:
        raise InputError(f"{path} cannot be loaded: {type(exc).__name__}: {exc}") from exc


def _of(values: Iterable[Any], kind: Any) -> tuple[Any, ...]:
    """Each object once, by name; modules import each other's."""
    found: dict[str, Any] = {}
    for value in values:
        if not isinstance(value, kind):
            continue
        if found.setdefault(value.name, value) is not value:
            raise InputError(f"Two {kind.__name__}s are named '{value.name}'. Rename one.")
    return tuple(found[name] for name in sorted(found))


def check_rules(definitions: Definitions) -> None:
    """Raises InputError listing what lacks an owner, a description, a TTL, or a PII tag.

    And tags of which no rule can be read.
    """
    faults = []
    for view in (*definitions.views, *definitions.on_demand, *definitions.services):
        faults += [f"{view.name} has no {what}" for what in _lacking(view)]
    faults += [f"{view.name} has no ttl" for view in definitions.views if not view.ttl]
    faults += [fault for view in definitions.views for fault in _wrong_tags(view)]
    faults += [
        f"entity {entity.name} has no pii tag"
        for entity in definitions.entities
        if "pii" not in entity.tags
    ]
    if faults:
        raise InputError(f"{definitions.repo}: {'; '.join(faults)}.")


def _wrong_tags(view: Any) -> Iterator[str]:
    for field in (*view.entity_columns, *view.features):
        try:
            field_rule(field.tags, title=f"field {field.name} of {view.name}")
        except InputError as exc:
            yield str(exc).rstrip(".")
    try:
        deleted_field(view)
    except InputError as exc:
        yield str(exc).rstrip(".")


def _lacking(thing: Any) -> list[str]:
    given = {
        "owner": thing.owner,
        "description": thing.description,
        "pii tag": thing.tags.get("pii"),
    }
    return [what for what, value in given.items() if not value]


def compile_registry(definitions: Definitions) -> Registry:
    """The registry that Feast makes of the definitions alone, without asking any service."""
    with tempfile.TemporaryDirectory(prefix="mlops-apply-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = local_store(definitions.config, Path(folder) / "registry.db")
        try:
            store.apply(definitions.objects)
        except Exception as exc:
            raise InputError(f"{definitions.repo} does not compile: {exc}") from exc
        registry = Registry()
        registry.CopyFrom(store.registry.proto())
    return registry


def compile_plan(service: Any, definitions: Definitions) -> FeaturePlan:
    """What the service needs at run time.

    Raises InputError when two features share a name.
    """
    views = {view.name: view for view in definitions.views}
    on_demand = {view.name: view for view in definitions.on_demand}
    entities = {entity.name: entity for entity in definitions.entities}
    projections = list(service.feature_view_projections)
    stored = [p for p in projections if p.name in views]
    chosen = [p for p in projections if p.name in on_demand]
    computed = [on_demand[p.name] for p in chosen]
    keys = {name: entities[name] for p in stored for name in _entities_of(views[p.name])}
    plan = FeaturePlan(
        service=service.name,
        project=definitions.project,
        entities=tuple(_planned_entity(e, stored, views) for e in keys.values()),
        request=tuple(_request_fields(computed)),
        views=tuple(_planned_view(views[p.name], p, entities) for p in stored),
        transformations=tuple(_planned_transformations(chosen, on_demand, definitions)),
    )
    _check_names(plan)
    return plan


def _entities_of(view: Any) -> list[str]:
    """A view that describes no entity names Feast's stand-in for one, which nobody sends."""
    return [name for name in view.entities if name != DUMMY_ENTITY_NAME]


def _planned_entity(
    entity: Any, projections: Iterable[Any], views: Mapping[str, Any]
) -> PlannedField:
    columns = [c for p in projections for c in views[p.name].entity_columns]
    dtype = next((str(c.dtype) for c in columns if c.name == entity.join_key), "String")
    return PlannedField(name=entity.join_key, dtype=dtype, pii=_is_personal(entity))


def _planned_view(view: Any, projection: Any, entities: Mapping[str, Any]) -> PlannedView:
    return PlannedView(
        name=view.name,
        join_keys=tuple(entities[name].join_key for name in _entities_of(view)),
        features=tuple(planned_field(field, within=view) for field in projection.features),
        ttl_seconds=int(view.ttl.total_seconds()) if view.ttl else 0,
        publication_delay_seconds=int(publication_delay(view).total_seconds()),
        owner=view.owner,
    )


def _request_fields(computed: Iterable[Any]) -> list[PlannedField]:
    fields = [
        planned_field(field)
        for view in computed
        for source in view.source_request_sources.values()
        for field in source.schema
    ]
    return list({field.name: field for field in fields}.values())


def _planned_transformations(
    projections: Iterable[Any], on_demand: Mapping[str, Any], definitions: Definitions
) -> Iterator[PlannedTransformation]:
    """Of each on-demand view those outputs that the service selects."""
    hashes = function_hashes(definitions.repo)
    for projection in projections:
        view = on_demand[projection.name]
        function = view.feature_transformation.udf.__name__
        if function not in hashes or view.mode != "python":
            raise InputError(
                f"On-demand view '{view.name}' must be a function of {TRANSFORMATIONS} with "
                "mode='python', so that training and serving run the same code."
            )
        yield PlannedTransformation(
            name=view.name,
            function=function,
            sha256=hashes[function],
            inputs=tuple(_inputs(view)),
            outputs=tuple(planned_field(field, within=view) for field in projection.features),
        )


def _inputs(view: Any) -> list[str]:
    request = [f.name for s in view.source_request_sources.values() for f in s.schema]
    stored = [f.name for p in view.source_feature_view_projections.values() for f in p.features]
    return list(dict.fromkeys([*request, *stored]))


def planned_field(field: Any, *, within: Any = None) -> PlannedField:
    """A Feast field as plans have it.

    within: the view whose pii tag holds for each field that has none of its own.
    """
    tagged = within if within is not None and "pii" not in field.tags else field
    return PlannedField(name=field.name, dtype=str(field.dtype), pii=_is_personal(tagged))


def _is_personal(thing: Any) -> bool:
    return str(thing.tags.get("pii", "")).lower() == "true"


def _check_names(plan: FeaturePlan) -> None:
    """Models name their inputs by feature, and on-demand functions read what the service stores."""
    stored = [f.name for view in plan.views for f in view.features]
    names = [
        *stored,
        *(f.name for f in plan.request),
        *(f.name for t in plan.transformations for f in t.outputs),
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Service '{plan.service}' has {', '.join(twice)} twice. Rename one.")
    known = {*stored, *(f.name for f in plan.request)}
    unread = sorted({i for t in plan.transformations for i in t.inputs} - known)
    if unread:
        raise InputError(
            f"Service '{plan.service}' computes from {', '.join(unread)} but does not hold "
            "them. Add their view to the service."
        )
