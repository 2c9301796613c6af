"""What a change of definitions comes to: who reads it, whom it breaks, what loading it takes.

Pure but for the reports of past loads, which say how many rows a view has and what they scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

from pydantic import BaseModel, ConfigDict

from mlops.manifest import ModelInput
from mlops.plan import FeaturePlan, PlannedView
from mlops.stores.athena.execution import Limits
from pipelines.features.changes import KINDS, Change
from pipelines.features.schemas.consumers import Users
from pipelines.features.upsync.state import RunReport, Runs

VIEWS = {
    KINDS[name]: name
    for name in ("feature_views", "stream_feature_views", "on_demand_feature_views")
}
ROW_BYTES = 22
"""Of a packed row before its values (docs/online-format.md)."""
FIELD_BYTES = 12
"""Of a view's field in an entity's hash."""
VALUE_BYTES: Mapping[str, int] = {
    "Bool": 1,
    "Int32": 4,
    "Float32": 4,
    "Int64": 8,
    "Float64": 8,
    "UnixTimestamp": 8,
    "String": 24,
    "Bytes": 24,
}
OTHER_BYTES = 64
"""Of lists, maps and the like, where nothing else is known."""
GB = 10**9


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Effect(_Frozen):
    """What becomes of one view, for those around it."""

    view: str
    action: str
    services: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Settings of this checkout, and versions that are registered or deployed."""
    rows: int | None = None
    """Online, by the last full load; None where it was never loaded."""
    redis_bytes: int | None = None
    """More than now, by estimate; less where it is negative. None where it cannot be told."""
    scanned: int | None = None
    """What the last full load scanned; the next one of the view will scan about as much."""
    dollars: float | None = None


class Impact(_Frozen):
    """All of a plan."""

    effects: tuple[Effect, ...] = ()
    breaks: tuple[str, ...] = ()
    """Models that would not be served, or could not be trained, each with what they would miss."""

    @property
    def redis_gb(self) -> float:
        return sum(effect.redis_bytes or 0 for effect in self.effects) / GB

    @property
    def dollars(self) -> float:
        return sum(effect.dollars or 0.0 for effect in self.effects)

    @property
    def words(self) -> list[str]:
        """For people, a line for each view, then the whole."""
        lines = [_words(effect) for effect in self.effects]
        lines += [f"BREAKS {broken}" for broken in self.breaks]
        if self.effects:
            lines.append(
                f"Loading it scans for about ${self.dollars:.4f} and adds {self.redis_gb:+.3f} GB "
                "to Redis, as far as past loads tell."
            )
        return lines


def find_impact(
    changes: Sequence[Change], desired: Sequence[FeaturePlan], users: Users, runs: Runs
) -> Impact:
    """desired: the services as they would be compiled. users: who reads what is applied."""
    touched = [change for change in changes if change.kind in VIEWS]
    effects = [_effect(change, desired, users, runs) for change in touched]
    return Impact(effects=tuple(effects), breaks=tuple(_breaks(desired, users)))


def _effect(change: Change, desired: Sequence[FeaturePlan], users: Users, runs: Runs) -> Effect:
    plans = (*users.plans, *desired)
    services = {plan.service for plan in plans if change.name in _parts(plan)}
    last = _last_full(runs, change.name)
    return Effect(
        view=change.name,
        action=change.action,
        services=tuple(sorted(services)),
        models=tuple(_models(users, change.name)),
        rows=last.written if last else None,
        redis_bytes=_redis_bytes(change.name, desired, users, last),
        scanned=last.scanned if last else None,
        dollars=Limits().price(last.scanned) if last else None,
    )


def _parts(plan: FeaturePlan) -> set[str]:
    return {view.name for view in plan.views} | {t.name for t in plan.transformations}


def _models(users: Users, view: str) -> list[str]:
    settings = [f"{m} (settings)" for m, inputs in users.models.items() if _reads(inputs, view)]
    versions = [
        f"{found.version.model}/{found.version.version}"
        + (f" ({', '.join(found.uses)})" if found.uses else "")
        for found in users.versions
        if found.inputs is None or _reads(found.inputs, view)
    ]
    return settings + versions


def _reads(inputs: Iterable[ModelInput], view: str) -> bool:
    return any(one.source.partition(":")[0] == view for one in inputs)


def _last_full(runs: Runs, view: str) -> RunReport | None:
    return next((report for report in runs.reports(view) if report.full), None)


def _redis_bytes(
    view: str, desired: Sequence[FeaturePlan], users: Users, last: RunReport | None
) -> int | None:
    """By rows of the last full load; a view that was never loaded has none to count with."""
    if last is None:
        return None
    before, after = _view(users.plans, view), _view(desired, view)
    return last.written * (_row_bytes(after) - _row_bytes(before))


def _view(plans: Iterable[FeaturePlan], name: str) -> PlannedView | None:
    found = [view for plan in plans for view in plan.views if view.name == name]
    return max(found, key=lambda view: len(view.features), default=None)


def _row_bytes(view: PlannedView | None) -> int:
    if view is None:
        return 0
    values = sum(VALUE_BYTES.get(feature.dtype, OTHER_BYTES) for feature in view.features)
    return ROW_BYTES + FIELD_BYTES + ceil(len(view.features) / 8) + values


def _breaks(desired: Sequence[FeaturePlan], users: Users) -> list[str]:
    """Whoever is supplied today, and would not be."""
    named = {plan.service: plan for plan in desired}
    asking = [(f"model {name}, by its settings", inputs) for name, inputs in users.models.items()]
    asking += [
        (
            f"{found.version.model}/{found.version.version}"
            + (f", {', '.join(found.uses)}," if found.uses else ""),
            found.inputs,
        )
        for found in users.versions
        if found.inputs is not None
    ]
    broken = []
    for who, inputs in asking:
        wants = {one.source for one in inputs if one.origin in {"feature", "on_demand"}}
        supplying = [plan for plan in users.plans if wants and wants <= _supplied(plan).keys()]
        faults = [_fault(wants, plan, named.get(plan.service)) for plan in supplying]
        if faults and all(faults):
            broken.append(f"{who} {faults[0]}")
    return broken


def _fault(wants: set[str], before: FeaturePlan, after: FeaturePlan | None) -> str:
    if after is None:
        return f"reads feature service '{before.service}', which goes"
    old, new = _supplied(before), _supplied(after)
    gone = sorted(wants - new.keys())
    if gone:
        return f"needs {', '.join(gone)}, which '{before.service}' would no longer supply"
    other = [f"{one} ({old[one]} to {new[one]})" for one in sorted(wants) if old[one] != new[one]]
    return f"reads {', '.join(other)}, of another type" if other else ""


def _supplied(plan: FeaturePlan) -> dict[str, str]:
    """Types by 'view:feature', stored and on demand."""
    stored = {f"{v.name}:{f.name}": f.dtype for v in plan.views for f in v.features}
    computed = {f"{t.name}:{f.name}": f.dtype for t in plan.transformations for f in t.outputs}
    return stored | computed


def _words(effect: Effect) -> str:
    readers = ", ".join((*effect.services, *effect.models)) or "nobody"
    if effect.rows is None:
        loading = "never loaded whole, so what loading takes is not known"
    else:
        loading = (
            f"{effect.rows:,} rows online, {(effect.redis_bytes or 0) / GB:+.3f} GB of Redis, "
            f"{effect.scanned or 0:,} bytes scanned for ${effect.dollars or 0:.4f}"
        )
    return f"{effect.view}: read by {readers}; {loading}"
