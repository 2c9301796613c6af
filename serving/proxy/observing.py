"""What this process saw of versions on trial, written where the platform judges them."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import uuid4

from mlops.deploying.figures import Observation, Tally, latency_class, observation_key
from mlops.objects import Documents
from serving.proxy.catalog import Catalog, Served
from serving.proxy.routes import Choice
from serving.proxy.work import Prediction

KEPT = 40
"""Of how many versions, uses and revisions of an endpoint counts are kept, the newest."""


@dataclass
class _Counts:
    """Of one version in one use, under one revision."""

    choice: Choice
    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)

    def tally(self) -> Tally:
        model, classes = self.choice.model, self.choice.model.score_classes
        count = len(classes.edges) + 1 if classes else 0
        return Tally(
            revision=self.choice.revision or 0,
            version=model.version,
            use=self.choice.use,
            answers=self.answers,
            failures=dict(self.failures),
            latency=dict(self.latency),
            scores=tuple(self.scores[place] for place in range(count)),
            levels=classes.levels if classes else (),
        )


@dataclass
class Observer:
    """Counts answers while a document has a version on trial; on the event loop, unlocked."""

    documents: Documents
    process: str = field(default_factory=lambda: uuid4().hex)
    _counts: dict[str, OrderedDict[tuple[int, int, str], _Counts]] = field(default_factory=dict)
    _written: dict[str, Observation] = field(default_factory=dict)

    def count(self, choice: Choice, items: Iterable[Prediction], seconds: float) -> None:
        """What a request got, and how long it took."""
        if choice.revision is None:
            return
        counts, classes = self._of(choice), choice.model.score_classes
        counts.latency[latency_class(seconds)] += 1
        for item in items:
            counts.answers += 1
            if item.error or item.fallback:
                counts.failures[item.error.code if item.error else str(item.fallback)] += 1
            elif item.score is not None and classes is not None:
                counts.scores[classes.of(item.score)] += 1

    def count_failed(self, choice: Choice, code: str, instances: int) -> None:
        """A request that a version did not answer."""
        if choice.revision is None:
            return
        counts = self._of(choice)
        counts.answers += instances
        counts.failures[code] += instances

    def _of(self, choice: Choice) -> _Counts:
        found = self._counts.setdefault(choice.model.endpoint, OrderedDict())
        key = (choice.revision or 0, choice.model.version, choice.use)
        if key not in found:
            found[key] = _Counts(choice)
            while len(found) > KEPT:
                found.popitem(last=False)
        return found[key]

    async def write(self, catalog: Catalog) -> None:
        """Write what is new of each endpoint with a version on trial. Raises Unavailable."""
        for name, served in catalog.endpoints.items():
            if not served.deployment.is_trying:
                self._counts.pop(name, None)
                continue
            observed = self._observed(name, served)
            if self._written.get(name) != observed:
                body = observed.model_dump_json().encode()
                await asyncio.to_thread(
                    self.documents.put, observation_key(name, self.process), body
                )
                self._written[name] = observed

    def _observed(self, name: str, served: Served) -> Observation:
        return Observation(
            endpoint=name,
            process=self.process,
            revision=served.deployment.revision,
            problems=dict(served.problems),
            tallies=tuple(counts.tally() for counts in self._counts.get(name, {}).values()),
        )
