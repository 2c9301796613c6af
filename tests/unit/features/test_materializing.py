"""Upsync loads what was published since the last run, by the clock, and marks nothing undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.errors import InputError, NotFound, Refused, Unavailable
from mlops.objects import MemoryDocuments
from pipelines.features.buildlog import Build, BuildLog, Days, save_log
from pipelines.features.materializing import (
    Generations,
    Stores,
    UpsyncRecord,
    UpsyncReport,
    choose_window,
    load_record,
    select_views,
    upsync_view,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_view(**changes: Any) -> Any:
    source = SimpleNamespace(
        table="spend",
        timestamp_field="event_time",
        date_partition_column="day",
        get_table_query_string=lambda: '"catalog"."db"."spend"',
    )
    values: dict[str, Any] = {
        "name": "spend",
        "ttl": timedelta(days=3),
        "tags": {"publication_delay": "0s"},
        "batch_source": source,
        "entity_columns": [SimpleNamespace(name="customer_id")],
        "online": True,
    }
    return SimpleNamespace(**values | changes)


@dataclass
class Offline:
    """One row a day at midnight, up to `last`; answers the one query that a run asks."""

    last: datetime
    asked: list[str] = field(default_factory=list)

    def run(self, sql: str) -> None:
        raise AssertionError(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        self.asked.append(sql)
        times = [at(part.split("'")[0]) for part in sql.split("TIMESTAMP '")[1:]]
        newest = min(self.last, times[1].replace(hour=0, minute=0, second=0, microsecond=0))
        if newest < times[0] or (len(times) > 2 and newest <= times[2]):
            return [(0, None)]
        return [(5, newest.replace(tzinfo=None))]


@dataclass
class Feast:
    """Remembers what it was asked to materialize; Redis may be down."""

    loaded: list[tuple[datetime, datetime, bool]] = field(default_factory=list)
    down: bool = False
    config: Any = field(
        default_factory=lambda: SimpleNamespace(online_store=SimpleNamespace(skip_dedup=False))
    )

    def materialize(self, start: datetime, end: datetime, *, feature_views: list[str]) -> None:
        print("what Feast says does not reach the command's output")  # noqa: T201  # as Feast does
        if self.down:
            raise Unavailable("Redis does not answer")
        assert feature_views == ["spend"]
        self.loaded.append((start, end, self.config.online_store.skip_dedup))


@dataclass
class Marks:
    marked: dict[str, str] = field(default_factory=dict)

    def get(self, view: str) -> str | None:
        return self.marked.get(view)

    def set(self, view: str, run: str) -> None:
        self.marked[view] = run


@dataclass
class Bench:
    feast: Feast = field(default_factory=Feast)
    offline: Offline = field(default_factory=lambda: Offline(at("2018-08-31")))
    data: MemoryDocuments = field(default_factory=MemoryDocuments)
    artifacts: MemoryDocuments = field(default_factory=MemoryDocuments)
    marks: Marks = field(default_factory=Marks)

    def run(self, now: str, *, full: bool = False, dry_run: bool = False) -> UpsyncReport:
        stores = Stores(self.feast, self.offline, self.data, self.artifacts, self.marks)
        return upsync_view(make_view(), stores, now=at(now), full=full, dry_run=dry_run)

    def built(self, generation: str) -> None:
        """The table is built, as one generation, over all days."""
        days = Days(first=at("2018-08-01").date(), last=at("2018-08-31").date())
        build = Build(
            id="b",
            generation=generation,
            days=days,
            created=at("2018-09-01"),
            built_by="arn:someone",
            payments=0,
        )
        self.data.stored.clear()
        save_log(self.data, BuildLog(table="spend").with_builds([build]), replacing=None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_run_loads_what_is_within_the_ttl(bench: Bench) -> None:
    report = bench.run("2018-08-08T10:30:00.700")
    assert report.state == "loaded"
    assert bench.feast.loaded == [(at("2018-08-05T10:30:00"), at("2018-08-08T10:30:00"), False)]
    assert report.through == at("2018-08-08")


def test_a_row_is_loaded_from_its_own_moment_on(bench: Bench) -> None:
    assert bench.run("2018-08-07T23:59:59").through == at("2018-08-07")
    assert bench.run("2018-08-08T00:00:00").through == at("2018-08-08")


def test_a_second_run_is_up_to_date_and_loads_nothing(bench: Bench) -> None:
    bench.run("2018-08-08")
    assert bench.run("2018-08-08").state == "up to date"
    assert bench.run("2018-08-08T12:00:00").state == "up to date"
    assert len(bench.feast.loaded) == 1


def test_the_next_run_begins_at_the_newest_row_that_was_loaded(bench: Bench) -> None:
    bench.run("2018-08-08T12:00:00")
    bench.run("2018-08-09T12:00:00")
    assert bench.feast.loaded[1][:2] == (at("2018-08-08"), at("2018-08-09T12:00:00"))


def test_a_day_that_was_built_after_the_run_is_loaded_by_the_next(bench: Bench) -> None:
    bench.offline.last = at("2018-08-07")
    bench.run("2018-08-08T01:00:00")
    bench.offline.last = at("2018-08-08")
    assert bench.run("2018-08-08T02:00:00").through == at("2018-08-08")


def test_after_a_long_pause_rows_beyond_the_ttl_are_left_out(bench: Bench) -> None:
    bench.run("2018-08-08")
    bench.run("2018-08-20")
    assert bench.feast.loaded[1][0] == at("2018-08-17")


def test_only_the_partitions_of_the_window_are_read(bench: Bench) -> None:
    bench.run("2018-08-08")
    assert "\"day\" BETWEEN '2018-08-05' AND '2018-08-08'" in bench.offline.asked[0]


def test_a_clock_that_went_back_is_refused_and_names_the_flag(bench: Bench) -> None:
    bench.run("2018-08-08")
    with pytest.raises(Refused, match="upsync spend --full"):
        bench.run("2018-08-07")
    assert len(bench.feast.loaded) == 1


def test_a_full_run_goes_back_and_overwrites(bench: Bench) -> None:
    bench.run("2018-08-08")
    bench.run("2018-08-06", full=True)
    assert bench.feast.loaded[1] == (at("2018-08-03"), at("2018-08-06"), True)
    assert bench.run("2018-08-07").through == at("2018-08-07")
    assert not bench.feast.loaded[2][2], "only a full run overwrites"


def test_a_rebuilt_table_is_loaded_anew_over_what_is_there(bench: Bench) -> None:
    bench.built("g0001")
    bench.run("2018-08-08")
    bench.built("g0002")
    report = bench.run("2018-08-08")
    assert (report.state, report.reason) == ("loaded", "everything: its table was rebuilt")
    assert bench.feast.loaded[1][2]
    assert bench.run("2018-08-08").state == "up to date"


def test_an_empty_redis_is_loaded_again(bench: Bench) -> None:
    bench.run("2018-08-08")
    bench.marks.marked.clear()
    assert bench.run("2018-08-08").state == "loaded"


def test_a_run_that_fails_marks_nothing_as_done(bench: Bench) -> None:
    bench.run("2018-08-08")
    before = (dict(bench.artifacts.stored), dict(bench.marks.marked))
    bench.feast.down = True
    with pytest.raises(Unavailable):
        bench.run("2018-08-09")
    assert (bench.artifacts.stored, bench.marks.marked) == before
    bench.feast.down = False
    assert bench.run("2018-08-09").state == "loaded"


def test_a_dry_run_loads_and_records_nothing(bench: Bench) -> None:
    report = bench.run("2018-08-08", dry_run=True)
    assert (report.state, report.rows) == ("would load", 5)
    assert not bench.feast.loaded
    assert not bench.artifacts.stored


def test_a_run_is_on_record(bench: Bench) -> None:
    bench.run("2018-08-08T12:00:00")
    record, _ = load_record(bench.artifacts, "spend")
    assert record is not None
    assert (record.until, record.through, record.rows) == (
        at("2018-08-08T12:00:00"),
        at("2018-08-08"),
        5,
    )
    assert bench.marks.get("spend") == record.run


def test_what_feast_prints_stays_out_of_the_command_s_output(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run("2018-08-08")
    assert capsys.readouterr().out == ""


def test_a_publication_delay_holds_rows_back() -> None:
    view = make_view(tags={"publication_delay": "6h"})
    window = choose_window(
        view, None, now=at("2018-08-08T05:00:00"), full=False, source=Generations()
    )
    assert window.until == at("2018-08-07T23:00:00")


def test_a_view_without_ttl_cannot_be_loaded() -> None:
    with pytest.raises(InputError, match="'spend' has no ttl"):
        choose_window(
            make_view(ttl=timedelta(0)),
            None,
            now=at("2018-08-08"),
            full=False,
            source=Generations(),
        )


def test_a_time_within_the_last_second_is_not_lost() -> None:
    known = UpsyncRecord(
        run="r",
        view="spend",
        until=at("2018-08-08T10:00:00"),
        through=at("2018-08-08T09:59:59.500"),
        generation=None,
        rows=1,
        full=False,
    )
    window = choose_window(
        make_view(), known, now=at("2018-08-08T11:00:00"), full=False, source=Generations()
    )
    assert window.start == at("2018-08-08T09:59:59")


def test_an_unknown_view_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"No online view is named weather\. There are spend"):
        list(select_views([make_view()], ["weather"]))


def test_all_online_views_are_the_default() -> None:
    offline = make_view(name="batch", online=False)
    assert [v.name for v in select_views([make_view(), offline], [])] == ["spend"]
