"""The ledger of the raw table: which file brought which rows, and which of them are current.

One document in S3, changed by conditional writes; it is the truth (ADR 9). The partitions and the
view are made from it. A commit adds imports and retracts earlier ones in one step, and has a
number; what readers see is what the ledger says at the last published commit.

A file is known by its name, its content by its checksum. An import is current as long as a name
holds its content: a name that comes with another content corrects it, and a content under a second
name is not taken in twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import NotFound, Refused
from mlops.objects import Document, Documents
from pipelines.data.payments import Partition, Visible
from pipelines.data.schema import TABLE

KEY = f"imports/{TABLE}-ledger.json"
MOST_HIDDEN = 5_000
"""Retracted imports that a view can name below Athena's 262,144 bytes a statement."""
_DIGITS = 8


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Import(_Frozen):
    """Rows that came with one file, under one id; they never change."""

    id: str
    """The number of its commit and a suffix of its own, so that ids are in the order of commits."""
    sha256: str
    file: str
    rows: int
    days: tuple[str, ...]
    created: datetime
    known_from: tuple[str, ...] = ()
    """The imports whose payments this file had again; these rows of it were refused."""
    revives: str | None = None
    """The import whose refused rows these are, since the payments that they repeated are gone."""
    retracted: datetime | None = None
    retracted_in: int | None = None
    """The commit from which on readers no longer see it."""
    swept: bool = False
    """Whether its files are deleted."""

    @property
    def commit(self) -> int:
        return int(self.id[:_DIGITS])

    def visible_in(self, commit: int) -> bool:
        return self.commit <= commit and (self.retracted_in is None or self.retracted_in > commit)

    @property
    def partitions(self) -> list[Partition]:
        return [Partition(day, self.id) for day in self.days]


class Arrival(_Frozen):
    """What a name held when it was last looked at."""

    sha256: str
    size: int
    etag: str = ""
    """S3's; an object that still has it need not be read again."""


class Ledger(_Frozen):
    """Every import, and every file by its name."""

    version: Literal[1] = 1
    commits: int = Field(default=0, ge=0)
    published: int = Field(default=0, ge=0)
    """The commit that readers see."""
    imports: tuple[Import, ...] = ()
    files: dict[str, Arrival] = {}

    @cached_property
    def current(self) -> tuple[Import, ...]:
        return tuple(one for one in self.imports if one.retracted_in is None)

    @cached_property
    def _current_by_content(self) -> dict[str, Import]:
        return {one.sha256: one for one in reversed(self.current) if one.revives is None}

    def holding(self, sha256: str) -> Import | None:
        """The current import of a content."""
        return self._current_by_content.get(sha256)

    def next_id(self, nonce: str) -> str:
        return f"{self.commits + 1:0{_DIGITS}d}-{nonce}"

    def released_by(
        self, arrivals: Mapping[str, Arrival], gone: Iterable[str] = ()
    ) -> tuple[Import, ...]:
        """The current imports whose content no name holds once these have arrived or are gone."""
        files = {**self.files, **arrivals}
        for name in gone:
            files.pop(name, None)
        held = {arrival.sha256 for arrival in files.values()}
        return tuple(one for one in self.current if one.sha256 not in held)

    def with_commit(
        self,
        added: Sequence[Import],
        retracted: Iterable[Import],
        *,
        now: datetime,
        arrivals: Mapping[str, Arrival],
        gone: Iterable[str] = (),
        known_from: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Ledger:
        """The ledger after one step; where no import changes, the commits stay as they are.

        known_from: by import, what its refused rows repeat from now on.
        """
        files = {**self.files, **arrivals}
        for name in gone:
            files.pop(name, None)
        ended = {one.id for one in retracted}
        number = self.commits + bool(added or ended)
        marks = {"retracted": now, "retracted_in": number}
        known = {i: {"known_from": found} for i, found in (known_from or {}).items()}
        imports = tuple(
            one.model_copy(update={**known.get(one.id, {}), **(marks if one.id in ended else {})})
            if one.id in ended or one.id in known
            else one
            for one in self.imports
        )
        ledger = self.replaced(commits=number, imports=(*imports, *added), files=files)
        ledger.shown()
        return ledger

    def replaced(self, **changes: Any) -> Ledger:
        """A ledger with other values; a model's own copy would keep what it had worked out."""
        values = {name: getattr(self, name) for name in Ledger.model_fields}
        return Ledger.model_construct(**{**values, **changes})

    @property
    def unpublished(self) -> tuple[Import, ...]:
        return tuple(one for one in self.imports if one.commit > self.published)

    def as_published(self) -> Ledger:
        return self.replaced(published=self.commits)

    def shown(self, commit: int | None = None) -> Visible:
        """What readers see at a commit, the last one by default.

        Raises Refused when more imports are retracted than a view can leave out.
        """
        number = self.commits if commit is None else commit
        hidden = frozenset(
            one.id
            for one in self.imports
            if one.commit <= number and not one.visible_in(number) and not one.swept
        )
        if len(hidden) > MOST_HIDDEN:
            raise Refused(
                f"{len(hidden)} retracted imports are still kept, and the view of '{TABLE}' can "
                f"leave out {MOST_HIDDEN}. Remove the oldest: mlops data sweep --older-than DAYS."
            )
        return Visible(through=number, hidden=hidden)

    def shown_as_of(self, instant: datetime) -> Visible:
        """What readers saw at a past moment, by the platform's clock.

        Raises NotFound when rows of then are swept.
        """
        then = [one for one in self.imports if one.created <= instant]
        seen = {one.id for one in then if one.retracted is None or one.retracted > instant}
        if swept := sum(one.swept for one in then if one.id in seen):
            raise NotFound(
                f"{swept} imports that readers saw at {instant:%Y-%m-%d %H:%M:%S} are swept: their "
                "retention has ended. Choose a later moment."
            )
        through = max((one.commit for one in then), default=0)
        hidden = frozenset(
            one.id
            for one in self.imports
            if one.commit <= through and one.id not in seen and not one.swept
        )
        return Visible(through=through, hidden=hidden)

    def seen_in(self, commit: int) -> list[Import]:
        """The imports that readers saw at a commit."""
        return [one for one in self.imports if one.visible_in(commit)]

    @property
    def days(self) -> list[date]:
        """The days of which readers see payments, in order."""
        found = {day for one in self.seen_in(self.published) for day in one.days}
        return [date.fromisoformat(day) for day in sorted(found)]

    def days_changed_after(self, commit: int) -> set[date]:
        """The days to which rows came, or from which rows went, since readers saw that commit."""
        came = {day for day, last in self._last_arrivals.items() if last > commit}
        went = {day for one in self._past if one.visible_in(commit) for day in one.days}
        return {date.fromisoformat(day) for day in came | went}

    @cached_property
    def _last_arrivals(self) -> dict[str, int]:
        """By day, the last commit that brought rows which readers see."""
        seen = self.seen_in(self.published)
        return {day: one.commit for one in seen for day in one.days}

    @cached_property
    def _past(self) -> list[Import]:
        """What readers saw once and see no longer."""
        return [
            one
            for one in self.imports
            if one.retracted_in is not None and one.retracted_in <= self.published
        ]


def load_ledger(documents: Documents) -> tuple[Ledger, Document | None]:
    """The ledger and the document that a conditional write replaces; an empty ledger at first."""
    try:
        document = documents.get(KEY)
    except NotFound:
        return Ledger(), None
    return Ledger.model_validate_json(document.body), document


def save_ledger(documents: Documents, ledger: Ledger, *, replacing: Document | None) -> Document:
    """Write it only if nobody did meanwhile. Raises Conflict."""
    body = ledger.model_dump_json(exclude_defaults=True).encode()
    if replacing is None:
        return documents.create(KEY, body)
    return documents.put(KEY, body, etag=replacing.etag)
