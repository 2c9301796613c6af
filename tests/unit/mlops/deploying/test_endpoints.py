"""Every change of an endpoint is on record, and two writers end in one order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deploying import moves
from mlops.deploying.endpoints import Endpoints, Move
from mlops.deploying.history import read_history
from mlops.deploying.moves import Rule, apply_move
from mlops.deploying.record import record_key
from mlops.deployment import Deployment, deployment_key, load_deployment
from mlops.errors import Conflict, Refused
from mlops.objects import Document, MemoryDocuments
from tests.deploying import CHANGE, endpoint, numbers


class Killed(BaseException):
    """The process ends in the middle of a write, with or without it."""


@dataclass
class Interrupted(MemoryDocuments):
    """Dies at a write that is due, before or after it took place."""

    alive: int = 10**6
    """How many more writes it lives through."""
    after: bool = False
    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        if self.meanwhile and etag is not None:
            self.meanwhile.pop()()
        self.alive -= 1
        if self.alive < 0 and not self.after:
            raise Killed
        written = super().put(key, body, etag=etag)
        if self.alive < 0:
            raise Killed
        return written


def to(rule: Rule) -> Move:
    return lambda current: apply_move(current, rule, CHANGE)


def deployed(documents: MemoryDocuments, *line: int) -> Endpoints:
    endpoints = Endpoints(documents)
    endpoints.change("fraud", "approve", lambda now: endpoint(*line) if now is None else None)
    return endpoints


def test_a_change_is_written_down_and_then_made() -> None:
    endpoints = deployed(MemoryDocuments(), 2, 1)
    done = endpoints.change("fraud", "rollback", to(moves.roll_back(None)))
    assert done is not None
    assert (numbers(done.before or done.after), numbers(done.after)) == ([2, 1], [1])
    assert endpoints.load("fraud") == done.after
    history = read_history(endpoints.documents, "fraud")
    assert history.holds
    assert [(e.revision, e.action) for e in history.entries] == [(1, "approve"), (2, "rollback")]


def test_a_move_that_changes_nothing_writes_nothing() -> None:
    documents = MemoryDocuments()
    endpoints = deployed(documents, 2, 1)
    before = dict(documents.stored)
    assert endpoints.change("fraud", "unfreeze", to(moves.unfreeze)) is None
    assert documents.stored == before


def test_of_two_writers_the_slower_moves_on_what_the_faster_wrote() -> None:
    documents = Interrupted()
    endpoints = deployed(documents, 3, 2, 1)

    def faster() -> None:
        other = dataclasses.replace(CHANGE, reason="me too")
        move = moves.roll_back(None)
        endpoints.change("fraud", "rollback", lambda now: apply_move(now, move, other))

    documents.meanwhile.append(faster)
    endpoints.change("fraud", "rollback", to(moves.roll_back(None)))
    assert numbers(endpoints.load("fraud")) == [1]
    assert read_history(documents, "fraud").holds


@given(st.integers(0, 3), st.booleans())
def test_a_writer_that_is_killed_anywhere_is_completed_by_the_next(alive: int, after: bool) -> None:
    documents = Interrupted()
    endpoints = deployed(documents, 3, 2, 1)
    documents.alive, documents.after = alive, after
    try:
        for rule in (moves.roll_back(None), moves.freeze):
            endpoints.change("fraud", "by hand", to(rule))
    except Killed:
        documents.alive = 10**6
    endpoints.complete("fraud")
    history = read_history(documents, "fraud")
    assert history.holds
    assert endpoints.load("fraud") == history.entries[-1].document
    assert not endpoints.complete("fraud")


def test_an_entry_that_was_changed_or_removed_is_found() -> None:
    documents = MemoryDocuments()
    endpoints = deployed(documents, 3, 2, 1)
    for _ in range(2):
        endpoints.change("fraud", "rollback", to(moves.roll_back(None)))
    key = record_key("fraud", 2)
    body = documents.stored[key]
    documents.stored[key] = body.replace(b"because", b"whatever")
    assert "revision 2 was changed" in " ".join(read_history(documents, "fraud").problems)
    del documents.stored[key]
    assert "revision 2 is missing" in " ".join(read_history(documents, "fraud").problems)
    documents.stored[key] = b"{}"
    with pytest.raises(Refused, match="unreadable"):
        read_history(documents, "fraud")


def test_a_document_that_was_written_around_its_record_is_found() -> None:
    documents = MemoryDocuments()
    deployed(documents, 2, 1)
    forged = endpoint(1).model_copy(update={"reason": "forged"})
    documents.put(deployment_key("fraud"), forged.model_dump_json().encode())
    assert read_history(documents, "fraud").problems == (
        "the document of revision 1 is not the one on record",
    )
    ahead = forged.model_copy(update={"revision": 7})
    documents.put(deployment_key("fraud"), ahead.model_dump_json().encode())
    assert read_history(documents, "fraud").problems == (
        "the document is at revision 7, the record at 1",
    )


def test_a_document_of_an_older_release_gets_its_record_from_where_it_is() -> None:
    documents = MemoryDocuments()
    old: Deployment = endpoint(2, 1).model_copy(update={"revision": 5})
    documents.put(deployment_key("fraud"), old.model_dump_json().encode())
    Endpoints(documents).change("fraud", "rollback", to(moves.roll_back(None)))
    assert load_deployment(documents, "fraud")[0].revision == 6
    assert read_history(documents, "fraud").holds


def test_an_endpoint_that_never_stands_still_is_given_up_with_a_conflict() -> None:
    class Restless(MemoryDocuments):
        def create(self, key: str, body: bytes) -> Document:
            raise Conflict(f"{key} exists already")

    with pytest.raises(Conflict, match="changed all the time"):
        deployed(Restless(), 1)
