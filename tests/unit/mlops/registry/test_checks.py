"""Each rule of approval: kept or not, and what is said then."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.registry.approval import Ask
from mlops.registry.record import Check
from mlops.registry.scorecard import SCORECARD, Scorecard
from mlops.registry.versions import Status
from tests.approvals import APPROVER, Office, scorecard


@pytest.fixture
def office() -> Office:
    return Office()


def _check(office: Office, rule: str, version: int = 2, **rules: Any) -> Check:
    office.apply(**rules)
    found = office.approvals.check(Ask("fraud", version, "approve", "", APPROVER))
    return next(check for check in found if check.rule == rule)


@pytest.mark.parametrize(("bound", "kept"), [(0.85, True), (0.86, False)])
def test_a_metric_must_reach_its_bound_by_the_manifests_word(
    office: Office, bound: float, kept: bool
) -> None:
    office.register(2, metrics={"auc_roc": 0.99})
    found = _check(office, "at_least.auc_roc", at_least={"auc_roc": bound})
    assert (found.passed, found.found.startswith("0.85, at least")) == (kept, True)


@pytest.mark.parametrize(("difference", "kept"), [(1e-6, True), (1e-4, False)])
def test_the_served_form_may_differ_from_the_trained_by_so_much(
    office: Office, difference: float, kept: bool
) -> None:
    office.register_with(2, metrics={"onnx_max_difference": difference})
    assert _check(office, "onnx_parity", onnx_parity=1e-5).passed is kept


def test_a_metric_that_was_never_measured_is_not_kept(office: Office) -> None:
    office.register(2)
    found = _check(office, "at_most.brier", at_most={"brier": 0.1})
    assert (found.passed, found.found) == (
        False,
        "it has no metric 'brier'; it has auc_roc. Train again.",
    )


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (None, "names no data set"),
        ("fraud@3", "fraud@3 is not on record"),
        ("fraud@2", "trained on fraud@2, which is on record"),
    ],
)
def test_the_data_set_must_be_on_record(office: Office, dataset: str | None, told: str) -> None:
    office.data.put("datasets/records/fraud/2.json", b"{}")
    office.register_with(2, dataset=dataset)
    found = _check(office, "dataset", dataset=True)
    assert told in found.found
    assert found.passed is (dataset == "fraud@2")


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (scorecard(rows="b", approved=(1, 0.9), auc=0.89), scorecard()),
        (scorecard(rows="a", auc=0.89), scorecard(rows="b", approved=(2, 0.89), auc=0.9)),
        (scorecard(rows="a", auc=0.89), scorecard(rows="a", auc=0.9)),
    ],
    ids=["measured beside it", "it was measured beside this one", "the same test rows"],
)
@pytest.mark.parametrize(("tolerance", "kept"), [(0.011, True), (0.009, False)])
def test_not_worse_than_the_approved_version_on_rows_that_both_were_tested_on(
    office: Office, mine: Scorecard, theirs: Scorecard, tolerance: float, kept: bool
) -> None:
    office.register_with(1, theirs)
    office.registry.set_status(office.registry.get("fraud", 1), Status.APPROVED, note="")
    office.register_with(2, mine)
    found = _check(office, "not_worse.auc_roc", not_worse={"auc_roc": tolerance})
    assert found.passed is kept
    assert found.found.startswith("0.89, version 1 reaches 0.9 on the same rows")


@pytest.mark.parametrize("mine", [None, scorecard(rows="b", approved=(3, 0.9))])
def test_without_common_rows_nobody_can_tell_and_the_remedy_is_named(
    office: Office, mine: Scorecard | None
) -> None:
    office.register_with(1, scorecard())
    office.registry.set_status(office.registry.get("fraud", 1), Status.APPROVED, note="")
    office.register_with(2, mine)
    found = _check(office, "not_worse.auc_roc", not_worse={"auc_roc": 1})
    assert not found.passed
    assert "not measured on the same rows as version 1" in found.found
    assert "mlops workflows run fraud" in found.found


def test_the_first_version_has_none_to_beat(office: Office) -> None:
    office.register(2)
    assert _check(office, "not_worse.auc_roc", not_worse={"auc_roc": 0}).passed


@pytest.mark.parametrize(("p99", "kept"), [(1.9, True), (2.1, False)])
def test_one_row_may_take_so_long(office: Office, p99: float, kept: bool) -> None:
    office.register_with(2, scorecard(p99=p99))
    assert _check(office, "latency_ms", latency_ms=2).passed is kept


def test_a_scorecard_that_was_changed_is_not_believed(office: Office) -> None:
    office.register_with(2, scorecard(p99=9))
    office.documents.put(f"models/fraud/run-2/{SCORECARD}", scorecard().model_dump_json().encode())
    found = _check(office, "latency_ms", latency_ms=2)
    assert (found.passed, "changed after registration" in found.found) == (False, True)
