"""What was changed around the record is told once, also when it is found twice or again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.clock import FixedClock
from mlops.errors import Conflict, Unavailable
from mlops.notices import MemoryNotices
from mlops.objects import Document, MemoryDocuments
from mlops.registry.bypasses import DEAD_AFTER, PREFIX, Bypasses
from mlops.registry.history import read_history
from mlops.registry.memory import MemoryRegistry
from mlops.registry.versions import ModelVersion, Pointer, Status
from tests.approvals import NOW, Office

AROUND = "version 2: the registry says Approved, the record holds no decision"


@dataclass
class _Notices(MemoryNotices):
    """Fails, or dies, as often as it is told to."""

    fails: list[BaseException] = field(default_factory=list)

    def publish(self, subject: str, facts: Mapping[str, Any]) -> None:
        if self.fails:
            raise self.fails.pop()
        super().publish(subject, facts)


@dataclass
class Watch(Office):
    """An office in which two versions wait, and the first is approved."""

    notices: _Notices = field(default_factory=_Notices)

    def __post_init__(self) -> None:
        for version in (1, 2):
            self.register(version)
        self.decide("approve", 1)

    def look(self, version: int | None = 2, *, at: datetime = NOW) -> tuple[str, ...]:
        watch = Bypasses(self.registry, self.records, self.documents, self.notices, FixedClock(at))
        return watch.look("fraud", version)

    def set(self, status: Status, version: int = 2) -> None:
        self.registry.set_status(self.registry.get("fraud", version), status, note="by hand")

    def point(self, to: int | None) -> None:
        """The alias, as MLflow has it."""
        self.registry.pointers["fraud"] = Pointer(to)

    @property
    def told(self) -> list[list[str]]:
        return [facts["why"] for _, facts in self.notices.told]


def test_a_bypass_is_told_with_what_the_audit_finds() -> None:
    watch = Watch()
    watch.set(Status.APPROVED)
    assert watch.look() == (AROUND,)
    [(subject, facts)] = watch.notices.told
    assert subject == "Model 'fraud' was changed around its record"
    assert (facts["event"], facts["model"], facts["why"]) == ("bypassed", "fraud", [AROUND])
    assert read_history(watch.registry, watch.records, "fraud").problems == (AROUND,)


def test_what_is_in_order_is_not_told_and_leaves_no_trace() -> None:
    watch = Watch()
    watch.point(1)
    assert [watch.look(version) for version in (1, 2, None)] == [(), (), ()]
    assert not watch.told
    assert not list(watch.documents.keys(PREFIX))


def test_a_finding_is_told_once_and_again_only_when_it_comes_back() -> None:
    watch = Watch()
    for status in (Status.APPROVED, Status.APPROVED, Status.PENDING, Status.APPROVED):
        watch.set(status)
        for _ in range(2):
            watch.look()
    assert watch.told == [[AROUND], [AROUND]]


def test_a_version_s_finding_does_not_hide_another_s() -> None:
    watch = Watch()
    watch.set(Status.APPROVED)
    watch.set(Status.REJECTED, version=1)
    watch.look(2)
    watch.look(1)
    watch.look(2)
    assert [len(problems) for problems in watch.told] == [1, 1]
    assert "version 1" in watch.told[1][0]


def test_an_alias_that_was_moved_is_found_and_told() -> None:
    watch = Watch()
    watch.point(2)
    (problem,) = watch.look(None)
    assert problem.startswith("the alias of the approved names version 2, the record version 1")
    watch.point(None)
    assert "names no version" in watch.look(None)[0]
    assert read_history(watch.registry, watch.records, "fraud").problems == watch.look(None)
    assert len(watch.told) == 2


def test_while_a_decision_is_carried_out_the_alias_may_be_where_it_was_or_will_be() -> None:
    watch = Watch()
    waiting = watch.registry.get("fraud", 2)
    watch.decide("approve", 2)
    for held in (waiting, watch.registry.get("fraud", 2)):
        watch.registry.add(held)
        watch.point(2)
        assert watch.look(None) == ()
    watch.registry.add(waiting)
    watch.point(1)
    assert watch.look(None) == ()
    watch.decide("approve", 2)
    assert "names version 1, the record version 2" in watch.look(None)[0]


def test_files_that_were_exchanged_are_found_before_anything_is_deployed() -> None:
    watch = Watch()
    held = watch.registry.get("fraud", 1)
    watch.registry.add(held.model_copy(update={"manifest_sha256": "b" * 64}))
    assert watch.look(1) == (
        "version 1: it points to other files than those that entry 1 decided on",
    )


def test_a_version_that_was_decided_on_and_is_gone_is_found() -> None:
    watch = Watch()
    del watch.registry.stored["fraud", 1]
    assert watch.look(1) == ("version 1: it was decided on, and the registry lost it",)
    assert watch.look(7) == ()


def test_a_decision_that_is_made_while_one_looks_is_no_bypass() -> None:
    class Deciding(MemoryRegistry):
        """Somebody decides between the looks at the record and at the registry."""

        decide: Callable[[], object] | None = None

        def get(self, model: str, version: int) -> ModelVersion:
            if self.decide is not None:
                decide, self.decide = self.decide, None
                decide()
            return super().get(model, version)

        def versions(self, model: str, *, limit: int | None = None) -> list[ModelVersion]:
            self.get(model, 1)
            return super().versions(model, limit=limit)

    registry = Deciding()
    watch = Watch(registry=registry)
    registry.decide = lambda: watch.decide("approve", 2)
    assert watch.look() == ()
    registry.decide = lambda: watch.decide("reject", 2)
    assert read_history(registry, watch.records, "fraud").holds
    assert not watch.told


def test_of_two_who_find_it_at_the_same_moment_one_tells() -> None:
    @dataclass
    class Raced(MemoryDocuments):
        race: Callable[[], object] | None = None

        def create(self, key: str, body: bytes) -> Document:
            if self.race is not None and key.startswith(PREFIX):
                race, self.race = self.race, None
                race()
            return super().create(key, body)

    documents = Raced()
    watch = Watch(documents=documents)
    watch.set(Status.APPROVED)
    documents.race = watch.look
    assert watch.look() == (AROUND,)
    assert watch.told == [[AROUND]]


@pytest.mark.parametrize("failure", [Unavailable("no topic"), KeyboardInterrupt()])
def test_who_could_not_tell_or_died_is_followed_by_the_next(failure: BaseException) -> None:
    watch = Watch()
    watch.set(Status.APPROVED)
    watch.notices.fails.append(failure)
    with pytest.raises(type(failure)):
        watch.look()
    watch.look(at=NOW + DEAD_AFTER / 2)
    assert watch.told == []
    for later in (DEAD_AFTER, DEAD_AFTER * 2, timedelta(days=1)):
        watch.look(at=NOW + later)
    assert watch.told == [[AROUND]]


def test_a_note_that_never_stands_still_is_given_up_with_a_conflict() -> None:
    class Restless(MemoryDocuments):
        def create(self, key: str, body: bytes) -> Document:
            if key.startswith(PREFIX):
                raise Conflict(f"{key} exists already")
            return super().create(key, body)

    watch = Watch(documents=Restless())
    watch.set(Status.APPROVED)
    with pytest.raises(Conflict, match="'fraud'"):
        watch.look()
