"""Which drift is known already: once told, it is not told again each night. Pure.

The check looks at a window of days, so what drifted once is found night after night. It is the same
drift as long as the version and its columns are, and the window that is looked at now still holds
the moment at which it was seen last.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

KEY = "drift/seen.json"
"""Of the artifact bucket."""
_KEPT = timedelta(days=90)
"""As far back as a check may look."""


class Drift(BaseModel):
    """What drifted of one version, as checks found it; times are UTC."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    columns: tuple[str, ...]
    first: datetime
    last: datetime


class Seen(BaseModel):
    """Every drift that was told, at most one of a version."""

    model_config = ConfigDict(frozen=True)

    drifts: tuple[Drift, ...] = ()

    def knows(self, model: str, version: int, columns: Iterable[str], *, since: datetime) -> bool:
        """Whether all of it was told before. since: where the check's window begins."""
        before = self._lasting(model, version, since)
        return before is not None and set(columns) <= set(before.columns)

    def adding(
        self, model: str, version: int, columns: Iterable[str], *, since: datetime, now: datetime
    ) -> Seen:
        """With this drift, which goes on with the one that lasts."""
        before = self._lasting(model, version, since)
        drift = Drift(
            model=model,
            version=version,
            columns=tuple(sorted({*columns, *(before.columns if before else ())})),
            first=before.first if before else now,
            last=now,
        )
        others = (one for one in self.drifts if (one.model, one.version) != (model, version))
        return Seen(drifts=(*(one for one in others if now - one.last <= _KEPT), drift))

    def _lasting(self, model: str, version: int, since: datetime) -> Drift | None:
        for drift in self.drifts:
            if (drift.model, drift.version) == (model, version) and drift.last >= since:
                return drift
        return None
