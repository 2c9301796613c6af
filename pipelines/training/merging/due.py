"""Whether a merge starts a model's run, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from pipelines.training.settings import TrainingSettings

SHOWN = 12
"""Characters of a hash that tell it from others."""


class Ran(BaseModel):
    """The newest run of a model that succeeded."""

    model_config = ConfigDict(frozen=True)

    name: str
    code_sha256: str | None
    """None where nobody knows any more."""


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
    settings: TrainingSettings, *, code_sha256: str, absent: Sequence[str], last: Ran | None
) -> Due:
    """Whether a model's run is due for this code.

    absent: of the tables that the model reads, those that the environment lacks.
    """
    model = settings.model
    if not settings.starts.merge:
        return Due(model=model, starts=False, why="its settings do not say so (starts: merge)")
    if absent:
        tables = ", ".join(absent)
        return Due(model=model, starts=False, why=f"this environment has no table {tables} yet")
    if last is None:
        return Due(model=model, starts=True, why="no run of it has succeeded yet")
    if last.code_sha256 == code_sha256:
        return Due(model=model, starts=False, why=f"run {last.name} succeeded with this code")
    before = (last.code_sha256 or "unknown")[:SHOWN]
    why = f"its code is another than run {last.name}'s ({before} → {code_sha256[:SHOWN]})"
    return Due(model=model, starts=True, why=why)
