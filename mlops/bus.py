"""Events on the environment's bus: what happened, for rules that something is to follow from."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops.aws import Aws, translated
from mlops.errors import MlopsError, Unavailable

_log = logging.getLogger("mlops.bus")
_ENTRIES = 10
"""What PutEvents takes at once."""

DATA, MODELS, REGISTRY = "mlops.data", "mlops.models", "mlops.registry"
"""Sources: whoever may tell of one kind of events may not tell of another."""
ARRIVED, DRIFTED = "Data Arrived", "Drift Found"
"""Kinds: rows of a table are there to be read; what a model reads moved away from its reference."""


class Bus(Protocol):
    """Where events are put."""

    def put(self, source: str, kind: str, details: Sequence[Mapping[str, Any]]) -> None:
        """An event for each of the details, which are JSON values. Raises Unavailable."""


class EventBus:
    """EventBridge's default bus."""

    def __init__(self, aws: Aws) -> None:
        self._events = aws.client("events")

    def put(self, source: str, kind: str, details: Sequence[Mapping[str, Any]]) -> None:
        entries = [
            {"Source": source, "DetailType": kind, "Detail": json.dumps(detail, default=str)}
            for detail in details
        ]
        for start in range(0, len(entries), _ENTRIES):
            with translated(f"Telling of '{kind}'"):
                answer = self._events.put_events(Entries=entries[start : start + _ENTRIES])
            if answer["FailedEntryCount"]:
                raise Unavailable(
                    f"EventBridge did not take {answer['FailedEntryCount']} events '{kind}'. "
                    "Tell of it again later."
                )


@dataclass
class MemoryBus:
    """A working fake that keeps what it was told."""

    told: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    def put(self, source: str, kind: str, details: Sequence[Mapping[str, Any]]) -> None:
        self.told += [(source, kind, detail) for detail in details]


def tell_arrivals(bus: Bus, arrivals: Sequence[Mapping[str, Any]]) -> bool:
    """Tell that rows are there, by table: what was done is done, so a lost event is only logged."""
    try:
        bus.put(DATA, ARRIVED, arrivals)
    except MlopsError as exc:
        tables = ", ".join(sorted({str(one["table"]) for one in arrivals}))
        _log.error("workflows that wait for %s do not start by themselves (%s)", tables, exc)
        return False
    return True
