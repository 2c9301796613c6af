"""The applied flows, with what reads and stores their events; followed while a consumer runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from pydantic import ValidationError

from mlops.downsync.events import Decoder
from mlops.downsync.flow import FLOWS, Flow, Kind
from mlops.errors import NotFound, Refused
from mlops.objects import Documents
from pipelines.features.downsync.catalog import Catalog
from pipelines.features.downsync.rows import LoggedTable

log = logging.getLogger("mlops.downsync.consumer")

_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class KnownFlow:
    """A flow, ready to be used."""

    flow: Flow
    decoder: Decoder
    tables: dict[Kind, LoggedTable]
    problem: str | None = None
    """Why its events cannot be stored."""


@dataclass
class FlowBook:
    """Flows by view; shared by the threads of a process."""

    documents: Documents
    catalog: Catalog
    now: Callable[[], float]
    known: dict[str, KnownFlow] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    """The same, for who needs no more."""
    _tags: dict[str, str] = field(default_factory=dict)
    _looked: float = -_PAUSE_SECONDS
    _lock: Lock = field(default_factory=Lock)

    def refresh(self) -> None:
        """Look what changed, but not more often than every few seconds."""
        with self._lock:
            if self.now() - self._looked >= _PAUSE_SECONDS:
                self._look()

    def get(self, view: str) -> KnownFlow | None:
        """As of the last look; None for a view that was not applied then."""
        return self.known.get(view)

    def get_since(self, view: str, moment: float) -> KnownFlow | None:
        """As it is applied at that moment, by `now`, or later.

        Whoever wrote an event knew a flow that was applied before. So an event that does not fit
        what is known is looked at again with what is applied after it was read.
        """
        with self._lock:
            if self._looked <= moment:
                self._look()
        return self.known.get(view)

    def _look(self) -> None:
        looked, tags = self.now(), self.documents.etags(FLOWS)
        for key in self._tags.keys() - tags.keys():
            self._forget(_view(key))
        for key, tag in tags.items():
            if self._tags.get(key) != tag:
                self._read(key)
        self._tags, self._looked = tags, looked

    def _forget(self, view: str) -> None:
        self.known.pop(view, None)
        self.flows.pop(view, None)

    def _read(self, key: str) -> None:
        try:
            flow = Flow.model_validate_json(self.documents.get(key).body)
        except NotFound:
            return
        except ValidationError as exc:
            problem = f"{key} is no flow that this consumer reads: {exc.error_count()} fields"
            log.error("flow refused", extra={"key": key, "cause": str(exc)})  # noqa: TRY400
            known = self.known.get(_view(key))
            if known:
                self.known[_view(key)] = KnownFlow(known.flow, known.decoder, {}, problem)
            return
        self.known[flow.view] = self._prepared(flow)
        self.flows[flow.view] = flow

    def _prepared(self, flow: Flow) -> KnownFlow:
        tables = {kind: LoggedTable.of(flow, kind) for kind in flow.logs}
        try:
            for table in tables.values():
                self.catalog.ensure_table(table)
        except Refused as exc:
            log.warning("events are set aside", extra={"view": flow.view, "cause": str(exc)})
            return KnownFlow(flow, Decoder(flow), tables, str(exc))
        return KnownFlow(flow, Decoder(flow), tables)


def _view(key: str) -> str:
    return key.removeprefix(FLOWS).removesuffix(".json")
