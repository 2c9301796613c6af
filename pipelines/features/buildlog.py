"""The build log: which days of a feature table exist, in which generation readers see them.

One document per table in S3, changed by conditional writes; it is the truth. Partitions and the
view are made from it, so that an interrupted build leaves nothing that a reader could see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import NotFound
from mlops.objects import Document, Documents
from pipelines.data.ledger import Ledger
from pipelines.features.schemas.columns import SchemaVersion

MAX_DAYS = 100
"""Athena writes at most 100 partitions in one statement."""
_ONE_DAY = timedelta(days=1)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Days(_Frozen):
    """Consecutive days, both ends included."""

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:  # type: ignore[override]  # a model iterates its fields
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def within(self, other: Days) -> Days | None:
        """The days that both have."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Days(first=first, last=last) if first <= last else None

    def without(self, other: Days) -> list[Days]:
        """What is left before and after the other."""
        before = (self.first, min(self.last, other.first - _ONE_DAY))
        after = (max(self.first, other.last + _ONE_DAY), self.last)
        return [Days(first=a, last=b) for a, b in (before, after) if a <= b]


class Build(_Frozen):
    """At most MAX_DAYS days of one generation, written by one statement."""

    id: str
    generation: str
    days: Days
    created: datetime
    built_by: str
    payments: int
    """The commit of the payments that it saw: the ledger's, which says the imports."""
    schema_version: int = 1
    """What its files hold."""


class Current(_Frozen):
    """The generation that readers see on these days."""

    generation: str
    days: Days


class Piece(_Frozen):
    """Days that readers see as one build wrote them."""

    build: str
    generation: str
    days: Days


class BuildLog(_Frozen):
    """Every build of a table, what is current, and every version of its schema.

    They are one document, so that one conditional write decides what the view is made from.
    """

    version: Literal[1] = 1
    table: str
    builds: tuple[Build, ...] = ()
    current: tuple[Current, ...] = ()
    """By day, without overlaps."""
    published: int = Field(default=0, ge=0)
    """How many builds have their partitions and are in the view."""
    schemas: tuple[SchemaVersion, ...] = ()
    """By number. None in the log of a table that was built before schemas were recorded."""
    shown: int = Field(default=0, ge=0)
    """The version that the view has."""
    sweeps: int = Field(default=0, ge=0)
    """Counts removals of unlogged files: a build that began before one cannot be logged after."""

    def with_builds(self, builds: Sequence[Build]) -> BuildLog:
        """The log after these builds; their days become current."""
        current = list(self.current)
        for build in builds:
            current = [
                Current(generation=old.generation, days=rest)
                for old in current
                for rest in old.days.without(build.days)
            ]
            current.append(Current(generation=build.generation, days=build.days))
        return self.model_copy(
            update={"builds": (*self.builds, *builds), "current": tuple(_merged(current))}
        )

    def with_schema(self, version: SchemaVersion) -> BuildLog:
        """The log after a change of the schema; readers see it when the view is replaced."""
        return self.model_copy(update={"schemas": (*self.schemas, version)})

    def as_of(self, instant: datetime) -> BuildLog:
        """The log as it stood at a past moment: what readers saw then, in generations that stay."""
        then = [build for build in self.builds if build.created <= instant]
        known = max((build.schema_version for build in then), default=0)
        schemas = tuple(v for v in self.schemas if v.at <= instant or v.number <= known)
        past = BuildLog(table=self.table, schemas=schemas)
        return past.with_builds(then).as_published()

    def as_published(self) -> BuildLog:
        number = self.recorded.number if self.recorded else 0
        return self.model_copy(update={"published": len(self.builds), "shown": number})

    @property
    def recorded(self) -> SchemaVersion | None:
        """The newest version of the schema; None before the first build."""
        return self.schemas[-1] if self.schemas else None

    def pieces(self) -> tuple[Piece, ...]:
        """By build, what readers see: of builds that are published."""
        shown = BuildLog(table=self.table).with_builds(self.builds[: self.published])
        found = [
            Piece(build=build.id, generation=build.generation, days=days)
            for current in shown.current
            for build in shown.builds
            if build.generation == current.generation
            and (days := build.days.within(current.days)) is not None
        ]
        return tuple(sorted(found, key=lambda piece: piece.days.first))

    @property
    def unpublished(self) -> tuple[Build, ...]:
        return self.builds[self.published :]

    @property
    def is_published(self) -> bool:
        """Whether the view shows every build, in the newest version of the schema."""
        return self.as_published() == self

    @property
    def next_generation(self) -> str:
        return f"g{len({build.generation for build in self.builds}) + 1:04d}"

    @property
    def last_generation(self) -> str | None:
        """The one that never-built days are appended to."""
        return self.current[-1].generation if self.current else None

    @property
    def last_day(self) -> date | None:
        return self.current[-1].days.last if self.current else None

    def missing(self, wanted: Days) -> list[Days]:
        """The wanted days that no reader sees yet."""
        gaps = [wanted]
        for current in self.current:
            gaps = [rest for gap in gaps for rest in gap.without(current.days)]
        return gaps

    def stale_from(self, payments: Ledger, *, lookback: timedelta) -> date | None:
        """The first day before which payments arrived or were corrected after it was built."""
        seen: dict[date, int] = {}
        for build in self.builds:
            seen.update(dict.fromkeys(build.days, build.payments))
        changed = {commit: payments.days_changed_after(commit) for commit in set(seen.values())}
        for day in sorted(seen):
            if any(day - lookback <= late < day for late in changed[seen[day]]):
                return day
        return None


def in_chunks(gaps: Iterable[Days]) -> list[Days]:
    """The same days, at most MAX_DAYS in a piece."""
    return [
        Days(first=start, last=min(start + timedelta(days=MAX_DAYS - 1), gap.last))
        for gap in gaps
        for start in (gap.first + timedelta(days=n) for n in range(0, len(gap), MAX_DAYS))
    ]


def log_key(table: str) -> str:
    return f"features/{table}/builds.json"


def load_log(documents: Documents, table: str) -> tuple[BuildLog, Document | None]:
    """The log and the document that a conditional write replaces; an empty log at first."""
    try:
        document = documents.get(log_key(table))
    except NotFound:
        return BuildLog(table=table), None
    return BuildLog.model_validate_json(document.body), document


def save_log(documents: Documents, log: BuildLog, *, replacing: Document | None) -> Document:
    """Write it only if nobody did meanwhile. Raises Conflict."""
    body = log.model_dump_json(indent=1).encode()
    if replacing is None:
        return documents.create(log_key(log.table), body)
    return documents.put(log_key(log.table), body, etag=replacing.etag)


def _merged(current: Iterable[Current]) -> Iterator[Current]:
    """By day, with neighbours of one generation joined."""
    waiting: Current | None = None
    for piece in sorted(current, key=lambda c: c.days.first):
        if (
            waiting is not None
            and waiting.generation == piece.generation
            and waiting.days.last + _ONE_DAY == piece.days.first
        ):
            days = Days(first=waiting.days.first, last=piece.days.last)
            waiting = Current(generation=piece.generation, days=days)
            continue
        if waiting is not None:
            yield waiting
        waiting = piece
    if waiting is not None:
        yield waiting
