"""Planning and applying definitions: one conditional write of the registry, then service plans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from feast.protos.feast.core.Registry_pb2 import Registry
from pydantic import BaseModel

from mlops.downsync.flow import FLOWS, Flow, flow_body, flow_key
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
from pipelines.features.flows import compile_flows
from pipelines.features.impact import Impact
from pipelines.features.removals import Remover, carry_out, deleted_views, put_down, undone
from pipelines.features.schemas.columns import Column
from pipelines.features.supply import unsupplied


class ApplyPlan(BaseModel):
    """What applying a feature repo would do."""

    project: str
    changes: tuple[Change, ...]
    services: tuple[str, ...]
    """Services whose compiled plan is new or differs."""
    flows: tuple[str, ...] = ()
    """Views whose way to or from the online store is new, differs, or ends."""
    removals: tuple[str, ...] = ()
    """Views whose rows are to go from the online store: deleted now, or before and not done yet."""
    removed: dict[str, int] = {}
    """How many rows went, by view."""
    warnings: tuple[str, ...] = ()
    """What views ask of feature tables in vain."""
    impact: Impact | None = None
    """What it comes to for those who read the features; where it was asked for."""

    @property
    def deletions(self) -> list[Change]:
        return [change for change in self.changes if change.action == "delete"]

    @property
    def empty(self) -> bool:
        return not (self.changes or self.services or self.flows or self.removals)


def unshown(shown: ApplyPlan, now: ApplyPlan) -> list[str]:
    """What applying now would do that a plan did not show, or would not do that it did."""
    before, after = _deeds(shown), _deeds(now)
    more = [f"would {deed}, which the plan does not show" for deed in sorted(after - before)]
    less = [f"would no longer {deed}" for deed in sorted(before - after)]
    return more + less


def _deeds(plan: ApplyPlan) -> set[str]:
    changes = {
        f"{c.action} {c.kind} {c.name}"
        + (f" ({json.dumps(c.fields, default=str)})" * bool(c.fields))
        for c in plan.changes
    }
    compiled = {f"compile the plan of {service}" for service in plan.services}
    flows = {f"change pushes and logs of {view}" for view in plan.flows}
    rows = {f"remove the rows of {view} from the online store" for view in plan.removals}
    return changes | compiled | flows | rows


def plan_changes(
    definitions: Definitions,
    documents: Documents,
    *,
    tables: Mapping[str, Iterable[Column]] | None = None,
) -> ApplyPlan:
    """Compile the definitions and compare them with what is applied; changes nothing.

    tables: the columns of feature tables, to warn of views that ask for others. Raises InputError
    or Refused for definitions that could not be applied.
    """
    current, _ = load_registry(documents)
    plan = _plan(definitions, current, _compiled(definitions), documents)
    return plan.model_copy(update={"warnings": tuple(unsupplied(definitions.views, tables or {}))})


def apply_changes(
    definitions: Definitions,
    documents: Documents,
    *,
    allow_delete: bool = False,
    remover: Remover | None = None,
    shown: ApplyPlan | None = None,
) -> ApplyPlan:
    """Make the environment what the definitions say; doing it twice writes nothing.

    remover: takes deleted views' rows out of the online store, last; without one they stay for the
    next who has one. shown: a plan that was looked at; what it does not show is refused. The
    registry is written once and only if nobody changed it meanwhile
    (Conflict). Raises Refused when something would be deleted and `allow_delete` is false.
    """
    current, document = load_registry(documents)
    desired = _compiled(definitions)
    plan = _plan(definitions, current, desired, documents)
    _refuse_unshown(shown, plan)
    _refuse_deletions(plan, allowed=allow_delete)
    put_down(documents, deleted_views(current, desired.registry))
    if plan.changes:
        _save_registry(documents, merge(current, desired.registry), replacing=document)
    for service in plan.services:
        save_plan(documents, desired.plans[service])
    for view in plan.flows:
        _save_flow(documents, view, desired.flows.get(view))
    for change in plan.deletions:
        if change.kind == KINDS["feature_services"]:
            documents.delete(plan_key(change.name))
    if remover is None:
        return plan
    removed = carry_out(documents, desired.registry, remover)
    return plan.model_copy(update={"removed": removed})


def _refuse_unshown(shown: ApplyPlan | None, plan: ApplyPlan) -> None:
    if shown is not None and (other := unshown(shown, plan)):
        raise Refused(
            f"Applying {'; '.join(other)}. Nothing was changed. Make the plan anew and look at it: "
            "'mlops features plan --out FILE'."
        )


def _refuse_deletions(plan: ApplyPlan, *, allowed: bool) -> None:
    if plan.deletions and not allowed:
        names = ", ".join(f"{c.kind} '{c.name}'" for c in plan.deletions)
        raise Refused(
            f"Applying would delete {names}. Nothing was changed. If that is meant, run "
            "'mlops features apply --allow-delete'."
        )


@dataclass(frozen=True)
class _Compiled:
    """What the definitions come to."""

    registry: Registry
    plans: dict[str, FeaturePlan]
    flows: dict[str, Flow]


def _compiled(definitions: Definitions) -> _Compiled:
    check_rules(definitions)
    plans = {service.name: compile_plan(service, definitions) for service in definitions.services}
    return _Compiled(compile_registry(definitions), plans, compile_flows(definitions))


def _plan(
    definitions: Definitions, current: Registry, desired: _Compiled, documents: Documents
) -> ApplyPlan:
    return ApplyPlan(
        project=definitions.project,
        changes=tuple(compare(current, desired.registry)),
        services=tuple(_changed_plans(desired.plans.values(), documents)),
        flows=tuple(_changed_flows(desired.flows, documents)),
        removals=tuple(_removals(current, desired.registry, documents)),
    )


def _removals(current: Registry, desired: Registry, documents: Documents) -> list[str]:
    removals = [*deleted_views(current, desired), *undone(documents, desired)]
    return sorted({removal.view for removal in removals})


def _changed_flows(desired: Mapping[str, Flow], documents: Documents) -> list[str]:
    applied = {key: documents.get(key).body for key in documents.keys(FLOWS)}
    wanted = {flow_key(view): flow_body(flow) for view, flow in desired.items()}
    return [
        key.removeprefix(FLOWS).removesuffix(".json")
        for key in sorted(applied.keys() | wanted.keys())
        if applied.get(key) != wanted.get(key)
    ]


def _save_flow(documents: Documents, view: str, flow: Flow | None) -> None:
    if flow is None:
        documents.delete(flow_key(view))
    else:
        documents.put(flow_key(view), flow_body(flow))


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
