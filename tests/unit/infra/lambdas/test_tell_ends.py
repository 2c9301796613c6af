"""Ends that a run cannot tell itself are told; those that it told are not told twice."""

from __future__ import annotations

from typing import Any

import pytest

from infra.lambdas.tell_ends import report
from mlops.errors import InputError, Unavailable
from mlops.names import Names
from mlops.notices import MemoryNotices

NAMES = Names(project="mlops", env="dev", account="1", region="eu-west-1")
RUN = "arn:aws:states:eu-west-1:1:execution:mlops-dev-fraud:weekly"


class Executions:
    """Step Functions with one execution."""

    def __init__(self, **answer: str) -> None:
        self._answer = answer

    def describe(self, execution: str) -> dict[str, str]:
        assert execution == RUN
        return self._answer


def event(status: str, arn: str = RUN) -> dict[str, Any]:
    return {"source": "aws.states", "detail": {"executionArn": arn, "status": status}}


def told(status: str, **answer: str) -> MemoryNotices:
    notices = MemoryNotices()
    report(event(status), NAMES, Executions(**answer), notices)
    return notices


@pytest.mark.parametrize(
    ("status", "error", "subject", "kind"),
    [
        ("ABORTED", "", "fraud: a run was stopped", "run_stopped"),
        ("TIMED_OUT", "States.Timeout", "fraud: a run timed out", "run_timed_out"),
        ("FAILED", "States.Runtime", "fraud: a run failed", "run_failed"),
        ("FAILED", "States.DataLimitExceeded", "fraud: a run failed", "run_failed"),
        (
            *("FAILED", "Busy"),
            *("fraud: a run was refused, as another one is in its way", "run_refused"),
        ),
    ],
)
def test_an_end_that_a_run_cannot_tell_is_told_with_its_cause(
    status: str, error: str, subject: str, kind: str
) -> None:
    [(said, facts)] = told(status, error=error, cause="because").told
    assert said == subject
    assert facts == {
        "event": kind,
        "workflow": "fraud",
        "execution": RUN,
        "error": error,
        "cause": "because",
    }


@pytest.mark.parametrize("error", ["GateRefused", "States.TaskFailed", "States.Timeout"])
def test_a_failure_that_the_run_told_is_not_told_again(error: str) -> None:
    assert told("FAILED", error=error, cause="because").told == []


def test_a_run_that_was_stopped_without_a_reason_is_told_all_the_same() -> None:
    [(_, facts)] = told("ABORTED").told
    assert (facts["error"], facts["cause"]) == (None, None)


@pytest.mark.parametrize("arn", ["", RUN.replace("mlops-dev", "others-dev")])
def test_what_is_no_end_of_ours_is_refused(arn: str) -> None:
    with pytest.raises(InputError, match="mlops-dev"):
        report(event("ABORTED", arn), NAMES, Executions(), MemoryNotices())


def test_what_cannot_be_told_is_tried_again() -> None:
    class Away:
        def publish(self, *_: object) -> None:
            raise Unavailable("no topic")

    with pytest.raises(Unavailable):
        report(event("TIMED_OUT"), NAMES, Executions(), Away())
