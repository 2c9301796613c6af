"""The published feature services, compiled for reading when their plans change."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlops.errors import MlopsError
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.online import OnlineReader, OnlineStore
from serving.errors import UnknownFeature, UnknownFeatureService
from serving.proxy.entity_columns import EntitySchema

_REMEMBERED = 256
"""Choices of features whose reading stays compiled."""

log = logging.getLogger("serving.feature_services")


@dataclass(frozen=True)
class ReadableService:
    """One feature service with all that a request needs."""

    plan: FeaturePlan
    entities: EntitySchema
    reader: OnlineReader

    @cached_property
    def personal(self) -> frozenset[str]:
        """The names of its stored features that are personal data."""
        return frozenset(name for name, field in self.plan.stored.items() if field.pii)


@dataclass
class FeatureServices:
    """Every service that is applied. `get` is a look-up; `follow` compiles what changed."""

    store: OnlineStore
    current: dict[str, ReadableService] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a plan that is published cannot be read; what was compiled before it stays."""
    _seen: dict[str, FeaturePlan] = field(default_factory=dict)
    _chosen: dict[tuple[tuple[str, ...], tuple[str, ...]], ReadableService] = field(
        default_factory=dict
    )

    def get(self, name: str) -> ReadableService:
        """Raises UnknownFeatureService, listing what there is."""
        found = self.current.get(name)
        if found is None:
            raise UnknownFeatureService(
                f"No feature service '{name[:100]}' can be read.",
                field="service",
                remedy=self.problems.get(name)
                or f"Read here: {', '.join(sorted(self.current)) or 'none'}. "
                "To publish one, apply it: 'mlops features apply'.",
            )
        return found

    def choose(self, names: tuple[str, ...], references: tuple[str, ...]) -> ReadableService:
        """Some features out of these services; a choice that was made before is a look-up.

        Raises UnknownFeature for a 'view:feature' that none of them has, UnknownFeatureService.
        """
        found = self._chosen.get((names, references))
        if found is None:
            plan = choose_features([self.get(name).plan for name in names], references)
            found = ReadableService(plan, EntitySchema(plan), self.store.reader(plan, references))
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            self._chosen[names, references] = found
        return found

    def follow(self, plans: Mapping[str, FeaturePlan]) -> None:
        """Serve these plans and no others. A plan object that was seen is not compiled again."""
        for name in set(self._seen) - set(plans):
            del self._seen[name]
            self._chosen.clear()
            self.current.pop(name, None)
            self.problems.pop(name, None)
        for name, plan in plans.items():
            if self._seen.get(name) is not plan:
                self._seen[name] = plan
                self._chosen.clear()
                self._compile(name, plan)

    def _compile(self, name: str, plan: FeaturePlan) -> None:
        try:
            reader = self.store.reader(plan, plan.references)
            self.current[name] = ReadableService(plan, EntitySchema(plan), reader)
            self.problems.pop(name, None)
        except MlopsError as exc:
            self.problems[name] = str(exc)
            log.exception("feature service not read", extra={"service": name})


def choose_features(plans: Sequence[FeaturePlan], references: Sequence[str]) -> FeaturePlan:
    """One plan of these stored features of these plans. Raises UnknownFeature naming the first."""
    views: dict[str, PlannedView] = {}
    fields: dict[str, dict[str, PlannedField]] = {}
    for plan in plans:
        for view in plan.views:
            views[view.name] = view
            fields.setdefault(view.name, {}).update({f.name: f for f in view.features})
    wanted: dict[str, dict[str, PlannedField]] = {}
    for reference in references:
        view_name, _, feature = reference.partition(":")
        if feature not in fields.get(view_name, {}):
            raise UnknownFeature(
                f"There is no feature '{reference[:200]}' that you can read here.",
                field="features",
                remedy="Name stored features of an applied feature service, as 'view:feature'.",
            )
        wanted.setdefault(view_name, {})[feature] = fields[view_name][feature]
    return FeaturePlan(
        service=", ".join(plan.service for plan in plans),
        project=plans[0].project if plans else "",
        entities=tuple({e.name: e for plan in plans for e in plan.entities}.values()),
        request=(),
        views=tuple(
            view.model_copy(update={"features": tuple(wanted[name].values())})
            for name, view in views.items()
            if name in wanted
        ),
        transformations=(),
    )
