from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.errors import InputError, JobFailed, Refused
from pipelines.training.desk import checked_name, new_name
from pipelines.training.executions import Execution, to_execution
from pipelines.training.history import readable_cause, to_steps

_START = datetime(2018, 8, 15, tzinfo=UTC)
_JOB = {"TrainingJobName": "fraud-train-one", "FailureReason": "ValueError: no column 'amount'"}


def _history(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": kind, "timestamp": _START + timedelta(seconds=second), **details}
        for second, (kind, details) in enumerate(events)
    ]


def _entered(name: str, kind: str = "Task") -> tuple[str, dict[str, Any]]:
    return f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name}}


def _scheduled(**parameters: str) -> tuple[str, dict[str, Any]]:
    return "TaskScheduled", {"taskScheduledEventDetails": {"parameters": json.dumps(parameters)}}


_EXITED: tuple[str, dict[str, Any]] = ("TaskStateExited", {})
_FAILED = (
    "TaskFailed",
    {"taskFailedEventDetails": {"error": "States.TaskFailed", "cause": json.dumps(_JOB)}},
)


def test_a_running_job_is_a_step_with_its_log_and_no_end() -> None:
    history = _history(
        _entered("Settle", "Pass"),
        ("PassStateExited", {}),
        _entered("Train"),
        _scheduled(TrainingJobName="fraud-train-one"),
    )

    settle, train = to_steps(history)

    assert (settle.status, settle.seconds, settle.job) == ("SUCCEEDED", 1.0, None)
    assert (train.status, train.seconds, train.job) == ("RUNNING", None, "fraud-train-one")
    assert train.log_group == "/aws/sagemaker/TrainingJobs"


def test_a_batch_job_is_known_by_the_id_that_it_got() -> None:
    details = {"resourceType": "batch", "output": json.dumps({"JobId": "1-2-3"})}
    submitted = ("TaskSubmitted", {"taskSubmittedEventDetails": details})
    (load,) = to_steps(_history(_entered("Load"), _scheduled(JobName="upsync-load"), submitted))
    assert (load.job, load.log_group) == ("1-2-3", "batch")


def test_a_caught_failure_is_a_failed_step_with_its_cause() -> None:
    history = _history(
        _entered("Train"),
        _scheduled(TrainingJobName="fraud-train-one"),
        _FAILED,
        _EXITED,
        _entered("Failed", "Fail"),
        ("ExecutionFailed", {}),
    )

    train, failed = to_steps(history)

    assert train.status == failed.status == "FAILED"
    assert train.cause == "fraud-train-one: ValueError: no column 'amount'"


def test_a_retried_task_that_then_works_succeeded() -> None:
    history = _history(_entered("Train"), _scheduled(), _FAILED, _scheduled(), _EXITED)

    (train,) = to_steps(history)

    assert (train.status, train.cause) == ("SUCCEEDED", None)


@pytest.mark.parametrize(
    ("error", "cause", "text"),
    [
        (None, None, None),
        ("States.TaskFailed", json.dumps(_JOB), "fraud-train-one: ValueError: no column 'amount'"),
        (
            "States.TaskFailed",
            json.dumps({"JobName": "j", "StatusReason": "exited", "Container": {"ExitCode": 7}}),
            "j: exited (exit code 7)",
        ),
        ("S3.NoSuchKey", "gone", "S3.NoSuchKey: gone"),
        ("Odd", "[1]", "Odd: [1]"),
    ],
)
def test_a_cause_is_told_in_words(error: str | None, cause: str | None, text: str | None) -> None:
    assert readable_cause(error, cause) == text


def _execution(**answer: Any) -> Execution:
    arn = "arn:aws:states:eu-west-1:1:execution:mlops-dev-fraud:one"
    return to_execution("fraud", {"name": "one", "executionArn": arn, "startDate": _START} | answer)


def test_a_finished_execution_names_what_it_registered() -> None:
    output = {
        "package": {"ModelPackageArn": "arn:package/1"},
        "evaluation": {"verdict": {"metrics": {"auc_roc": 0.9}}},
    }

    execution = _execution(status="SUCCEEDED", output=json.dumps(output))

    assert execution.package_arn == "arn:package/1"
    assert execution.metrics == {"auc_roc": 0.9}
    assert execution.outcome() is None


@pytest.mark.parametrize(
    ("error", "kind"), [("GateRefused", Refused), ("States.TaskFailed", JobFailed)]
)
def test_the_gates_no_is_told_apart_from_a_failure(error: str, kind: type[Exception]) -> None:
    outcome = _execution(status="FAILED", error=error, cause="why").outcome()

    assert type(outcome) is kind
    assert "why" in str(outcome)


@pytest.mark.parametrize("name", ["", "A", "a--b", "a_b", "-a", "a" * 37])
def test_a_name_that_no_job_could_carry_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name an execution"):
        checked_name(name)


def test_new_names_fit() -> None:
    assert checked_name(new_name()) is not None
    assert checked_name(None) is None
