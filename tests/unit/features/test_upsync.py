"""A run of upsync: resumed after a kill, right after a restart, and marked only when it is done."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from feast.protos.feast.core.Registry_pb2 import Registry

from mlops.clock import FixedClock
from mlops.errors import Conflict, NotFound, Refused, Unavailable
from mlops.feast import REGISTRY_KEY
from mlops.objects import MemoryDocuments
from pipelines.features.lease import Leases
from pipelines.features.upsync.loading import Loader, Patience
from pipelines.features.upsync.online import MemoryTarget
from pipelines.features.upsync.running import Options, Upsync, select_views
from pipelines.features.upsync.state import KEPT_RUNS, RunReport, Runs, Task
from tests.unit.features.test_upsync_changes import piece
from tests.upsync_examples import (
    MemoryPlanner,
    StagedFiles,
    at,
    exchanges,
    make_plan,
    make_view,
    rows,
)

THREE = rows(
    ("c1", "2018-08-07", "2018-08-07", 1.0),
    ("c2", "2018-08-07", "2018-08-07", 2.0),
    ("c3", "2018-08-08", "2018-08-08", 3.0),
)


class Killed(BaseException):
    """As a kill: no handler of errors sees it."""


@dataclass
class Site:
    """Upsync over memory."""

    files: StagedFiles = field(default_factory=StagedFiles)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    online: MemoryTarget = field(default_factory=MemoryTarget)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planner = MemoryPlanner(self.files, THREE)
        registry = Registry()
        registry.feature_views.add().spec.name = "spend"
        self.documents.put(REGISTRY_KEY, registry.SerializeToString())
        self.runs = Runs(self.documents)

    def upsync(self, holder: str = "me") -> Upsync:
        clock = FixedClock(at("2026-01-01"))
        return Upsync(
            planner=self.planner,
            runs=self.runs,
            registry=self.documents,
            leases=Leases(self.documents, clock=clock, by_process=False),
            storage=self.files,  # type: ignore[arg-type]  # in memory
            online=self.online,
            clock=clock,
            holder=holder,
            told=lambda view, what: self.told.append(what),
        )

    def run(self, now: str = "2018-08-08", **options: Any) -> list[RunReport]:
        given = Options(at(now), patience=0.0, **options)
        return self.upsync().run(make_view(), given)

    def amounts(self) -> dict[str, float]:
        return {key[1][0]: row["amount"] for key, row in self.online.rows.items()}


@pytest.fixture
def site() -> Site:
    return Site()


def kill_after(monkeypatch: pytest.MonkeyPatch, target: Any, method: str, times: int) -> None:
    """The method ends the process after so many calls that were done."""
    real, left = getattr(target, method), [times]

    def call(*arguments: Any, **options: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return real(*arguments, **options)

    monkeypatch.setattr(target, method, call)


def test_a_run_loads_and_is_on_record(site: Site) -> None:
    [report] = site.run(shards=2)
    assert site.amounts() == {"c1": 1.0, "c2": 2.0, "c3": 3.0}
    assert (report.state, report.rows, report.written) == ("loaded", 3, 3)
    assert report.through == at("2018-08-08")
    position, _ = site.runs.position("spend")
    assert position is not None
    assert site.online.marks == {"spend": position.run}
    assert [r.run for r in site.runs.reports("spend")] == [position.run]
    assert not site.files.files, "what was staged is removed"


def test_feast_s_registry_knows_the_interval(site: Site) -> None:
    site.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    site.run("2018-08-08")
    site.run("2018-08-09")
    registry = Registry()
    registry.ParseFromString(site.documents.get(REGISTRY_KEY).body)
    [interval] = registry.feature_views[0].meta.materialization_intervals
    assert interval.start_time.ToDatetime() == at("2018-08-05").replace(tzinfo=None)
    assert interval.end_time.ToDatetime() == at("2018-08-09").replace(tzinfo=None)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("online", "write"),
        ("online", "settle"),
        ("runs", "save_plan"),
        ("runs", "save_progress"),
        ("runs", "save_position"),
        ("online", "set_mark"),
        ("runs", "save_report"),
        ("runs", "prune"),
        ("files", "delete"),
    ],
)
@pytest.mark.parametrize("times", [0, 1])
def test_killed_at_any_moment_and_started_again_it_completes(
    site: Site, target: str, method: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, getattr(site, target), method, times)
        try:
            site.run(shards=2)
        except Killed:
            done, _ = site.runs.position("spend")
            assert done is None or len(site.amounts()) == 3, "nothing is marked that is not done"
    reports = site.run(shards=2)
    assert site.amounts() == {"c1": 1.0, "c2": 2.0, "c3": 3.0}
    position, _ = site.runs.position("spend")
    assert position is not None
    assert site.online.marks == {"spend": position.run}
    assert sum(report.refused for report in reports) == 0
    assert site.upsync().leases.take("spend", "other").run is None


def test_a_resumed_run_leaves_alone_what_is_done(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    with monkeypatch.context() as patch:
        kill_after(patch, site.online, "write", 1)
        with pytest.raises(Killed):
            site.run(shards=3)
    kill_after(monkeypatch, site.online, "write", 2)
    first, second = site.run(shards=3)
    assert first.resumed
    assert (first.rows, first.written, first.older) == (3, 3, 0)
    assert second.state == "up to date"


def test_a_store_that_restarted_on_the_way_is_loaded_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = site.online.settle

    def lose_everything_once() -> None:
        real()
        if site.online.server == "one":
            site.online.server = "two"
            site.online.rows.clear()

    monkeypatch.setattr(site.online, "settle", lose_everything_once)
    [report] = site.run(shards=2)
    assert len(site.amounts()) == 3
    assert report.rows == 3


def test_a_shard_that_an_earlier_server_took_is_loaded_into_the_later_one(site: Site) -> None:
    loads = Loader.load

    def restarted(loader: Loader, plan: Any, number: int) -> Any:
        progress = loads(loader, plan, number)
        if number == 0 and site.online.server == "one":
            site.online.server = "two"
            site.online.rows.clear()
        return progress

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "load", restarted)
        site.run(shards=2)
    assert len(site.amounts()) == 3


def test_a_store_that_lost_its_data_is_loaded_anew(site: Site) -> None:
    site.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    site.run("2018-08-08")
    site.online.rows.clear()
    site.online.marks.clear()
    [report] = site.run("2018-08-08")
    assert (report.state, len(site.amounts())) == ("loaded", 3)


def test_a_store_that_loses_its_data_during_a_run_gets_everything(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    site.run("2018-08-08")
    real = site.online.settle

    def flush() -> None:
        site.online.marks.clear()
        site.online.rows.clear()
        monkeypatch.setattr(site.online, "settle", real)

    monkeypatch.setattr(site.online, "settle", flush)
    site.planner.table = rows(("c1", "2018-08-09", "2018-08-09", 9.0))
    site.run("2018-08-09")
    assert [plan.everything for plan in site.planner.plans] == [True, False, True]


def test_one_refusal_pauses_the_run_and_it_goes_on() -> None:
    online = MemoryTarget(down=[Unavailable("Redis is full")])
    told: list[str] = []
    files = StagedFiles()
    plan = make_plan([Task(kind="rows", files=(files.add("s3://b/0", THREE),))])
    patience = Patience(10, told.append, sleep=lambda _: None)
    loader = Loader(Runs(MemoryDocuments()), files, online, patience)  # type: ignore[arg-type]
    assert loader.load(plan, 0).written == 3
    assert told == ["paused: Redis is full"]


def test_a_store_that_stays_full_fails_the_run_and_marks_nothing(site: Site) -> None:
    site.online.down = [Unavailable("Redis is full")] * 9
    with pytest.raises(Unavailable, match="full"):
        site.run()
    assert site.runs.position("spend")[0] is None
    assert not site.online.marks
    site.online.down = []
    assert next(r.state for r in site.run()) == "loaded"


def test_progress_is_noted_within_a_shard_and_rows_are_counted_once() -> None:
    files, runs, online = StagedFiles(), Runs(MemoryDocuments()), MemoryTarget()
    plan = make_plan([Task(kind="rows", files=(files.add("s3://b/0", THREE),))])
    loader = Loader(runs, files, online, rows=1, note_every=0.0)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, online, "write", 2)
        with pytest.raises(Killed):
            loader.load(plan, 0)
    assert runs.progress(plan, 0)[0].rows == 2
    done = loader.load(plan, 0)
    assert (done.read, done.written, done.older, done.done) == (3, 3, 0, True)
    assert (done.event, done.created) == (at("2018-08-08"), at("2018-08-08"))


def test_two_processes_on_one_shard_do_not_overwrite_each_other_s_notes() -> None:
    files, runs = StagedFiles(), Runs(MemoryDocuments())
    plan = make_plan([Task(kind="rows", files=(files.add("s3://b/0", THREE),))])
    progress, _ = runs.progress(plan, 0)
    runs.save_progress(plan, 0, progress, replacing=None)
    with pytest.raises(Conflict):
        runs.save_progress(plan, 0, progress, replacing=None)


def test_rows_that_are_gone_are_taken_out_and_pushed_ones_stay(site: Site) -> None:
    site.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    site.run()
    pushed = rows(("c2", "2018-08-08T05:00:00", "2018-08-08T05:00:00", 22.0)).to_pylist()[0]
    site.online.rows["spend", ("c2",)] = pushed
    site.planner.shown = (piece("b2", "2018-08-01", "2018-08-31"),)
    site.planner.table = rows(("c3", "2018-08-08", "2018-08-09", 33.0))
    before = ("2018-08-07", "2018-08-07")
    site.planner.gone = exchanges(
        rows(("c1", None, None, None), ("c2", None, None, None)), before, before
    )
    [report] = site.run()
    assert site.amounts() == {"c2": 22.0, "c3": 33.0}
    assert report.removed == 1


def all_at_once(site: Site, *names: str) -> list[RunReport]:
    registry = Registry()
    for name in names:
        registry.feature_views.add().spec.name = name
    site.documents.put(REGISTRY_KEY, registry.SerializeToString())
    views = [make_view(name=name) for name in names]
    return site.upsync().run_all(views, Options(at("2018-08-08"), patience=0.0, shards=2))


def test_views_of_the_same_entities_are_written_side_by_side(site: Site) -> None:
    reports = all_at_once(site, "spend", "risk")
    assert site.online.together == [2, 2], "each of the two shards, with both views"
    assert len(site.online.rows) == 6
    assert [(r.rows, r.written) for r in reports] == [(3, 3), (3, 3)]


def test_views_whose_keys_differ_are_written_one_by_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, one_at_a_time = site.planner.plan, threading.Lock()

    def with_fewer(view: Any, *arguments: Any, **options: Any) -> Any:
        with one_at_a_time:
            site.planner.table = THREE if view.name == "spend" else THREE.slice(1)
            return plan(view, *arguments, **options)

    monkeypatch.setattr(site.planner, "plan", with_fewer)
    reports = all_at_once(site, "spend", "risk")
    assert [r.written for r in reports] == [3, 2]
    assert not site.online.together


def test_an_error_in_one_view_leaves_the_others_loaded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.upsync("other").leases.take("risk", "other")
    with pytest.raises(Conflict, match="'risk' is being loaded"):
        all_at_once(site, "risk", "spend")
    assert site.runs.position("spend")[0] is not None


def test_a_store_that_stays_full_fails_all_views_and_leaves_their_runs(site: Site) -> None:
    site.online.down = [Unavailable("Redis is full")] * 9
    with pytest.raises(Unavailable):
        all_at_once(site, "spend", "risk")
    assert site.runs.position("spend")[0] is None
    site.online.down = []
    reports = all_at_once(site, "spend", "risk")
    assert sum(r.resumed for r in reports) == 2


def test_a_second_run_at_the_same_moment_asks_nothing(site: Site) -> None:
    site.planner.shown = (piece("b1", "2018-08-01", "2018-08-31"),)
    site.run()
    assert [r.state for r in site.run()] == ["up to date"]
    assert len(site.planner.plans) == 1


def test_a_run_while_another_one_is_under_way_is_refused(site: Site) -> None:
    site.upsync("other").leases.take("spend", "other")
    with pytest.raises(Conflict, match="being loaded by other"):
        site.run()
    assert not site.online.rows


def test_a_dry_run_changes_nothing(site: Site) -> None:
    before = dict(site.documents.stored)
    report = site.upsync().preview(make_view(), Options(at("2018-08-08")))
    assert (report.state, report.rows, report.bytes, report.scanned) == ("would load", 3, 30, 1000)
    assert site.documents.stored == before
    assert not site.online.rows


def test_a_clock_that_went_back_is_refused_and_changes_nothing(site: Site) -> None:
    site.run("2018-08-08")
    with pytest.raises(Refused):
        site.run("2018-08-07")
    assert site.upsync().leases.take("spend", "other").run is None


def test_only_the_newest_runs_are_kept() -> None:
    runs = Runs(MemoryDocuments())
    for n in range(KEPT_RUNS + 3):
        runs.save_plan(make_plan([], run=f"r{n:03d}"))
    runs.prune("spend")
    left = {key.split("/")[4] for key in runs.documents.keys("feast/upsync/spend/runs/")}
    assert left == {f"r{n:03d}" for n in range(3, KEPT_RUNS + 3)}


def test_an_unknown_view_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"No online view is named weather\. There are spend"):
        select_views([make_view()], ["weather"])


def test_all_online_views_are_the_default() -> None:
    offline = make_view(name="batch", online=False)
    assert [v.name for v in select_views([make_view(), offline], [])] == ["spend"]
