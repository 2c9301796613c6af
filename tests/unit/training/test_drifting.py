"""The nightly check of every model: what it finds, what it tells, and what it does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.errors import InputError, NotFound, Unavailable
from mlops.registry.drift.desk import NothingToWatch
from mlops.registry.drift.measure import Check, Moved
from mlops.registry.drift.seen import Seen
from pipelines.training.compiler import Bundle, compile_workflow
from pipelines.training.drifting.checking import MOST, Report, check_models
from pipelines.training.drifting.jobs import EXECUTION, SETTINGS, read_settings
from tests.unit.training import examples

NOW = datetime(2025, 5, 8, 2, 30, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)


def checked(model: str, **distances: float) -> Check:
    columns = tuple(
        Moved(name=name, view="v", rows=900, distance=far, missing=0.0, missing_before=0.0)
        for name, far in distances.items()
    )
    return Check(model=model, version=3, since=SINCE, columns=columns)


def look(model: str) -> Check:
    if model.startswith("calm"):
        return checked(model, spent=0.05)
    if model == "unlogged":
        raise NothingToWatch("nothing of it is logged")
    if model == "broken":
        raise NotFound("its manifest is gone")
    if model == "away":
        raise Unavailable("Athena does not answer")
    return checked(model, spent=0.4, seen=0.1)


def report(*models: str, seen: Seen | None = None) -> Report:
    return check_models(models, look, seen or Seen(), above=0.2, now=NOW)


def test_what_is_as_it_was_and_what_nobody_can_watch_is_nothing_to_tell() -> None:
    found = report("calm", "unlogged")
    assert (found.entries_count, found.new_count, found.failed_count) == (0, 0, 0)
    assert found.lines == ("calm 3: no drift in 1 columns", "unlogged: nothing of it is logged")


def test_new_drift_is_told_to_the_bus_and_to_people_and_noted() -> None:
    found = report("calm", "fraud")
    [entry] = found.entries
    assert (entry.Source, entry.DetailType) == ("mlops.models", "Drift Found")
    assert entry.Detail == {
        "model": "fraud",
        "version": 3,
        "since": "2025-05-01T02:30:00+00:00",
        "drifted": {"spent": 0.4},
        "again": False,
    }
    assert found.subject == "Drift was found: fraud"
    assert found.new == {"fraud": ["spent 0.400 (0.0% → 0.0% missing)"]}
    assert found.seen.knows("fraud", 3, ["spent"], since=SINCE)


def test_the_same_drift_is_told_to_the_bus_alone() -> None:
    found = report("fraud", seen=report("fraud").seen)
    assert (found.entries[0].Detail["again"], found.new_count) == (True, 0)
    assert found.lines == ("fraud 3: drift, told before: spent 0.400 (0.0% → 0.0% missing)",)


def test_a_model_that_cannot_be_looked_at_leaves_the_others_looked_at_and_is_named() -> None:
    found = report("broken", "fraud", "away")
    assert found.new_count == 1
    assert found.failed == {"broken": "its manifest is gone", "away": "Athena does not answer"}
    assert found.failures == "broken: its manifest is gone away: Athena does not answer"


def test_more_than_can_be_told_at_once_is_left_to_the_next_night() -> None:
    models = [f"m{number}" for number in range(MOST + 2)]
    first = report(*models)
    assert first.entries_count == MOST
    second = report(*models, seen=first.seen)
    assert set(second.new) == {"m10", "m11"}


def test_the_report_says_to_the_state_machine_what_its_paths_name() -> None:
    document = json.loads(report("fraud").model_dump_json())
    assert {"entries", "entries_count", "new", "new_count", "subject", "seen"} <= set(document)
    assert {"failed_count", "failures"} <= set(document)


def test_wrong_settings_are_refused_by_the_executions_name() -> None:
    with pytest.raises(InputError, match="'tonight'"):
        read_settings({EXECUTION: "tonight", SETTINGS: '{"weeks": 1}'})


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    compiled = compile_workflow(
        "drift", examples.settings(), bundle=Bundle(b"code"), submitted_by="me"
    )
    found: dict[str, Any] = compiled.definition["States"]
    return found


def test_its_job_acts_as_a_role_of_its_own(states: dict[str, Any]) -> None:
    assert states["Look"]["Parameters"]["JobDefinition"].endswith("-drift")


def test_what_was_told_is_noted_last(states: dict[str, Any]) -> None:
    assert states["Tell the bus"]["Next"] == "Any new"
    assert states["Tell drift"]["Next"] == "Note"
    assert states["Any new"]["Default"] == "Note"


def test_whatever_fails_is_told(states: dict[str, Any]) -> None:
    tasks = {name for name, state in states.items() if state["Type"] == "Task"}
    for name in tasks - {"Tell failure"}:
        assert [catch["Next"] for catch in states[name]["Catch"]] == ["Tell failure"]
    assert states["Tell what was not looked at"]["Next"] == "Incomplete"
