"""What an auditor finds: ends that were cut off, registry states that no entry explains."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from mlops.errors import Refused
from mlops.registry.history import audit, read_history
from mlops.registry.memory import MemoryRecords
from mlops.registry.record import Head, read_record
from mlops.registry.versions import Status
from tests.approvals import OTHER_APPROVER, Office


@dataclass
class _Overtaken(MemoryRecords):
    """Answers first with a head of before, as where an entry is added meanwhile."""

    old: list[Head | None] = field(default_factory=list)

    def head(self, model: str) -> Head | None:
        return self.old.pop() if self.old else super().head(model)


@pytest.fixture
def office() -> Office:
    """Two decisions on a model."""
    office = Office()
    office.register(1)
    office.decide("approve", 1)
    office.decide("reject", 1, who=OTHER_APPROVER)
    return office


def _problems(office: Office) -> tuple[str, ...]:
    return read_history(office.registry, office.records, "fraud").problems


def test_an_untouched_office_holds(office: Office) -> None:
    office.register(1, model="other")
    found = audit(office.registry, office.records)
    assert [(history.model, history.problems) for history in found] == [
        ("fraud", ()),
        ("other", ()),
    ]


def test_an_end_that_was_cut_off_is_found_and_nothing_is_decided(office: Office) -> None:
    del office.records.stored["fraud", 2]
    assert "entries 2 to 2 are missing from its end" in _problems(office)
    with pytest.raises(Refused, match="missing from its end"):
        office.decide("approve", 1)


def test_a_waiting_approval_that_was_cut_off_is_found_though_no_registry_knew_it() -> None:
    office = Office()
    office.apply(approvals=2)
    office.register(1)
    office.decide("approve", 1)
    office.records.stored.clear()
    assert _problems(office) == ("entries 1 to 1 are missing from its end",)


def test_a_newest_entry_that_was_replaced_is_found(office: Office) -> None:
    entries = office.records.entries("fraud")
    values = entries[1].model_copy(update={"reason": "nicer"})
    forged = values.model_copy(update={"hash": values.compute_hash()})
    office.records.stored["fraud", 2] = forged
    assert "entry 2 is not the one that its head names" in _problems(office)


def test_a_head_that_was_removed_is_found(office: Office) -> None:
    office.records.heads.clear()
    assert "its head is missing" in _problems(office)


def test_an_entry_that_was_added_around_the_platform_is_found(office: Office) -> None:
    head = office.records.heads["fraud"]
    office.decide("approve", 1)
    office.records.heads["fraud"] = head
    assert "entry 3 was added around the platform: its head does not know it" in _problems(office)


def test_an_entry_that_is_added_while_the_record_is_read_is_no_problem(office: Office) -> None:
    head = office.records.heads["fraud"]
    office.decide("approve", 1)

    records = _Overtaken(office.records.stored, office.records.heads, old=[head])
    assert read_record(records, "fraud")[1] == []


def test_a_first_entry_that_is_added_while_the_record_is_read_is_no_problem(
    office: Office,
) -> None:
    records = _Overtaken(office.records.stored, office.records.heads, old=[None])
    assert read_record(records, "fraud")[1] == []


def test_a_registry_state_that_no_entry_explains_is_found_in_every_model(office: Office) -> None:
    office.register(2)
    office.registry.set_status(office.registry.get("fraud", 2), Status.APPROVED, note="quick fix")
    office.register(1, model="other", status=Status.REJECTED)
    problems = {h.model: h.problems for h in audit(office.registry, office.records)}
    assert problems == {
        "fraud": ("version 2: the registry says Approved, the record holds no decision",),
        "other": ("version 1: the registry says Rejected, the record holds no decision",),
    }


def test_a_version_and_a_model_that_the_registry_lost_are_found(office: Office) -> None:
    office.registry.stored.clear()
    (found,) = audit(office.registry, office.records)
    assert found.problems == ("version 1: it was decided on, and the registry lost it",)
