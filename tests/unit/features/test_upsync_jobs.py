"""The jobs of an execution: planned once, loaded by anyone, and finished without end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops.errors import Conflict, InputError, NotFound
from pipelines.features.upsync.jobs import (
    FINISHED,
    PLANNED,
    Execution,
    Finished,
    Planned,
    documents_key,
    open_execution,
)
from pipelines.features.upsync.settings import UpsyncSettings
from tests.unit.features.test_upsync import Killed, Site, kill_after
from tests.unit.features.test_upsync_changes import piece
from tests.upsync_examples import at, make_view


@pytest.fixture
def site() -> Site:
    found = Site()
    found.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    return found


def job(site: Site, now: str, name: str = "x1", **settings: Any) -> Execution:
    """One job of an execution, with the clock of its own moment."""
    session: Any = SimpleNamespace(
        now=at(now), views=lambda names, told=None: [make_view()], artifacts=site.documents
    )
    given = UpsyncSettings(**({"shards": 2, "wait": 0, "patience": 0} | settings))
    return Execution(name, given, session, site.upsync(f"execution {name}"))


def planned(site: Site, name: str = "x1") -> Planned:
    return Planned.model_validate_json(site.documents.get(documents_key(name, PLANNED)).body)


def finished(site: Site, name: str = "x1") -> Finished:
    return Finished.model_validate_json(site.documents.get(documents_key(name, FINISHED)).body)


def test_an_execution_loads_its_shards_and_ends_though_time_goes_on(site: Site) -> None:
    job(site, "2018-08-08").plan()
    assert (planned(site).parts_count, planned(site).array_size) == (2, 2)
    for index in range(2):
        job(site, "2018-08-08T00:01:00").load(index)
    job(site, "2018-08-08T00:02:00").finish()
    assert len(site.amounts()) == 3
    assert not finished(site).again
    assert [r.state for r in finished(site).reports] == ["loaded"]


def test_a_child_too_many_has_nothing_to_do(site: Site) -> None:
    job(site, "2018-08-08", shards=1).plan()
    assert (planned(site).parts_count, planned(site).array_size) == (1, 2)
    job(site, "2018-08-08").load(1)
    assert not site.online.rows


def test_a_shard_is_loaded_twice_without_harm(site: Site) -> None:
    job(site, "2018-08-08").plan()
    for index in (0, 0, 1):
        job(site, "2018-08-08").load(index)
    job(site, "2018-08-08").finish()
    assert [(r.rows, r.written) for r in finished(site).reports] == [(3, 3)]


def test_what_no_child_loaded_is_loaded_at_the_end(site: Site) -> None:
    job(site, "2018-08-08").plan()
    job(site, "2018-08-08").load(0)
    job(site, "2018-08-08").finish()
    assert len(site.amounts()) == 3


def test_a_run_that_was_left_is_finished_and_then_what_is_new_is_loaded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, site.online, "write", 0)
        with pytest.raises(Killed):
            site.run("2018-08-07")
    job(site, "2018-08-08", "x2").plan()
    assert [started.left for started in planned(site, "x2").runs] == [True]
    job(site, "2018-08-08", "x2").finish()
    assert finished(site, "x2").again
    job(site, "2018-08-08", "x2").plan()
    job(site, "2018-08-08", "x2").finish()
    assert not finished(site, "x2").again


def test_a_view_that_is_up_to_date_has_no_shards(site: Site) -> None:
    site.run("2018-08-08")
    job(site, "2018-08-08").plan()
    assert (planned(site).parts_count, planned(site).runs) == (0, ())
    job(site, "2018-08-08").finish()
    assert [r.state for r in finished(site).reports] == ["up to date"]


def test_another_execution_is_refused_until_the_leases_are_given_back(site: Site) -> None:
    job(site, "2018-08-08", "x1").plan()
    with pytest.raises(Conflict, match="being loaded by execution x1"):
        job(site, "2018-08-08", "x2").plan()
    job(site, "2018-08-08", "x1").give_back()
    job(site, "2018-08-08", "x2").plan()
    assert planned(site, "x2").runs[0].run == planned(site, "x1").runs[0].run


def test_leases_are_given_back_also_where_planning_failed(site: Site) -> None:
    job(site, "2018-08-08", "x1").give_back()
    job(site, "2018-08-08", "x2").plan()


def test_a_job_without_a_plan_says_so(site: Site) -> None:
    with pytest.raises(NotFound, match="'x9' has planned nothing"):
        job(site, "2018-08-08", "x9").load(0)


def test_wrong_settings_are_named() -> None:
    environment = {"UPSYNC_EXECUTION": "x1", "UPSYNC_SETTINGS": '{"shards": 0, "viws": []}'}
    with pytest.raises(InputError, match=r"(?s)shards.*viws"):
        open_execution(environment)
