"""What was decided on a model, and whether the record of it can be trusted."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mlops.registry.record import Entry, Records, read_record
from mlops.registry.trail import compare_trail
from mlops.registry.versions import ModelRegistry


class History(BaseModel):
    """A model's record with the verdict on it."""

    model_config = ConfigDict(frozen=True)

    model: str
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    """What was changed, lost or done around the record; empty when it holds."""
    unfinished: tuple[str, ...]
    """Decisions that have not reached the registry yet."""

    @property
    def holds(self) -> bool:
        return not self.problems


def read_history(registry: ModelRegistry, records: Records, model: str) -> History:
    """Read the record, verify its chain, and hold it against the registry."""
    entries, problems = read_record(records, model)
    trail = compare_trail(entries, registry.versions(model))
    return History(
        model=model,
        entries=tuple(entries),
        problems=(*problems, *trail.problems),
        unfinished=trail.unfinished,
    )


def audit(registry: ModelRegistry, records: Records) -> list[History]:
    """Every model that the registry or the record knows, held one against the other."""
    models = sorted({*registry.models(), *records.models()})
    return [read_history(registry, records, model) for model in models]
