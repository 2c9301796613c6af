"""The published feature services, compiled for reading when their plans change."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mlops.errors import MlopsError, Refused
from mlops.plan import (
    FeaturePlan,
    PlannedField,
    PlannedTransformation,
    PlannedView,
    Transformation,
    load_transformations,
)
from mlops.stores.online import OnlineReader, OnlineStore
from serving.errors import FeaturesUnavailable, UnknownFeature, UnknownFeatureService
from serving.proxy.entity_columns import EntitySchema
from serving.proxy.plain_answers import PlainAnswers
from serving.proxy.served import OnDemand

_REMEMBERED = 256
"""Choices of features whose reading stays compiled."""

log = logging.getLogger("serving.feature_services")


@dataclass(frozen=True)
class ReadableService:
    """One feature service with all that a request needs."""

    plan: FeaturePlan
    entities: EntitySchema
    reader: OnlineReader
    on_demand: tuple[OnDemand, ...] = ()
    """What is computed of it, with this image's functions."""
    shown: frozenset[str] | None = None
    """'view:feature' of those that are answered, where others are read to compute them; None
    for all."""
    answers: PlainAnswers = field(default_factory=PlainAnswers, compare=False)

    @cached_property
    def personal(self) -> frozenset[str]:
        """The names of its stored features that are personal data."""
        return frozenset(name for name, field in self.plan.stored.items() if field.pii)

    def shows(self, view: str, feature: str) -> bool:
        return self.shown is None or f"{view}:{feature}" in self.shown


@dataclass
class FeatureServices:
    """Every service that is applied. `get` is a look-up; `follow` compiles what changed."""

    store: OnlineStore
    repo: Path
    """Where this image has the on-demand functions."""
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
            self._remember((names, references), found)
        return found

    def with_computed(
        self, names: tuple[str, ...], references: tuple[str, ...] | None
    ) -> ReadableService:
        """As `get` of the one service, or as `choose`; on-demand features are computed, too.

        Raises FeaturesUnavailable where this image has not the functions for it.
        """
        key = (("computed", *names), references or ())
        found = self._chosen.get(key)
        if found is None:
            whole = self.get(names[0]) if references is None else None
            plan = whole.plan if whole else self._computable(names, references or ())
            if not plan.transformations:
                return whole or self.choose(names, references or ())
            functions = self._functions(plan)
            found = ReadableService(
                plan,
                EntitySchema(plan),
                self.store.reader(plan, plan.references),
                tuple(OnDemand(one, functions[one.name]) for one in plan.transformations),
                None if references is None else frozenset(references),
            )
            self._remember(key, found)
        return found

    def _functions(self, plan: FeaturePlan) -> Mapping[str, Transformation]:
        try:
            return load_transformations(plan, self.repo)
        except Refused as exc:
            raise FeaturesUnavailable(
                f"{', '.join(plan.computed)} cannot be computed here.", remedy=str(exc)
            ) from exc

    def _computable(self, names: tuple[str, ...], references: tuple[str, ...]) -> FeaturePlan:
        return choose_features([self.get(name).plan for name in names], references, computed=True)

    def _remember(
        self, key: tuple[tuple[str, ...], tuple[str, ...]], found: ReadableService
    ) -> None:
        if len(self._chosen) >= _REMEMBERED:
            self._chosen.clear()
        self._chosen[key] = found

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


def choose_features(
    plans: Sequence[FeaturePlan], references: Sequence[str], *, computed: bool = False
) -> FeaturePlan:
    """One plan of these stored features of these plans. Raises UnknownFeature naming the first.

    computed: of on-demand features, too, with the stored ones that they are computed of.
    """
    views: dict[str, PlannedView] = {}
    fields: dict[str, dict[str, PlannedField]] = {}
    for plan in plans:
        for view in plan.views:
            views[view.name] = view
            fields.setdefault(view.name, {}).update({f.name: f for f in view.features})
    wanted: dict[str, dict[str, PlannedField]] = {}
    on_demand = _on_demand_of(plans, references) if computed else {}
    references = [
        *(r for r in references if r.partition(":")[0] not in on_demand),
        *(needed for plan, one in on_demand.values() for needed in _needed(plan, one)),
    ]
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
        request=tuple({f.name: f for plan, _ in on_demand.values() for f in plan.request}.values()),
        views=tuple(
            view.model_copy(update={"features": tuple(wanted[name].values())})
            for name, view in views.items()
            if name in wanted
        ),
        transformations=tuple(one for _, one in on_demand.values()),
    )


def _on_demand_of(
    plans: Sequence[FeaturePlan], references: Sequence[str]
) -> dict[str, tuple[FeaturePlan, PlannedTransformation]]:
    """The on-demand views of these features, with those alone as outputs, and a plan of each.

    Services may select different outputs of one view.
    """
    found: dict[str, tuple[FeaturePlan, PlannedTransformation]] = {}
    for plan in plans:
        for one in plan.transformations:
            wanted = {f.name: f for f in one.outputs if f"{one.name}:{f.name}" in references}
            if wanted:
                before = found[one.name][1].outputs if one.name in found else ()
                outputs = {f.name: f for f in before} | wanted
                update = {"outputs": tuple(outputs.values())}
                found[one.name] = plan, one.model_copy(update=update)
    return found


def _needed(plan: FeaturePlan, one: PlannedTransformation) -> Iterator[str]:
    return (ref for ref in plan.references if ref.partition(":")[2] in one.inputs)
