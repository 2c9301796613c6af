"""Saying which features are missing for whom, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mlops.plan import FeaturePlan, PlannedView
from mlops.stores.online import FeatureStatus, FeatureValue
from serving.errors import FeaturesMissing
from serving.proxy.instances import Instance


def explain_missing(
    endpoint: str,
    plan: FeaturePlan,
    instance: Instance,
    *,
    features: Mapping[str, FeatureValue],
    refused: Sequence[str],
) -> FeaturesMissing:
    """Which id lacks which features of which view, and what to do about it."""
    lacking = [_Lacking.find(view, instance, features, refused) for view in plan.views]
    found = [one for one in lacking if one]
    stored = {feature.name for view in plan.views for feature in view.features}
    problems = [one.problem for one in found]
    if computed := [name for name in refused if name not in stored]:
        problems.append(f"{', '.join(computed)} could not be computed")
    return FeaturesMissing(
        f"Model '{endpoint}' does not score without these features: {'; '.join(problems)}.",
        field=".".join(filter(None, [instance.where, found[0].join_key if found else None])),
        remedy=" ".join(one.remedy for one in found) or None,
    )


@dataclass(frozen=True)
class _Lacking:
    """What one view lacks for one instance."""

    join_key: str | None
    """None where the view describes no entity."""
    problem: str
    remedy: str

    @classmethod
    def find(
        cls,
        view: PlannedView,
        instance: Instance,
        features: Mapping[str, FeatureValue],
        refused: Sequence[str],
    ) -> _Lacking | None:
        names = [feature.name for feature in view.features if feature.name in refused]
        if not names:
            return None
        ids = ", ".join(f"{key} '{instance.entities[key]}'" for key in view.join_keys) or "everyone"
        status = features[names[0]].status
        return cls(
            join_key=view.join_keys[0] if view.join_keys else None,
            problem=f"{ids}: {', '.join(names)} of '{view.name}' {_STATES[status]}",
            remedy=_remedy(status, view),
        )


_STATES = {
    FeatureStatus.NULL: "are null",
    FeatureStatus.NOT_FOUND: "are not known",
    FeatureStatus.OUTSIDE_MAX_AGE: "are too old",
    FeatureStatus.INVALID: "cannot be read",
}


def _remedy(status: FeatureStatus, view: PlannedView) -> str:
    load = f"'mlops features upsync {view.name}'"
    if status == FeatureStatus.NOT_FOUND:
        check = "Check the id; if it is new, load its features" if view.join_keys else "Load them"
        return f"{check}: {load}."
    if status == FeatureStatus.OUTSIDE_MAX_AGE:
        ttl = timedelta(seconds=view.ttl_seconds)
        return f"'{view.name}' expires after {ttl}: load newer rows with {load}."
    return f"Check the source table of '{view.name}', then {load}."
