"""Who answers a request: an endpoint's traffic, compiled from its deployment document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.answering import Answering
from mlops.deployment import Deployment
from mlops.traffic import SEPARATOR, Split, split_traffic
from serving.proxy.served import ServedModel


@dataclass(frozen=True)
class Choice:
    """The version that answers a request, and as what."""

    model: ServedModel
    answering: Answering
    use: str = "stable"
    """As in `Deployment.uses`."""
    experiment: str | None = None
    arm: str | None = None
    revision: int | None = None
    """Of the document, where it has a version on trial; None where nobody compares."""


@dataclass(frozen=True)
class Route:
    """An endpoint's traffic among the versions that are ready."""

    stable: Choice
    split: Split | None = None
    choices: Mapping[str, Choice] | None = None
    """By use; a share whose version is not ready is the stable version's meanwhile."""
    keys: tuple[str, ...] = ()
    """The ids that decide, in order."""
    shadow: ServedModel | None = None
    shadow_share: float = 1.0

    @property
    def models(self) -> list[ServedModel]:
        """Every version that may answer."""
        return [self.stable.model, *(choice.model for choice in (self.choices or {}).values())]

    @property
    def shares(self) -> dict[str, float]:
        """What part of all requests goes where, by use; the stable version has the rest."""
        found, start = {}, 0.0
        for share in self.split.shares if self.split else ():
            if self.choices and share.use in self.choices:
                found[share.use] = round(share.end - start, 9)
            start = share.end
        return found | ({"shadow": self.shadow_share} if self.shadow else {})

    def choose(self, instances: Sequence[Any]) -> Choice:
        """One version for the whole request, by the ids of its first instance.

        An instance without these ids is wrong for every version: the stable one says so.
        """
        if self.split is None or not self.choices:
            return self.stable
        key = _key(instances[0], self.keys)
        share = self.split.choose(key) if key is not None else None
        return self.choices.get(share.use, self.stable) if share else self.stable


def _key(instance: Any, names: Sequence[str]) -> str | None:
    if not isinstance(instance, dict):
        return None
    ids = [instance.get(name) for name in names]
    if not all(type(one) in (str, int) for one in ids):
        return None
    return SEPARATOR.join(map(str, ids))


def build_route(
    deployment: Deployment, stable: ServedModel, ready: Mapping[int, ServedModel]
) -> tuple[Route, str | None]:
    """The route, and what of the document cannot be followed.

    stable: what answers now, whether or not it is what is deployed. ready: by version.
    """
    overruling = deployment.answering or Answering()
    revision = deployment.revision if deployment.is_trying else None
    first = Choice(stable, overruling.over(stable.manifest.answering), revision=revision)
    shadow = deployment.shadow
    route = Route(
        first,
        shadow=ready.get(shadow.version) if shadow else None,
        shadow_share=deployment.shadow_share,
    )
    split = split_traffic(deployment)
    if split is None:
        return route, None
    ids = tuple(entity.name for entity in stable.plan.entities)
    if split.key is not None and split.key not in ids:
        return route, (
            f"traffic cannot be split by '{split.key}', which is no id of "
            f"'{stable.plan.service}' ({', '.join(ids)}); the stable version answers all of it"
        )
    experiment = deployment.experiment.name if deployment.experiment else None
    choices = {
        share.use: Choice(
            model,
            overruling.over(model.manifest.answering),
            share.use,
            experiment,
            share.arm,
            revision,
        )
        for share in split.shares
        if (model := ready.get(share.version.version))
    }
    keys = ids if split.key is None else (split.key,)
    return Route(first, split, choices, keys, route.shadow, route.shadow_share), None
