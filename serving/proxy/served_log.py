"""Logging what was served: for each view that says so, the values that a model got to see."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.clock import Clock
from mlops.downsync.events import microseconds
from mlops.downsync.flow import FLOWS, Flow, Kind
from mlops.downsync.log import EventLog
from mlops.objects import Documents
from mlops.stores.online import FeatureRow, ViewRead
from mlops.stores.redis.keys import NO_ENTITY
from serving.proxy.instances import Instance
from serving.proxy.served import ServedModel
from serving.watching import DocumentWatcher


def watch_flows(documents: Documents) -> DocumentWatcher[Flow]:
    """Every applied flow, by its view."""
    return DocumentWatcher(documents, FLOWS, Flow.model_validate_json)


@dataclass(frozen=True)
class ServedLog:
    """Tells the offline store what was served."""

    flows: Mapping[str, Flow]
    """By view; may change at any time."""
    log: EventLog
    clock: Clock

    def record(
        self,
        model: ServedModel,
        served: Iterable[tuple[Instance, FeatureRow, float | None]],
        *,
        request_id: str,
    ) -> None:
        """Log each instance's values as read, null where there was none; never raises.

        served: each with the model's score; NaN where it gave no number, None where it tells
        several classes apart.
        """
        logged = [
            (read, flow)
            for read in model.reads
            if (flow := self.flows.get(read.view.name)) and Kind.SERVED in flow.logs
        ]
        if not logged:
            return
        now = microseconds(self.clock.now())
        facts = {
            "model": model.endpoint,
            "model_version": model.version,
            "service": model.plan.service,
            "request_id": request_id,
        }
        for instance, row, score in served:
            scored = facts | {"score": None if score is None or math.isnan(score) else score}
            for read, flow in logged:
                self._add(flow, read, instance, row, now=now, facts=scored)

    def _add(
        self,
        flow: Flow,
        read: ViewRead,
        instance: Instance,
        row: FeatureRow,
        *,
        now: int,
        facts: Mapping[str, Any],
    ) -> None:
        found = {name: row[f"{read.view.name}:{name}"] for name in read.features}
        stored = next((one.event_time for one in found.values() if one.event_time), None)
        self.log.add(
            flow,
            Kind.SERVED,
            {name: instance.entities[name] for name in read.view.join_keys} or {NO_ENTITY: ""},
            {name: one.value for name, one in found.items()},
            time_us=now,
            created_us=now,
            facts={
                **facts,
                "stored_time": stored,
                "is_complete": len(found) == len(flow.features),
            },
        )
