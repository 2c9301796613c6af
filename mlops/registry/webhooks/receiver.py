"""Takes deliveries of MLflow's webhooks: each becomes one event on the bus."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from mlops.bus import REGISTRY, Bus
from mlops.clock import Clock
from mlops.errors import Conflict, NotFound
from mlops.names import Names
from mlops.objects import Documents
from mlops.registry.delivery import DETAIL_TYPE
from mlops.registry.webhooks.change import read_change
from mlops.registry.webhooks.delivery import read_delivery, require_fresh, require_signed

PREFIX = "webhooks/"
"""Where it is kept which deliveries were taken; a day is enough, as older ones are not fresh."""

Took = Literal["told", "known", "ignored"]


@dataclass(frozen=True)
class Receiver:
    """One environment's receiver; safe to run several times at once."""

    names: Names
    key: Callable[[], str]
    """Reads what deliveries are signed with; asked for only where all else is well."""
    documents: Documents
    bus: Bus
    clock: Clock

    def receive(self, headers: Mapping[str, str], body: bytes) -> Took:
        """Tell the bus, once for each delivery; what is nothing of ours is passed over.

        It is told first and noted second: killed between the two, MLflow sends it again, and an
        event that comes twice changes nothing.
        Raises InputError, NotAuthentic, Unavailable.
        """
        delivery = read_delivery(headers, body)
        require_fresh(delivery, self.clock.now())
        require_signed(delivery, self.key())
        detail = read_change(delivery.body, self.names)
        if detail is None:
            return "ignored"
        taken = f"{PREFIX}{delivery.id}.json"
        if self._is_known(taken):
            return "known"
        self.bus.put(REGISTRY, DETAIL_TYPE, [detail])
        try:
            self.documents.create(taken, json.dumps(detail).encode())
        except Conflict:
            return "known"
        return "told"

    def _is_known(self, taken: str) -> bool:
        try:
            self.documents.get(taken)
        except NotFound:
            return False
        return True
