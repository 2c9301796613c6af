"""The record shows every change that was made to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.registry.record import (
    BEGINNING,
    Decision,
    Entry,
    chain,
    encode_entry,
    latest,
    others_who_approved,
    standing_approvals,
    verify,
)
from mlops.registry.versions import Status
from tests.approvals import APPROVER, NOW, OTHER_APPROVER

DECISIONS = st.fixed_dictionaries(
    {
        "model": st.just("fraud"),
        "version": st.integers(1, 5),
        "action": st.sampled_from(["approve", "reject"]),
        "at": st.datetimes(max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
        "who": st.text(min_size=1),
        "reason": st.text(min_size=1),
        "before": st.sampled_from(Status),
        "after": st.sampled_from([Status.APPROVED, Status.REJECTED]),
        "package_arn": st.text(),
        "model_prefix": st.text(),
        "manifest_sha256": st.text(),
        "metrics": st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    }
).map(Decision.model_validate)
RECORDS = st.lists(DECISIONS, min_size=1, max_size=6)


def _record(decisions: list[Decision]) -> list[Entry]:
    entries: list[Entry] = []
    for decision in decisions:
        entries.append(chain(decision, entries))
    return entries


def _decision(version: int = 1, after: Status = Status.APPROVED) -> Decision:
    return Decision(
        model="fraud",
        version=version,
        action="approve" if after is Status.APPROVED else "reject",
        at=NOW,
        who=APPROVER,
        reason="because",
        before=Status.PENDING,
        after=after,
        package_arn="arn",
        model_prefix="s3://b/p/",
        manifest_sha256="a" * 64,
        metrics={"auc_roc": 0.85},
    )


@given(RECORDS)
def test_an_untouched_record_holds_also_after_it_was_stored(decisions: list[Decision]) -> None:
    stored = [encode_entry(entry) for entry in _record(decisions)]
    assert verify("fraud", [Entry.model_validate_json(text) for text in stored]) == []


@given(RECORDS, st.data())
def test_a_missing_entry_before_the_last_is_found(
    decisions: list[Decision], data: st.DataObject
) -> None:
    entries = _record([*decisions, _decision()])
    del entries[data.draw(st.integers(0, len(entries) - 2))]
    assert verify("fraud", entries)


@given(RECORDS, st.data())
def test_a_changed_field_of_any_entry_is_found(
    decisions: list[Decision], data: st.DataObject
) -> None:
    entries = _record(decisions)
    place = data.draw(st.integers(0, len(entries) - 1))
    entry = entries[place]
    changes: list[dict[str, object]] = [
        {"reason": entry.reason + "!"},
        {"who": entry.who + "!"},
        {"at": entry.at + timedelta(microseconds=1)},
        {"version": entry.version + 1},
        {"metrics": {**entry.metrics, "auc_roc": float(entry.metrics.get("auc_roc") == 0)}},
    ]
    entries[place] = entry.model_copy(update=data.draw(st.sampled_from(changes)))
    assert verify("fraud", entries)


def test_an_entry_that_was_rewritten_with_a_fitting_hash_breaks_the_one_after_it() -> None:
    entries = _record([_decision(1), _decision(2)])
    forged = chain(_decision(1, Status.REJECTED), [])
    assert verify("fraud", [forged, entries[1]]) == ["entry 2 does not continue the one before it"]


def test_swapped_entries_are_found() -> None:
    first, second = _record([_decision(1), _decision(2)])
    assert verify("fraud", [second, first])


def test_entries_of_another_model_are_found() -> None:
    assert "belongs to model 'fraud'" in verify("loans", _record([_decision()]))[0]


def test_the_chain_begins_at_one_with_nothing_before_it() -> None:
    (entry,) = _record([_decision()])
    assert (entry.sequence, entry.previous_hash) == (1, BEGINNING)


def test_a_stored_entry_says_from_what_to_what() -> None:
    (entry,) = _record([_decision()])
    stored = json.loads(encode_entry(entry))
    assert (stored["from"], stored["to"]) == ("PendingManualApproval", "Approved")


def test_metrics_that_are_no_numbers_do_not_enter_the_record() -> None:
    with pytest.raises(ValueError, match="finite"):
        Decision.model_validate({**_decision().model_dump(), "metrics": {"auc_roc": float("nan")}})


def test_the_latest_decision_on_a_version_stands() -> None:
    entries = _record([_decision(1), _decision(2), _decision(1, Status.REJECTED)])
    assert latest(entries, 1) == entries[2]
    assert latest(entries, 3) is None


def test_approvals_stand_until_they_are_taken_back_newest_decision_first() -> None:
    entries = _record(
        [_decision(3), _decision(1), _decision(2), _decision(1, Status.REJECTED), _decision(1)]
    )
    assert [entry.version for entry in standing_approvals(entries)] == [1, 2, 3]


def test_an_entry_of_an_earlier_release_keeps_its_hash() -> None:
    """Fields that were added since say nothing of it, and are not written."""
    text = (
        '{"action":"approve","at":"2018-08-15T09:30:00Z","from":"PendingManualApproval",'
        '"hash":"409c15631c87c59a1051233587454d6e1deb4f63b87d013d1109d40f3ad54c27",'
        '"manifest_sha256":"' + "a" * 64 + '","metrics":{"auc_roc":0.30000000000000004,'
        '"huge":1.7e+308,"tiny":5e-324},"model":"fraud","model_prefix":"s3://b/p/",'
        '"package_arn":"arn","previous_hash":"' + BEGINNING + '","reason":"because 결제",'
        '"sequence":1,"to":"Approved","version":1,'
        f'"who":"{APPROVER}"}}'
    )
    entry = Entry.model_validate_json(text)
    assert verify("fraud", [entry]) == []
    assert encode_entry(entry) == text


def _approval(number: int, who: str, **changes: object) -> Decision:
    return _decision().model_copy(
        update={"approval": number, "approvals_needed": 2, "who": who, **changes}
    )


def test_an_approval_that_waits_for_another_is_no_decision() -> None:
    entries = _record([_approval(1, APPROVER, after=Status.PENDING)])
    assert latest(entries, 1) is None
    assert standing_approvals(entries) == []
    assert others_who_approved(_approval(2, OTHER_APPROVER), entries) == [APPROVER]


@pytest.mark.parametrize(
    "before",
    [
        [],
        [_approval(1, OTHER_APPROVER, after=Status.PENDING)],
        [_approval(1, APPROVER, after=Status.PENDING, manifest_sha256="b" * 64)],
        [_approval(1, APPROVER, after=Status.PENDING), _decision(after=Status.REJECTED)],
    ],
    ids=["nobody", "the same person", "of other files", "rejected since"],
)
def test_a_second_approval_without_a_first_of_another_person_is_found(
    before: list[Decision],
) -> None:
    entries = _record([*before, _approval(2, OTHER_APPROVER)])
    assert verify("fraud", entries) == [
        f"entry {len(entries)} says approval 2, but 0 came before it"
    ]


def test_a_second_approval_after_a_first_of_another_person_holds() -> None:
    entries = _record([_approval(1, APPROVER, after=Status.PENDING), _approval(2, OTHER_APPROVER)])
    assert verify("fraud", entries) == []
