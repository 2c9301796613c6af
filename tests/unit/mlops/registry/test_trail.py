"""The registry and the record are held against each other."""

from __future__ import annotations

import pytest

from mlops.registry.trail import Trail, compare_trail, note_for, noted_hash
from mlops.registry.versions import Status
from tests.approvals import Office


@pytest.fixture
def office() -> Office:
    office = Office()
    for version in (1, 2):
        office.register(version)
    office.decide("approve", 1)
    return office


def _trail(office: Office) -> Trail:
    return compare_trail(office.records.entries("fraud"), office.registry.versions("fraud"))


def test_decisions_through_the_record_fit(office: Office) -> None:
    office.decide("reject", 1)
    office.decide("approve", 1)
    assert _trail(office) == Trail((), ())


def test_an_approval_around_the_record_is_found(office: Office) -> None:
    office.registry.set_status(office.registry.get("fraud", 2), Status.APPROVED, note="trust me")
    assert "holds no decision" in _trail(office).problems[0]


@pytest.mark.parametrize("status", [Status.REJECTED, Status.PENDING])
def test_a_decision_undone_around_the_record_is_found(office: Office, status: Status) -> None:
    office.registry.set_status(office.registry.get("fraud", 1), status, note="oops")
    assert "changed around the record" in _trail(office).problems[0]


def test_a_record_that_lost_its_newest_entry_is_found(office: Office) -> None:
    office.decide("reject", 1)
    del office.records.stored["fraud", 2]
    assert "which the record does not have" in _trail(office).problems[0]


def test_a_record_that_was_emptied_is_found(office: Office) -> None:
    office.records.stored.clear()
    assert "which the record does not have" in _trail(office).problems[0]


def test_a_decision_that_did_not_reach_the_registry_is_unfinished(office: Office) -> None:
    before = office.registry.get("fraud", 2)
    office.decide("approve", 2)
    office.registry.add(before)
    trail = _trail(office)
    assert trail.problems == ()
    assert "mlops models approve fraud 2" in trail.unfinished[0]


@pytest.mark.parametrize("carried", [0, 1])
def test_of_two_decisions_at_the_same_moment_the_registry_may_lack_both_or_the_later(
    office: Office, carried: int
) -> None:
    states = [office.registry.get("fraud", 2)]
    office.decide("approve", 2)
    states.append(office.registry.get("fraud", 2))
    office.registry.add(states[0])
    office.decide("reject", 2)
    office.registry.add(states[carried])
    trail = _trail(office)
    assert trail.problems == ()
    assert "mlops models reject fraud 2" in trail.unfinished[0]


def test_a_state_of_before_a_decision_that_was_carried_out_is_found(office: Office) -> None:
    waiting = office.registry.get("fraud", 2)
    office.decide("approve", 2)
    office.decide("reject", 2)
    office.registry.add(waiting)
    assert "changed around the record" in _trail(office).problems[0]


def test_a_note_names_its_entry_within_what_the_registry_keeps(office: Office) -> None:
    entry = office.decide("approve", 2, reason="x" * 900).entry
    assert len(note_for(entry)) <= 1024
    assert noted_hash(note_for(entry)) == entry.hash
    assert noted_hash("no record here") == ""
