"""Whether a merge starts a model's run, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.training.settings import TrainingSettings

SHOWN = 12
"""Characters of a hash that tell it from others."""
_CHOSEN = {"test_end"}
"""What every run is told: the day on which it starts."""


class Ran(BaseModel):
    """A run of a model that succeeded."""

    model_config = ConfigDict(frozen=True)

    name: str
    code_sha256: str | None
    """None where nobody knows any more."""
    settings: Mapping[str, Any] = {}

    def proves(self, settings: TrainingSettings, code_sha256: str) -> bool:
        """Whether it ran this code as its settings have it, not as somebody chose."""
        declared = settings.model_dump(mode="json", exclude=_CHOSEN)
        ran = {key: value for key, value in self.settings.items() if key not in _CHOSEN}
        return self.code_sha256 == code_sha256 and ran == declared


class Due(BaseModel):
    """Whether a run is due once this code is deployed."""

    model_config = ConfigDict(frozen=True)

    model: str
    starts: bool
    why: str

    @property
    def words(self) -> str:
        if self.starts:
            return f"a run of {self.model} starts after the merge: {self.why}"
        return f"the merge starts no run of {self.model}: {self.why}"


def is_due(
    settings: TrainingSettings, *, code_sha256: str, absent: Sequence[str], ran: Iterable[Ran]
) -> Due:
    """Whether a model's run is due for this code.

    absent: of the tables that the model reads, those that the environment lacks. ran: what
    succeeded, newest first; read as far as it is needed.
    """
    model = settings.model
    if not settings.starts.merge:
        return Due(model=model, starts=False, why="its settings do not say so (starts: merge)")
    if absent:
        tables = ", ".join(absent)
        return Due(model=model, starts=False, why=f"this environment has no table {tables} yet")
    newest: Ran | None = None
    for run in ran:
        if run.proves(settings, code_sha256):
            return Due(model=model, starts=False, why=f"run {run.name} succeeded with this code")
        newest = newest or run
    return Due(model=model, starts=True, why=_missing(newest, code_sha256))


def _missing(newest: Ran | None, code_sha256: str) -> str:
    """Why what succeeded so far is not enough."""
    if newest is None:
        return "no run of it has succeeded yet"
    if newest.code_sha256 == code_sha256:
        return f"run {newest.name} succeeded with this code, but with settings of its own"
    before = (newest.code_sha256 or "unknown")[:SHOWN]
    return f"its code is another than run {newest.name}'s ({before} → {code_sha256[:SHOWN]})"
