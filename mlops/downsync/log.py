"""Telling the offline store of values: what is drawn of them is offered to the producer."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from mlops.downsync.events import Encoder, Event
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.producer import Producer
from mlops.downsync.thinning import bucket_of, is_drawn, key_digest

log = logging.getLogger("mlops.downsync")


class Outcome(StrEnum):
    """What became of a value."""

    LOGGED = "logged"
    """It is on its way."""
    SAMPLED_OUT = "sampled_out"
    """Chance left it out."""
    NOT_LOGGED = "not_logged"
    """The view does not log this kind."""
    DROPPED = "dropped"
    """There was no room, or it could not be written; it is lost to the offline store."""


@dataclass
class EventLog:
    """Safe to share between threads; nothing of it waits, and nothing of it raises."""

    producer: Producer
    counts: Counter[tuple[str, Kind, Outcome]] = field(default_factory=Counter)
    _encoders: dict[str, tuple[Flow, Encoder]] = field(default_factory=dict)

    def add(
        self,
        flow: Flow,
        kind: Kind,
        key: Mapping[str, Any],
        values: Mapping[str, Any],
        *,
        time_us: int,
        created_us: int,
        facts: Mapping[str, Any],
        event_id: str = "",
    ) -> Outcome:
        """Log a row of a view as the view's flow says.

        event_id: the caller's own, by which a row that is sent twice is kept once.
        """
        if kind not in flow.logs:
            return Outcome.NOT_LOGGED
        digest, identity = key_digest(key), event_id or uuid4().hex
        if not is_drawn(flow.thinning, digest, identity):
            outcome = Outcome.SAMPLED_OUT
        else:
            event = Event(
                identity,
                kind,
                flow.view,
                flow.schema_version,
                time_us,
                created_us,
                key,
                digest,
                values,
                facts,
            )
            outcome = Outcome.LOGGED if self._offer(flow, event) else Outcome.DROPPED
        self.counts[flow.view, kind, outcome] += 1
        return outcome

    def _offer(self, flow: Flow, event: Event) -> bool:
        try:
            body = self._encoder(flow).encode(event)
        except (TypeError, ValueError):
            # Who is answered meanwhile must not hear of it; the count and the log do.
            log.exception("an event cannot be written", extra={"view": flow.view})
            return False
        return self.producer.offer(bucket_of(event.digest), body)

    def _encoder(self, flow: Flow) -> Encoder:
        known = self._encoders.get(flow.view)
        if known is None or known[0] is not flow:
            known = (flow, Encoder(flow))
            self._encoders[flow.view] = known
        return known[1]
