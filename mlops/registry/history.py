"""What was decided on a model, and whether the record of it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from mlops.errors import NotFound
from mlops.registry.record import Entry, Records, read_record
from mlops.registry.trail import Trail, compare_pointer, compare_trail
from mlops.registry.versions import ModelRegistry, ModelVersion, Unreadable


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
    """Read the record, verify its chain, and hold it against the registry.

    What does not fit is looked at twice: a decision that is carried out meanwhile fits by then.
    """
    found = _read(registry, records, model)
    if found.holds:
        return found
    again = _read(registry, records, model)
    return again.model_copy(update={"problems": _both(found.problems, again.problems)})


def look(
    registry: ModelRegistry, records: Records, model: str, version: int | None
) -> dict[str, tuple[str, ...]]:
    """The problems of one version, or of None, of which one the registry calls the approved.

    By what was looked at, which the record always is; looked at twice, as `read_history` does.
    """
    found = _look(registry, records, model, version)
    if not any(found.values()):
        return found
    again = _look(registry, records, model, version)
    return {what: _both(problems, again[what]) for what, problems in found.items()}


def _read(registry: ModelRegistry, records: Records, model: str) -> History:
    entries, problems = read_record(records, model)
    trail, pointer = Trail((), ()), []
    try:
        versions = registry.versions(model)
    except Unreadable as exc:
        problems.append(str(exc))
    else:
        trail = compare_trail(entries, versions)
        pointer = compare_pointer(entries, versions, registry.pointer(model))
    return History(
        model=model,
        entries=tuple(entries),
        problems=(*problems, *trail.problems, *pointer),
        unfinished=trail.unfinished,
    )


def _look(
    registry: ModelRegistry, records: Records, model: str, version: int | None
) -> dict[str, tuple[str, ...]]:
    entries, problems = read_record(records, model)
    what = "pointer" if version is None else f"version-{version}"
    try:
        found = _problems(registry, entries, model, version)
    except Unreadable as exc:
        found = (str(exc),)
    return {"record": tuple(problems), what: found}


def _problems(
    registry: ModelRegistry, entries: Sequence[Entry], model: str, version: int | None
) -> tuple[str, ...]:
    if version is None:
        pointer = registry.pointer(model)
        return tuple(compare_pointer(entries, registry.versions(model), pointer))
    own = [entry for entry in entries if entry.version == version]
    return compare_trail(own, _of_version(registry, model, version)).problems


def _of_version(registry: ModelRegistry, model: str, version: int) -> list[ModelVersion]:
    try:
        return [registry.get(model, version)]
    except NotFound:
        return []


def _both(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(problem for problem in first if problem in second)


def audit(registry: ModelRegistry, records: Records) -> list[History]:
    """Every model that the registry or the record knows, held one against the other."""
    models = sorted({*registry.models(), *records.models()})
    return [read_history(registry, records, model) for model in models]
