"""Planning and applying definitions: one conditional write of the registry, then service plans."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from feast.protos.feast.core.Registry_pb2 import Registry
from pydantic import BaseModel

from mlops.errors import NotFound, Refused
from mlops.feast import REGISTRY_KEY, load_registry
from mlops.objects import Document, Documents
from mlops.plan import FeaturePlan, load_plan, plan_key, save_plan
from pipelines.features.changes import KINDS, Change, compare, merge
from pipelines.features.definitions import (
    Definitions,
    check_rules,
    compile_plan,
    compile_registry,
)


class ApplyPlan(BaseModel):
    """What applying a feature repo would do."""

    project: str
    changes: tuple[Change, ...]
    services: tuple[str, ...]
    """Services whose compiled plan is new or differs."""

    @property
    def deletions(self) -> list[Change]:
        return [change for change in self.changes if change.action == "delete"]

    @property
    def empty(self) -> bool:
        return not self.changes and not self.services


def plan_changes(definitions: Definitions, documents: Documents) -> ApplyPlan:
    """Compile the definitions and compare them with what is applied; changes nothing.

    Raises InputError or Refused for definitions that could not be applied.
    """
    current, _ = load_registry(documents)
    desired, plans = _compiled(definitions)
    return _plan(definitions, current, desired, plans, documents)


def apply_changes(
    definitions: Definitions, documents: Documents, *, allow_delete: bool = False
) -> ApplyPlan:
    """Make the environment what the definitions say; doing it twice writes nothing.

    The registry is written once and only if nobody changed it meanwhile (Conflict).
    Raises Refused when something would be deleted and `allow_delete` is false.
    """
    current, document = load_registry(documents)
    desired, plans = _compiled(definitions)
    plan = _plan(definitions, current, desired, plans, documents)
    if plan.deletions and not allow_delete:
        names = ", ".join(f"{c.kind} '{c.name}'" for c in plan.deletions)
        raise Refused(
            f"Applying would delete {names}. Nothing was changed. If that is meant, run "
            "'mlops features apply --allow-delete'."
        )
    if plan.changes:
        _save_registry(documents, merge(current, desired), replacing=document)
    for service in plan.services:
        save_plan(documents, plans[service])
    for change in plan.deletions:
        if change.kind == KINDS["feature_services"]:
            documents.delete(plan_key(change.name))
    return plan


def _compiled(definitions: Definitions) -> tuple[Registry, dict[str, FeaturePlan]]:
    check_rules(definitions)
    plans = {service.name: compile_plan(service, definitions) for service in definitions.services}
    return compile_registry(definitions), plans


def _plan(
    definitions: Definitions,
    current: Registry,
    desired: Registry,
    plans: dict[str, FeaturePlan],
    documents: Documents,
) -> ApplyPlan:
    return ApplyPlan(
        project=definitions.project,
        changes=tuple(compare(current, desired)),
        services=tuple(_changed_plans(plans.values(), documents)),
    )


def _changed_plans(plans: Iterable[FeaturePlan], documents: Documents) -> list[str]:
    changed = []
    for plan in plans:
        try:
            same = load_plan(documents, plan.service) == plan
        except NotFound:
            same = False
        if not same:
            changed.append(plan.service)
    return changed


def _save_registry(
    documents: Documents, registry: Registry, *, replacing: Document | None
) -> Document:
    registry.last_updated.FromDatetime(datetime.now(UTC))
    body = registry.SerializeToString(deterministic=True)
    if replacing is None:
        return documents.create(REGISTRY_KEY, body)
    return documents.put(REGISTRY_KEY, body, etag=replacing.etag)
