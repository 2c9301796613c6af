"""What differs between the declared schema and the one on record, and the version that follows.

Pure. An addition breaks nobody; nor does a wider type, since the view reads the old files in the
type they were written in and casts without loss. What takes a value away from readers, or refuses
values that were welcome, breaks somebody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from pipelines.features.schemas.columns import Column, SchemaVersion, StoredColumn, stored_types

Kind = Literal[
    "added", "removed", "renamed", "widened", "retyped", "tightened", "relaxed", "described"
]
BREAKING: frozenset[Kind] = frozenset({"removed", "renamed", "retyped", "tightened"})
_NOTES: dict[Kind, str] = {
    "added": "rows written before read as null until their days are rebuilt",
    "retyped": "rows written before read as null until their days are rebuilt",
    "widened": "rows written before are read as they are",
    "renamed": "rows written before are read under the new name",
    "tightened": "builds refuse what does not fit; rows written before stay",
}
_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_SIZED = re.compile(r"(decimal|varchar)\((\d+)(?:,(\d+))?\)")


class Difference(BaseModel):
    """One thing that differs of one column."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    column: str
    """As readers know it; of an added one, its new name."""
    before: str | None = None
    after: str | None = None

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def breaking(self) -> bool:
        return self.kind in BREAKING

    @property
    def words(self) -> str:
        pair = " -> ".join(part for part in (self.before, self.after) if part)
        return f"{self.kind} {self.column}" + (f": {pair}" if pair else "")

    @property
    def note(self) -> str:
        """What becomes of the rows that are there."""
        return _NOTES.get(self.kind, "")


def compare(recorded: SchemaVersion, declared: Sequence[Column]) -> list[Difference]:
    """What would change for readers and builds; the order of columns means nothing."""
    found: list[Difference] = []
    for old, new in _paired(recorded, declared):
        found += [_added(new)] if old is None else _changed(old.column, new)
    kept = {old.name for old, _ in _paired(recorded, declared) if old is not None}
    found += [
        Difference(kind="removed", column=old.name, before=old.column.type)
        for old in recorded.columns
        if old.name not in kept
    ]
    return found


def blocks_builds(differences: Sequence[Difference]) -> bool:
    """Whether what a build would write is not what is on record; words do not count."""
    return any(difference.kind != "described" for difference in differences)


def next_version(
    history: Sequence[SchemaVersion],
    declared: Sequence[Column],
    *,
    at: datetime,
    by: str,
    why: str,
) -> SchemaVersion:
    """The declared columns as the version after the last of the history."""
    recorded = history[-1]
    number = recorded.number + 1
    taken = {*stored_types(history), *(column.name for column in declared)}
    columns = []
    for old, new in _paired(recorded, declared):
        columns.append(_stored(old, new, history, number, taken))
        taken.add(columns[-1].stored)
    return SchemaVersion(
        number=number,
        columns=tuple(columns),
        at=at,
        by=by,
        why=why,
        changes=tuple(difference.words for difference in compare(recorded, declared)),
    )


def widens(before: str, after: str) -> bool:
    """Whether every value of one type is the same value in another: what a cast cannot lose.

    Integers into larger ones, float into double, decimals that keep their digits on both sides of
    the point, varchar into a longer one or into string.
    """
    if before in _INTEGERS and after in _INTEGERS:
        return _INTEGERS.index(before) < _INTEGERS.index(after)
    if (before, after) == ("float", "double"):
        return True
    small, large = _SIZED.fullmatch(before), _SIZED.fullmatch(after)
    if small and small[1] == "varchar" and after == "string":
        return True
    if small is None or large is None or small[1] != large[1] or before == after:
        return False
    whole = [int(m[2]) - int(m[3] or 0) for m in (small, large)]
    digits = [int(m[3] or 0) for m in (small, large)]
    return whole[0] <= whole[1] and digits[0] <= digits[1]


def _paired(
    recorded: SchemaVersion, declared: Sequence[Column]
) -> Iterator[tuple[StoredColumn | None, Column]]:
    """Each declared column with the one on record: by its name, else by the name it had."""
    known = {stored.name: stored for stored in recorded.columns}
    for column in declared:
        yield known.get(column.name) or known.get(column.formerly or ""), column


def _added(column: Column) -> Difference:
    return Difference(kind="added", column=column.name, after=f"{column.type}, {column.rule}")


def _changed(old: Column, new: Column) -> Iterator[Difference]:
    if old.name != new.name:
        yield Difference(kind="renamed", column=old.name, after=new.name)
    if old.type != new.type:
        kind: Kind = "widened" if widens(old.type, new.type) else "retyped"
        yield Difference(kind=kind, column=old.name, before=old.type, after=new.type)
    if old.rule != new.rule:
        stricter: Kind = "tightened" if _refuses_more(old, new) else "relaxed"
        yield Difference(kind=stricter, column=old.name, before=old.rule, after=new.rule)
    if old.description != new.description:
        yield Difference(
            kind="described", column=old.name, before=old.description, after=new.description
        )


def _refuses_more(old: Column, new: Column) -> bool:
    """Whether some value that fitted does not fit any more."""
    lower = [c.minimum if c.minimum is not None else float("-inf") for c in (old, new)]
    upper = [c.maximum if c.maximum is not None else float("inf") for c in (old, new)]
    fewer = bool(new.values) and (not old.values or not {*old.values} <= {*new.values})
    return (
        (new.required and not old.required) or lower[1] > lower[0] or upper[1] < upper[0] or fewer
    )


def _stored(
    old: StoredColumn | None,
    new: Column,
    history: Sequence[SchemaVersion],
    number: int,
    taken: set[str],
) -> StoredColumn:
    plain = new.model_copy(update={"formerly": None})
    if old is not None and old.column.type == new.type:
        return StoredColumn(column=plain, stored=old.stored, narrower=old.narrower)
    narrower: tuple[tuple[str, str], ...] = ()
    if old is not None and widens(old.column.type, new.type):
        narrower = ((old.stored, old.column.type), *old.narrower)
    return StoredColumn(
        column=plain, stored=_free_name(new.name, history, number, taken), narrower=narrower
    )


def _free_name(column: str, history: Sequence[SchemaVersion], number: int, taken: set[str]) -> str:
    """A name that no file has used: what lies under a used one must not be read as the new."""
    if column not in stored_types(history):
        return column
    name = f"{column}__v{number}"
    while name in taken:
        name += "_"
    return name
