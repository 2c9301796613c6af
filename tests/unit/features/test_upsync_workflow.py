"""The state machine of upsync: what is busy is no failure, and what fails is told."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from mlops.errors import Conflict, Unavailable
from pipelines.training.compiler import Bundle, compile_workflow
from tests.unit.training import examples


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    compiled = compile_workflow(
        "upsync", examples.settings(), bundle=Bundle(b"code"), submitted_by="me"
    )
    found: dict[str, Any] = compiled.definition["States"]
    return found


def cause(exit_code: int) -> str:
    """Of a failed Batch job, as Step Functions writes it."""
    container = {"ExitCode": exit_code, "LogStreamName": "features/default/1"}
    job = {"Attempts": [{"Container": container}], "Container": container, "Status": "FAILED"}
    return json.dumps(job, separators=(",", ":"))


def is_busy(states: dict[str, Any], exit_code: int) -> bool:
    [choice] = states["Is it busy"]["Choices"]
    [rule] = choice["And"]
    assert choice["Next"] == "Because"
    return fnmatchcase(cause(exit_code), rule["StringMatches"])


def test_a_run_that_found_a_view_held_ends_as_busy(states: dict[str, Any]) -> None:
    assert is_busy(states, Conflict.exit_code)
    assert states["Because"]["Next"] == "Busy"
    assert states["Busy"]["Error"] == "Busy"


@pytest.mark.parametrize("code", [1, 60, 137, Unavailable.exit_code])
def test_every_other_failure_is_told_as_one(states: dict[str, Any], code: int) -> None:
    assert not is_busy(states, code)
    assert states["Is it busy"]["Default"] == "Tell failure"


def test_the_leases_are_given_back_before_either(states: dict[str, Any]) -> None:
    assert states["Give back"]["Next"] == "Is it busy"
    for name in ("Plan", "Load", "Finish"):
        assert [catch["Next"] for catch in states[name]["Catch"]] == ["Give back"]
