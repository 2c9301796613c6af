"""Upsync of tables that others keep: by created times, by event times, in shards, all types."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureView, Field
from feast.types import Bool, Float64, String

from mlops.errors import Refused
from mlops.stores.athena.staging import split_uri
from mlops.stores.redis.schema import ROW, TOMBSTONE
from pipelines.features.upsync import statements
from tests.feast_athena import SPEND_TYPES, Warehouse, environment, spend_view
from tests.upsync_place import Place, at


def spends(*rows: tuple[str, str, str, float]) -> pa.Table:
    """Key, event time, created time, amount."""
    return pa.table(
        {
            "customer_id": [row[0] for row in rows],
            "event_time": pa.array([at(row[1]) for row in rows], pa.timestamp("ms")),
            "created": pa.array([at(row[2]) for row in rows], pa.timestamp("ms")),
            "amount": [row[3] for row in rows],
            "payments": pa.array([1] * len(rows), pa.int64()),
        }
    )


FIRST = spends(
    ("c1", "2018-08-06", "2018-08-06", 1.0),
    ("c1", "2018-08-07", "2018-08-07", 1.5),
    ("c2", "2018-08-07", "2018-08-07", 2.0),
    ("c3", "2018-08-01", "2018-08-01", 3.0),
    ("c4", "2018-08-09", "2018-08-07", 4.0),
)


@pytest.fixture
def place(local_aws: Any, warehouse: Warehouse, link: Any) -> Place:
    warehouse.add("spend", FIRST, SPEND_TYPES)
    return Place(local_aws, warehouse, link, spend_view(warehouse.source("spend")))


def damage(place: Place, key: bytes) -> None:
    """Another value of the last feature, with the same times."""
    field = place.stored().field
    row = bytearray(place.link.command("HGET", key, field))
    row[-1] ^= 1
    place.link.command("HSET", key, field, bytes(row))


def add(place: Place, table: pa.Table, name: str = "more") -> None:
    location = f"s3://{place.warehouse.name}/tables/{place.warehouse.name}/spend/{name}.parquet"
    place.warehouse._write(table, location)


def test_what_can_be_read_is_loaded_and_nothing_else(place: Place) -> None:
    report = place.upsync("2018-08-08")
    assert (report.rows, report.written) == (2, 2), "c3 is outdated, c4 is not published yet"
    verdict = place.verify("2018-08-08")
    assert (verdict.checked, verdict.same, verdict.faults) == (2, 2, 0)


def test_the_next_run_reads_only_what_changed(place: Place) -> None:
    place.upsync("2018-08-08")
    old = [(f"o{n}", "2018-08-07", "2018-08-06T22:00:00", float(n)) for n in range(9)]
    add(place, spends(*old, ("c5", "2018-08-08", "2018-08-08T01:00:00", 5.0)))
    report = place.upsync("2018-08-08T12:00:00")
    assert report.reason == "since the last run, by created time"
    assert (report.rows, report.written) == (3, 1), "what was seen an hour before comes again"
    assert place.verify("2018-08-08T12:00:00").missing == 9, "they came later than the look-back"


def test_a_row_is_loaded_once_it_is_published(place: Place) -> None:
    place.upsync("2018-08-08")
    assert place.upsync("2018-08-09").written == 1
    assert place.verify("2018-08-09").faults == 0


def test_a_correction_with_the_same_event_time_overwrites(place: Place) -> None:
    place.upsync("2018-08-08")
    add(place, spends(("c1", "2018-08-07", "2018-08-08", 11.0)))
    assert place.verify("2018-08-08").stale == 1
    assert place.upsync("2018-08-08T00:00:01").written == 1
    assert place.verify("2018-08-08T00:00:01").faults == 0


def test_a_row_that_came_late_within_the_look_back_is_not_missed(place: Place) -> None:
    place.upsync("2018-08-08")
    add(place, spends(("late", "2018-08-07", "2018-08-06T23:30:00", 7.0)))
    place.upsync("2018-08-08T06:00:00")
    assert place.verify("2018-08-08T06:00:00").missing == 0


class TestDeleted:
    """A source whose rows say when they are deleted."""

    @pytest.fixture
    def place(self, local_aws: Any, warehouse: Warehouse, link: Any) -> Place:
        warehouse.add("spend", self.rows(FIRST), SPEND_TYPES | {"gone": "boolean"})
        schema = [
            Field(name="customer_id", dtype=String),
            Field(name="amount", dtype=Float64),
            Field(name="gone", dtype=Bool),
        ]
        view = spend_view(warehouse.source("spend"), schema=schema, tags={"deleted_field": "gone"})
        return Place(local_aws, warehouse, link, view)

    def rows(self, table: pa.Table, *, gone: bool = False) -> pa.Table:
        return table.append_column("gone", pa.array([gone] * table.num_rows))

    def row(self, place: Place, customer: str) -> bytes:
        view = place.stored()
        found = place.link.command("HGET", view.keys.key({"customer_id": customer}), view.field)
        return bytes(found)

    def test_a_deletion_goes_online_and_an_older_row_does_not_bring_it_back(
        self, place: Place
    ) -> None:
        place.upsync("2018-08-08")
        assert self.row(place, "c1")[0] == ROW
        deleted = spends(("c1", "2018-08-07T12:00:00", "2018-08-08", 0.0))
        add(place, self.rows(deleted, gone=True))
        now = "2018-08-08T00:00:01"
        assert place.verify(now).stale == 1
        assert place.upsync(now).written == 1
        assert self.row(place, "c1")[0] == TOMBSTONE
        verdict = place.verify(now)
        assert (verdict.checked, verdict.faults) == (2, 0)
        late = {"customer_id": "c1", "amount": 9.0, "event_time": at("2018-08-07T06:00:00")}
        place.push(now, late | {"gone": False})
        assert self.row(place, "c1")[0] == TOMBSTONE
        place.push(now, late | {"gone": False, "event_time": at("2018-08-07T18:00:00")})
        assert self.row(place, "c1")[0] == ROW

    def test_a_pushed_deletion_is_no_fault_and_offline_there_are_no_values_from_it_on(
        self, place: Place
    ) -> None:
        place.upsync("2018-08-08")
        place.push(
            "2018-08-08",
            {"customer_id": "c2", "amount": 0.0, "gone": True, "event_time": at("2018-08-08")},
        )
        assert self.row(place, "c2")[0] == TOMBSTONE
        verdict = place.verify("2018-08-08")
        assert (verdict.newer, verdict.faults) == (1, 0)
        deleted = spends(("c2", "2018-08-08", "2018-08-08", 0.0))
        add(place, self.rows(deleted, gone=True))
        entities = pd.DataFrame(
            {
                "customer_id": ["c2", "c2"],
                "event_timestamp": [at("2018-08-07T23:00:00"), at("2018-08-08T01:00:00")],
            }
        )
        with environment(place.aws):
            job = place.store.get_historical_features(entities, ["spend:amount"])
            found = job.to_df().sort_values("event_timestamp")["amount"].tolist()
        assert found[0] == 2.0
        assert pd.isna(found[1])


def test_shards_hold_all_rows_once(place: Place) -> None:
    many = [(f"k{n}", "2018-08-07", "2018-08-07", float(n)) for n in range(300)]
    add(place, spends(*many))
    report = place.upsync("2018-08-08", shards=7)
    assert (report.rows, report.written, report.older) == (302, 302, 0)
    assert place.verify("2018-08-08").same == 302


def test_what_was_staged_is_removed(place: Place) -> None:
    place.upsync("2018-08-08", shards=3)
    assert place.warehouse.left() == {"objects": [], "tables": []}


def test_a_sample_by_the_keys_hash_sees_the_same_keys_in_both_stores(place: Place) -> None:
    many = [(f"k{n}", "2018-08-07", "2018-08-07", float(n)) for n in range(300)]
    add(place, spends(*many))
    place.upsync("2018-08-08")
    verdict = place.verify("2018-08-08", share=0.25, seed="monday")
    assert 40 < verdict.checked < 110
    assert (verdict.same, verdict.faults) == (verdict.checked, 0)


def test_the_hash_of_a_key_is_the_same_in_athena_and_here(place: Place) -> None:
    sql = statements.key_hash(["customer_id"], "s")
    table = f'"{place.warehouse.name}"."spend"'
    with place.session.run() as work:
        row = work.first_row(f"SELECT {sql} AS h FROM {table} WHERE customer_id = 'c2'")
    assert row == [str(statements.bucket_of(["c2"], "s"))]


def test_each_kind_of_fault_is_found_and_named(place: Place) -> None:
    many = [(f"k{n}", "2018-08-07", "2018-08-07", float(n)) for n in range(9)]
    add(place, spends(*many))
    place.upsync("2018-08-08")
    stored, client = place.stored(), place.link.client
    keys = {n: stored.keys.key({"customer_id": f"k{n}"}) for n in range(9)}
    row = {"customer_id": "k1", "amount": 1.0, "payments": 1, "event_time": at("2018-08-06")}
    client.hdel(keys[0], stored.field)
    client.hdel(keys[1], stored.field)
    place.push("2018-08-06", row)
    damage(place, keys[2])
    client.hset(keys[3], stored.field, b"\x01short")
    place.push("2018-08-07", row | {"customer_id": "nobody", "event_time": at("2018-08-07")})
    place.push("2018-08-10", row | {"customer_id": "k4", "event_time": at("2018-08-10")})
    place.push("2018-08-08", row | {"customer_id": "k5", "event_time": at("2018-08-07T06:00:00")})
    verdict = place.verify("2018-08-08")
    assert {k: getattr(verdict, k) for k in ("missing", "stale", "different", "unreadable")} == {
        "missing": 1,
        "stale": 1,
        "different": 1,
        "unreadable": 1,
    }
    assert (verdict.extra, verdict.ahead, verdict.newer) == (1, 1, 1)
    assert sum(verdict.features.values()) == 1
    assert verdict.examples["missing"] == [keys[0].decode()]


def test_a_full_run_heals_what_differs(place: Place) -> None:
    place.upsync("2018-08-08")
    stored = place.stored()
    key = stored.keys.key({"customer_id": "c2"})
    damage(place, key)
    place.link.command("HSET", stored.keys.key({"customer_id": "c1"}), stored.field, b"\x01short")
    verdict = place.verify("2018-08-08")
    assert (verdict.different, verdict.unreadable) == (1, 1)
    place.upsync("2018-08-08", full=True)
    assert place.verify("2018-08-08").faults == 0


def test_extra_rows_are_removed_where_it_is_asked_for(place: Place) -> None:
    place.upsync("2018-08-08")
    row = {"customer_id": "nobody", "amount": 1.0, "payments": 1}
    place.push("2018-08-08", row | {"event_time": at("2018-08-07")})
    assert place.verify("2018-08-08", remove_extra=True).removed == 1
    place.push("2018-08-08", row | {"event_time": at("2018-08-06")})
    verdict = place.verify("2018-08-08")
    assert (verdict.extra, verdict.faults) == (0, 0), "an older row does not bring it back"


def test_rows_of_the_future_give_way_to_what_holds_now(place: Place) -> None:
    place.upsync("2018-08-08")
    row = {"amount": 9.0, "payments": 9, "event_time": at("2018-08-10")}
    place.push("2018-08-10", *({"customer_id": key, **row} for key in ("c2", "nobody")))
    assert place.verify("2018-08-08").ahead == 2
    assert place.verify("2018-08-08", remove_extra=True).removed == 2
    verdict = place.verify("2018-08-08")
    assert (verdict.same, verdict.faults) == (2, 0)


def test_a_row_that_vanished_stands_again_when_the_offline_store_has_one(place: Place) -> None:
    place.upsync("2018-08-08")
    row = {"customer_id": "late", "amount": 1.0, "payments": 1}
    place.push("2018-08-08", row | {"event_time": at("2018-08-07T06:00:00")})
    assert place.verify("2018-08-08", remove_extra=True).removed == 1
    add(place, spends(("late", "2018-08-07", "2018-08-07T12:00:00", 5.0)))
    assert place.verify("2018-08-08").missing == 1
    assert place.upsync("2018-08-08T01:00:00").written == 1
    assert place.verify("2018-08-08T01:00:00").faults == 0


def test_going_back_in_time_takes_out_the_rows_of_the_future(place: Place) -> None:
    place.upsync("2018-08-09")
    with pytest.raises(Refused):
        place.upsync("2018-08-06T12:00:00")
    report = place.upsync("2018-08-06T12:00:00", full=True)
    assert report.removed == 2, "c2 and c4 have no row that early"
    verdict = place.verify("2018-08-06T12:00:00")
    assert (verdict.checked, verdict.same, verdict.faults) == (1, 1, 0)
    place.upsync("2018-08-09")
    assert place.verify("2018-08-09").faults == 0


def test_a_view_without_an_entity_is_loaded_and_compared(
    local_aws: Any, warehouse: Warehouse, link: Any
) -> None:
    columns = {"event_time": "timestamp", "created": "timestamp", "amount": "double"}
    warehouse.add("world", FIRST.select(list(columns)).slice(0, 2), columns)
    view = FeatureView(
        name="world",
        entities=[],
        ttl=timedelta(days=3),
        schema=[Field(name="amount", dtype=Float64)],
        source=warehouse.source("world"),
    )
    place = Place(local_aws, warehouse, link, view, entities=())
    assert place.upsync("2018-08-08", shards=3).written == 1
    verdict = place.verify("2018-08-08")
    assert (verdict.checked, verdict.same, verdict.faults) == (1, 1, 0)
    assert link.command("EXISTS", f"fs:{place.project}:__dummy_id:") == 1
    sampled = [place.verify("2018-08-08", share=0.5, seed=seed) for seed in "abcd"]
    assert {(v.checked, v.faults) for v in sampled} == {(0, 0), (1, 0)}


def test_a_dry_run_says_how_many_rows_and_bytes(place: Place) -> None:
    from pipelines.features.upsync.running import Options

    report = place.runner(at("2018-08-08")).preview(place.view, Options(at("2018-08-08")))
    assert (report.state, report.rows) == ("would load", 2)
    assert report.bytes == 2 * place.stored().schema.fixed.size
    assert report.scanned > 0


def test_without_created_times_a_corrected_row_replaces_the_one_before(
    local_aws: Any, warehouse: Warehouse, link: Any
) -> None:
    types = {name: kind for name, kind in SPEND_TYPES.items() if name != "created"}
    warehouse.add("spend", FIRST.drop_columns(["created"]), types)
    source = warehouse.source("spend", created_timestamp_column="")
    place = Place(local_aws, warehouse, link, spend_view(source))
    place.upsync("2018-08-07T00:30:00")
    bucket, key = split_uri(f"s3://{warehouse.name}/tables/{warehouse.name}/spend/rows.parquet")
    assert bucket == warehouse.name
    for amount in (20.0, 21.0, 22.0):  # whichever bytes are greater
        corrected = FIRST.set_column(3, "amount", pa.array([1.0, 1.5, amount, 3.0, 4.0]))
        warehouse._write(corrected.drop_columns(["created"]), f"s3://{bucket}/{key}")
        place.upsync("2018-08-07T00:31:00")
        assert place.verify("2018-08-07T00:31:00").faults == 0


def test_every_kind_of_column_arrives_as_it_is(
    local_aws: Any, warehouse: Warehouse, link: Any
) -> None:
    from feast import Entity, FeatureView, Field, ValueType
    from feast.types import (
        Array,
        Bool,
        Bytes,
        Float32,
        Float64,
        Int32,
        Int64,
        String,
        UnixTimestamp,
    )

    rows = pa.table(
        {
            "merchant": pa.array([1, 2], pa.int64()),
            "terminal": ["a|b", "ü"],
            "at": pa.array([at("2018-08-07"), at("2018-08-07")], pa.timestamp("ms")),
            "f32": pa.array([0.5, None], pa.float32()),
            "i32": pa.array([None, -7], pa.int32()),
            "flag": [True, None],
            "raw": pa.array([b"\x00\xff", None], pa.binary()),
            "word": ["x", None],
            "when": pa.array([at("2018-01-01T01:02:03"), None], pa.timestamp("ms")),
            "list": pa.array([[1.5, 2.5], None], pa.list_(pa.float64())),
            "price": pa.array([1.25, 2.5], pa.float64()),
        }
    )
    types = {
        "merchant": "bigint", "terminal": "string", "at": "timestamp", "f32": "float",
        "i32": "int", "flag": "boolean", "raw": "binary", "word": "string",
        "when": "timestamp", "list": "array<double>", "price": "double",
    }  # fmt: skip
    warehouse.add("kinds", rows, types)
    merchant = Entity(name="merchant", join_keys=["merchant"], value_type=ValueType.INT64)
    terminal = Entity(name="terminal", join_keys=["terminal"], value_type=ValueType.STRING)
    fields = {
        "merchant": Int64, "terminal": String, "f32": Float32, "i32": Int32, "flag": Bool,
        "raw": Bytes, "word": String, "when": UnixTimestamp, "list": Array(Float64),
        "cost": Float64,
    }  # fmt: skip
    source = warehouse.source(
        "kinds",
        timestamp_field="at",
        created_timestamp_column="",
        field_mapping={"price": "cost"},
    )
    view = FeatureView(
        name="kinds",
        entities=[merchant, terminal],
        ttl=None,
        schema=[Field(name=name, dtype=dtype) for name, dtype in fields.items()],
        source=source,
    )
    place = Place(local_aws, warehouse, link, view, entities=[merchant, terminal])
    assert place.upsync("2018-08-08", shards=2).refused == 0
    verdict = place.verify("2018-08-08")
    assert (verdict.checked, verdict.same, verdict.faults) == (2, 2, 0)
    assert place.verify("2018-08-08", share=0.5).faults == 0
