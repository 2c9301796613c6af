"""Upsync of a table that is built in generations, against an oracle over random histories."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureView, Field
from feast.types import Float64, Int64, String

from mlops.stores.athena.staging import parquet_table
from mlops.stores.redis.commands import Fields
from mlops.stores.redis.schema import HEADER, ROW
from pipelines.features.buildlog import Build, BuildLog, Days, load_log, save_log
from pipelines.features.tables import CUSTOMER_SPEND as TABLE
from tests.feast_athena import CUSTOMER, Warehouse
from tests.upsync_examples import micro
from tests.upsync_place import Place, at, days

FIRST = date(2018, 8, 1)
KEYS = [f"c{n}" for n in range(12)]
TYPES = {**{c.name: c.type for c in TABLE.schema}, "generation": "string", "day": "string"}
Row = tuple[int, int, float]
"""Event time and created time in microseconds, and the mean amount of a day."""
Values = dict[date, dict[str, float]]


@dataclass
class Tables:
    """The feature table of a warehouse, built as `mlops features build` does it."""

    place: Place
    rows: dict[tuple[str, date], dict[str, Row]] = field(default_factory=dict)
    """By build and day, by key: for the oracle."""

    @property
    def log(self) -> BuildLog:
        return load_log(self.place.data, TABLE.name)[0]

    def build(
        self,
        first: date,
        last: date,
        created: str,
        values: dict[date, dict[str, float]],
        *,
        rebuild: bool = False,
    ) -> None:
        log, document = load_log(self.place.data, TABLE.name)
        generation = log.last_generation
        if rebuild or generation is None:
            generation = log.next_generation
        build = Build(
            id=f"b{len(log.builds)}",
            generation=generation,
            days=Days(first=first, last=last),
            created=at(created),
            built_by="arn:test",
            payments=1,
        )
        for day in build.days:
            self._write(build, day, values.get(day, {}))
        save_log(self.place.data, log.with_builds([build]).as_published(), replacing=document)

    def _write(self, build: Build, day: date, values: dict[str, float]) -> None:
        event = datetime.combine(day, datetime.min.time())
        created = micro(build.created)
        self.rows[build.id, day] = {
            key: (micro(at(str(day))), created, value) for key, value in values.items()
        }
        if not values:
            return
        count = len(values)
        table = pa.table(
            {
                "customer_id": list(values),
                "event_time": pa.array([event] * count, pa.timestamp("ms")),
                "created": pa.array([build.created] * count, pa.timestamp("ms")),
                **{f"customer_count_{n}d": pa.array([n] * count, pa.int64()) for n in (1, 7, 30)},
                **{
                    f"customer_mean_amount_{n}d": pa.array(list(values.values()), pa.float64())
                    for n in (1, 7, 30)
                },
                "generation": [build.generation] * count,
            }
        )
        warehouse = self.place.warehouse
        folder = f"s3://{warehouse.name}/tables/{warehouse.name}/{TABLE.rows_table}/day={day}/"
        warehouse._write(table, f"{folder}{build.id}.parquet")
        entry = parquet_table(TABLE.rows_table, {}, folder)
        with_files = {"Values": [str(day)], "StorageDescriptor": entry["StorageDescriptor"]}
        glue = warehouse.glue
        try:
            glue.create_partition(
                DatabaseName=warehouse.name, TableName=TABLE.rows_table, PartitionInput=with_files
            )
        except glue.exceptions.AlreadyExistsException:
            return

    def latest(self, now: datetime, log: BuildLog) -> dict[str, Row]:
        """What should stand online by now, by brute force."""
        oldest, found = micro(now - days(3)), dict[str, Row]()
        for piece in log.pieces():
            for day in piece.days:
                for key, row in self.rows[piece.build, day].items():
                    if oldest <= row[0] <= micro(now) and row > found.get(key, (0, 0, 0.0)):
                        found[key] = row
        return found


@pytest.fixture
def tables(local_aws: Any, warehouse: Warehouse, link: Any) -> Tables:
    columns = {name: kind for name, kind in TYPES.items() if name != "day"}
    for table in (TABLE.rows_table, TABLE.name):
        location = f"s3://{warehouse.name}/tables/{warehouse.name}/{table}/"
        entry = parquet_table(table, columns, location)
        entry["PartitionKeys"] = [{"Name": "day", "Type": "string"}]
        warehouse.glue.create_table(DatabaseName=warehouse.name, TableInput=entry)
    view = FeatureView(
        name="spend",
        entities=[CUSTOMER],
        ttl=timedelta(days=3),
        schema=[
            Field(name="customer_id", dtype=String),
            Field(name="customer_count_1d", dtype=Int64),
            Field(name="customer_mean_amount_1d", dtype=Float64),
        ],
        source=warehouse.source(TABLE.name, date_partition_column="day"),
    )
    return Tables(Place(local_aws, warehouse, link, view))


def online(place: Place) -> dict[str, tuple[int, int]]:
    """The times of every row that stands online."""
    stored = place.stored()
    asked = Fields((stored.field,))
    answers = place.link.fetch([(stored.keys.key({"customer_id": key}), asked) for key in KEYS])
    found = {key: answer[0] for key, answer in zip(KEYS, answers, strict=True)}
    rows = {key: row for key, row in found.items() if row and row[0] == ROW}
    return {key: HEADER.unpack_from(row)[2:] for key, row in rows.items()}


def all_of(value: float, *first_last: int) -> dict[date, dict[str, float]]:
    spanned = range(first_last[0], first_last[-1] + 1)
    return {date(2018, 8, day): dict.fromkeys(KEYS, value + day) for day in spanned}


def test_a_new_day_is_read_alone(tables: Tables) -> None:
    tables.build(FIRST, date(2018, 8, 5), "2018-08-05", all_of(0, 1, 5))
    assert tables.place.upsync("2018-08-05").rows == len(KEYS)
    tables.build(date(2018, 8, 6), date(2018, 8, 6), "2018-08-06", all_of(0, 6))
    assert tables.place.upsync("2018-08-06T01:00:00").rows == len(KEYS)
    assert tables.place.upsync("2018-08-06T02:00:00").rows == 0
    assert tables.place.verify("2018-08-06T02:00:00").faults == 0


def test_a_rebuild_corrects_what_it_changes_and_takes_out_what_it_drops(tables: Tables) -> None:
    place = tables.place
    tables.build(FIRST, date(2018, 8, 5), "2018-08-05", all_of(0, 1, 5))
    place.upsync("2018-08-05T12:00:00")
    rebuilt = all_of(100, 4, 5)
    del rebuilt[date(2018, 8, 5)]["c0"]
    for day in rebuilt:
        rebuilt[day].pop("c1", None)
    tables.build(date(2018, 8, 4), date(2018, 8, 5), "2018-08-05T13:00:00", rebuilt, rebuild=True)
    report = place.upsync("2018-08-05T12:00:00")
    assert report.reason == "its table was rebuilt"
    assert place.verify("2018-08-05T12:00:00").faults == 0
    there = online(place)
    assert there["c0"] == (micro(at("2018-08-04")), micro(at("2018-08-05T13:00:00")))
    assert there["c1"] == (micro(at("2018-08-03")), micro(at("2018-08-05")))


def test_a_rebuild_under_a_clock_that_stands_is_seen(tables: Tables) -> None:
    place = tables.place
    tables.build(FIRST, date(2018, 8, 5), "2018-08-05", all_of(0, 1, 5))
    place.upsync("2018-08-05")
    for value in (10, 20, 30):
        tables.build(FIRST, date(2018, 8, 5), "2018-08-05", all_of(value, 1, 5), rebuild=True)
        place.upsync("2018-08-05")
        assert place.verify("2018-08-05").faults == 0


def test_a_row_that_vanishes_and_comes_back_as_an_older_one_is_there(tables: Tables) -> None:
    place, last = tables.place, date(2018, 8, 5)
    tables.build(FIRST, last, "2018-08-05", all_of(0, 1, 5))
    place.upsync("2018-08-05")
    tables.build(FIRST, last, "2018-08-05T01:00:00", {}, rebuild=True)
    place.upsync("2018-08-05")
    assert online(place) == {}
    tables.build(FIRST, last, "2018-08-05T02:00:00", all_of(0, 3), rebuild=True)
    place.upsync("2018-08-05")
    assert set(online(place)) == set(KEYS)
    assert place.verify("2018-08-05").faults == 0


def test_an_older_row_that_is_written_late_does_not_bring_back_what_vanished(
    tables: Tables,
) -> None:
    place, last, now = tables.place, date(2018, 8, 5), "2018-08-05T12:00:00"
    tables.build(FIRST, last, "2018-08-05", all_of(0, 1, 5))
    place.upsync(now)
    tables.build(FIRST, last, "2018-08-05T01:00:00", {}, rebuild=True)
    assert place.upsync(now).removed == len(KEYS)
    late = {"customer_id": "c0", "customer_count_1d": 1, "customer_mean_amount_1d": 9.0}
    place.push(now, late | {"event_time": at("2018-08-04T23:00:00")})
    assert online(place) == {}
    assert place.verify(now).faults == 0
    place.push(now, late | {"event_time": at("2018-08-05T11:00:00")})
    assert set(online(place)) == {"c0"}


@pytest.mark.parametrize("seed", range(int(os.environ.get("SOAK_HISTORIES", "2"))))
def test_whatever_happens_online_follows_the_builds_the_clock_and_the_pushes(
    tables: Tables, seed: int
) -> None:
    """Random builds, rebuilds, pushes and clocks; after each run the oracle and `verify` agree."""
    place, random_ = tables.place, random.Random(seed)
    now = loaded = at("2018-08-04")
    model, gone = dict[str, Row](), dict[str, tuple[int, int]]()
    before: dict[str, Row] = {}
    for step in range(9):
        moved = random_.choice([timedelta(0), timedelta(hours=7), days(1), days(1), days(-1)])
        now = max(at("2018-08-04"), now + moved)
        _build_something(tables, now, step, random_)
        for key in random_.sample(KEYS, 2):
            event = now - timedelta(minutes=random_.randrange(1, 600))
            _push(place, (model, gone), key, event, now, value=1000.0 + step)
        place.upsync(
            str(now.replace(tzinfo=None)), full=now < loaded, shards=random_.choice([1, 3])
        )
        after = tables.latest(now, tables.log)
        for key in KEYS:
            _exchange((model, gone), key, before.get(key), after.get(key), now)
        before, loaded = after, now
        oldest = micro(now - days(3))
        there = {key: times for key, times in online(place).items() if times[0] >= oldest}
        wanted = {key: row[:2] for key, row in model.items() if row[0] >= oldest}
        assert there == wanted, f"step {step}"
        verdict = place.verify(str(now.replace(tzinfo=None)))
        assert (verdict.missing, verdict.stale, verdict.different, verdict.unreadable) == (0,) * 4


def _build_something(tables: Tables, now: datetime, step: int, random_: random.Random) -> None:
    """The days that are missing, and at times some of the last ones again."""
    last = tables.log.last_day
    first = FIRST if last is None else last + timedelta(days=1)
    created = str((now + timedelta(seconds=step)).replace(tzinfo=None))
    if first <= now.date():
        tables.build(first, now.date(), created, _some(first, now.date(), random_))
    if step and random_.random() < 0.5:
        again = now.date() - timedelta(days=random_.randrange(4))
        tables.build(again, now.date(), created, _some(again, now.date(), random_), rebuild=True)


def _some(first: date, last: date, random_: random.Random) -> dict[date, dict[str, float]]:
    span = Days(first=first, last=last)
    return {day: {key: random_.random() for key in KEYS if random_.random() < 0.6} for day in span}


Online = tuple[dict[str, Row], dict[str, tuple[int, int]]]
"""What stands online, and the times of what vanished, by key."""


def _push(
    place: Place, online: Online, key: str, event: datetime, now: datetime, *, value: float
) -> None:
    row = {"customer_id": key, "customer_count_1d": 1, "customer_mean_amount_1d": value}
    place.push(str(now.replace(tzinfo=None)), row | {"event_time": event})
    model, gone = online
    pushed = (micro(event), micro(now), value)
    if pushed[:2] > max(model.get(key, (0, 0))[:2], gone.get(key, (0, 0))):
        model[key] = pushed
        gone.pop(key, None)


def _exchange(
    online: Online, key: str, before: Row | None, after: Row | None, now: datetime
) -> None:
    """What upsync makes of one key: the row that was loaded goes, others stay if they are newer."""
    model, gone = online
    stands = model.get(key)
    if stands is not None and before is not None and stands[:2] == before[:2]:
        del model[key]
        if after is None and before[0] <= micro(now):
            gone[key] = before[:2]
        stands = None
    if after is not None and (stands is None or after[:2] > stands[:2]):
        model[key] = after
        gone.pop(key, None)
