"""Who may load a view: one at a time, agreed on by a document in S3, given up by silence.

A lease bears the run that its holder is at. Whoever takes over an expired one finds it there, and
can go on with what was left. Time is the machines', not the platform's: a replayed clock stands.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from mlops.clock import Clock, SystemClock
from mlops.errors import Conflict, MlopsError, NotFound
from mlops.objects import Document, Documents

SECONDS = 60.0
"""How long a holder may be silent."""
_MARGIN = 0.25
"""The part of a lease that must be left to begin something."""
_POLL = 0.2


class Claim(BaseModel):
    """What the document says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: str
    """Empty when it was given back."""
    until: datetime
    host: str = ""
    pid: int = 0
    run: str | None = None
    """What the holder is at, or was when it fell silent."""


def lease_key(view: str) -> str:
    return f"feast/upsync/{view}/lease.json"


@dataclass(frozen=True)
class Leases:
    """The leases of one environment's views."""

    documents: Documents
    clock: Clock = field(default_factory=SystemClock)
    seconds: float = SECONDS
    by_process: bool = True
    """Whether a lease ends with this process; else its holder is more than one process."""
    sleep: Callable[[float], None] = time.sleep
    key: Callable[[str], str] = lease_key
    told: str = "View '{}' is being loaded"
    """What its holder does, for whoever must wait."""

    def take(self, view: str, holder: str, *, wait: float = 0.0) -> Lease:
        """Take a view's lease, or go on with it where the holder is the same.

        wait: seconds to wait for another holder. Raises Conflict naming it.
        """
        deadline = self.clock.now() + timedelta(seconds=wait)
        while True:
            claim, document = self._read(view)
            if claim is None or self._is_free(claim, holder):
                try:
                    return self._claim(view, holder, claim, document)
                except Conflict:
                    continue
            if self.clock.now() >= deadline:
                raise Conflict(
                    f"{self.told.format(view)} by {claim.holder}, whose lease holds until "
                    f"{claim.until:%Y-%m-%d %H:%M:%S} UTC. Wait for it (--wait SECONDS), or stop "
                    "it."
                )
            self.sleep(_POLL)

    def _read(self, view: str) -> tuple[Claim | None, Document | None]:
        try:
            document = self.documents.get(self.key(view))
        except NotFound:
            return None, None
        return Claim.model_validate_json(document.body), document

    def _is_free(self, claim: Claim, holder: str) -> bool:
        silent = claim.until <= self.clock.now()
        return not claim.holder or claim.holder == holder or silent or _is_dead(claim)

    def _claim(
        self, view: str, holder: str, claim: Claim | None, document: Document | None
    ) -> Lease:
        mine = Claim(
            holder=holder,
            until=self._expiry(),
            host=socket.gethostname(),
            pid=os.getpid() if self.by_process else 0,
            run=claim.run if claim else None,
        )
        body = mine.model_dump_json().encode()
        if document is None:
            self.documents.create(self.key(view), body)
        else:
            self.documents.put(self.key(view), body, etag=document.etag)
        return Lease(self, view, mine)

    def _expiry(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.seconds)


class Lease:
    """A view that is ours to load, as long as we say so."""

    def __init__(self, leases: Leases, view: str, claim: Claim) -> None:
        self.view = view
        self._leases = leases
        self._claim = claim
        self._lock = threading.Lock()
        self._lost: MlopsError | None = None

    @property
    def run(self) -> str | None:
        """The run that is under way, perhaps left by a holder before us."""
        return self._claim.run

    def renew(self, run: str | None = None) -> None:
        """Say that we are here, and at which run. Raises Conflict when another took over."""
        with self._lock:
            self._write(run=run or self._claim.run, holder=self._claim.holder)

    def release(self, *, unfinished: bool = False) -> None:
        """Give it back, with nothing left to do, or with the run for whoever comes next."""
        with self._lock:
            self._write(run=self._claim.run if unfinished else None, holder="")

    def check(self) -> None:
        """Raises Conflict unless the lease is ours for a while yet."""
        left = (self._claim.until - self._leases.clock.now()).total_seconds()
        if self._lost is not None or left < self._leases.seconds * _MARGIN:
            raise Conflict(
                f"The lease of view '{self.view}' ran out while it was being loaded "
                f"({self._lost or 'no word got through to S3'}). Run the command again."
            ) from self._lost

    @contextmanager
    def kept(self) -> Iterator[Lease]:
        """Renewed in the background, until the block ends."""
        done = threading.Event()
        thread = threading.Thread(target=self._keep, args=(done,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(self._leases.seconds / 4):
            try:
                self.renew()
            except Conflict as exc:
                self._lost = exc
                return
            except MlopsError:
                continue  # `check` counts what is left

    def _write(self, *, run: str | None, holder: str) -> None:
        """Others of the same holder may write as well; whose it is decides, not who wrote last."""
        while True:
            claim, document = self._leases._read(self.view)
            if claim is None or document is None or claim.holder != self._claim.holder:
                whose = claim.holder if claim and claim.holder else "nobody"
                raise Conflict(f"View '{self.view}' belongs to {whose} now.")
            until = self._leases._expiry()
            fresh = self._claim.model_copy(update={"run": run, "holder": holder, "until": until})
            try:
                body = fresh.model_dump_json().encode()
                self._leases.documents.put(self._leases.key(self.view), body, etag=document.etag)
            except Conflict:
                continue
            self._claim = fresh
            return


def apply_leases(documents: Documents) -> Leases:
    """Who may apply definitions: one at a time, so that of two none writes half."""
    return Leases(
        documents, key=lambda _: "feast/apply/lease.json", told="Project '{}' is being applied to"
    )


def _is_dead(claim: Claim) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    if not claim.pid or claim.host != socket.gethostname():
        return False
    try:
        os.kill(claim.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
