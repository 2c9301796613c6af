"""What joins of our Athena store answer, on the local Athena over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, RequestSource, ValueType
from feast.errors import FeatureViewNotFoundException
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import (
    SavedDatasetAthenaStorage,
)
from feast.on_demand_feature_view import on_demand_feature_view
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

from mlops.errors import Conflict, InputError, JobFailed, NotFound, Refused
from mlops.stores.athena import staging
from tests.feast_athena import CUSTOMER, SPEND_TYPES, Warehouse, environment, spend_view

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings("ignore:::feast", "ignore:Config.*:DeprecationWarning")
FEATURES = ["spend:amount", "spend:payments"]


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, tzinfo=UTC)


def times(*moments: datetime | None) -> pa.Array:
    naive = [None if m is None else m.replace(tzinfo=None) for m in moments]
    return pa.array(naive, pa.timestamp("ms"))


@pytest.fixture(scope="module")
def warehouse(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """With a table `spend`: customer a on days 1 to 3 (day 3 twice), b on day 2."""
    with environment(local_aws):
        warehouse = Warehouse(local_aws, tmp_path_factory.mktemp("joins"))
        rows = pa.table(
            {
                "customer_id": ["a", "a", "a", "a", "b"],
                "event_time": times(at(1), at(2), at(3), at(3), at(2)),
                "created": times(at(1), at(2), at(3), at(5), at(2)),
                "amount": [1.0, 2.0, 3.0, 3.5, 9.0],
                "payments": [1, 2, 3, 4, 9],
                "day": [f"2024-01-0{d}" for d in (1, 2, 3, 3, 2)],
            }
        )
        warehouse.add("spend", rows, SPEND_TYPES | {"day": "string"}, days="day")
        yield warehouse


@pytest.fixture(scope="module")
def store(warehouse: Warehouse) -> FeatureStore:
    source = warehouse.source("spend", date_partition_column="day")
    return warehouse.store([CUSTOMER, spend_view(source)])


def rows(*given: tuple[str | None, datetime], **more: Any) -> pd.DataFrame:
    columns = {"customer_id": [g[0] for g in given], "event_timestamp": [g[1] for g in given]}
    return pd.DataFrame(columns | more)


def amounts(job: Any) -> list[float | None]:
    found: list[float | None] = job.to_arrow()["amount"].to_pylist()
    return found


# Order and columns


def test_rows_come_in_the_callers_order_with_all_columns_and_duplicates(
    store: FeatureStore,
) -> None:
    given = rows(("b", at(3)), ("a", at(2)), ("b", at(3)), (None, at(3)), note=["x", "y", "x", "z"])
    found = store.get_historical_features(given, FEATURES).to_df()
    assert found["note"].tolist() == ["x", "y", "x", "z"]
    assert found["amount"].fillna(-1).tolist() == [9.0, 2.0, 9.0, -1.0]
    assert found.columns.tolist() == [
        "customer_id",
        "event_timestamp",
        "note",
        "amount",
        "payments",
    ]


def test_full_feature_names_bear_the_view(store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("a", at(2))), FEATURES, full_feature_names=True)
    assert job.to_arrow()["spend__amount"].to_pylist() == [2.0]


def test_an_expired_row_is_no_row(store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("b", at(5)), ("b", at(5, 1))), FEATURES)
    assert amounts(job) == [9.0, None]


def test_no_entity_rows_give_no_rows_with_all_columns(store: FeatureStore) -> None:
    given = rows(("a", at(1))).iloc[:0]
    found = store.get_historical_features(given, FEATURES).to_arrow()
    assert (found.num_rows, found.column_names[2:]) == (0, ["amount", "payments"])


# Definitions


def test_two_roles_of_one_entity_are_joined_by_alias(warehouse: Warehouse) -> None:
    view = spend_view(warehouse.source("spend"))
    payer, payee = (
        view.with_name(n).with_join_key_map({"customer_id": f"{n}_id"}) for n in ("payer", "payee")
    )
    from feast import FeatureService

    service = FeatureService(name="transfers", features=[payer[["amount"]], payee[["amount"]]])
    store = warehouse.store([CUSTOMER, view, service])
    given = pd.DataFrame({"payer_id": ["a"], "payee_id": ["b"], "event_timestamp": [at(2)]})
    job = store.get_historical_features(
        given, store.get_feature_service("transfers"), full_feature_names=True
    )
    found = job.to_arrow().to_pylist()[0]
    assert (found["payer__amount"], found["payee__amount"]) == (2.0, 9.0)


def test_mapped_names_quoted_names_and_queries_are_read(warehouse: Warehouse) -> None:
    sql = (
        'SELECT customer_id AS "who is", event_time AS "when", created, amount AS "select" '
        "FROM spend WHERE amount < 3"
    )
    source = warehouse.query(
        sql,
        timestamp_field="when",
        field_mapping={"who is": "customer_id", "select": "amount"},
    )
    view = spend_view(
        source,
        schema=[Field(name="customer_id", dtype=String), Field(name="amount", dtype=Float64)],
    )
    store = warehouse.store([CUSTOMER, view])
    assert amounts(store.get_historical_features(rows(("a", at(3))), ["spend:amount"])) == [2.0]


def test_a_view_without_entities_holds_for_every_row(warehouse: Warehouse) -> None:
    rates = pa.table(
        {"event_time": times(at(1), at(3)), "created": times(at(1), at(3)), "rate": [1.1, 1.3]}
    )
    kinds = {"event_time": "timestamp", "created": "timestamp", "rate": "double"}
    warehouse.add("rates", rates, kinds)
    view = FeatureView(
        name="rates",
        entities=[],
        schema=[Field(name="rate", dtype=Float64)],
        source=warehouse.source("rates"),
    )
    spend = spend_view(warehouse.source("spend"))
    store = warehouse.store([CUSTOMER, view, spend])
    given = rows(("a", at(2)), ("zz", at(4)))
    found = store.get_historical_features(given, ["rates:rate", *FEATURES]).to_arrow()
    assert found["rate"].to_pylist() == [1.1, 1.3]
    assert found["amount"].to_pylist() == [2.0, None]


def test_a_publication_delay_holds_rows_back(warehouse: Warehouse) -> None:
    view = spend_view(warehouse.source("spend"), tags={"publication_delay": "6h"})
    store = warehouse.store([CUSTOMER, view])
    job = store.get_historical_features(rows(("a", at(2, 5)), ("a", at(2, 6))), FEATURES)
    assert amounts(job) == [1.0, 2.0]


def test_microseconds_are_kept_by_an_order_column(warehouse: Warehouse) -> None:
    start = int(at(1).timestamp()) * 1_000_000
    table = pa.table(
        {
            "customer_id": ["a", "a"],
            "event_time": times(at(1), at(1)),
            "created": times(at(2), at(1)),
            "us": [start + 1, start + 3],
            "amount": [1.0, 3.0],
        }
    )
    warehouse.add("fine", table, {**SPEND_TYPES, "us": "bigint", "payments": "bigint"})
    source = warehouse.source("fine", tags={"event_time_us": "us"})
    view = spend_view(
        source,
        schema=[Field(name="customer_id", dtype=String), Field(name="amount", dtype=Float64)],
    )
    store = warehouse.store([CUSTOMER, view])
    moments = [at(1) + timedelta(microseconds=n) for n in range(4)]
    job = store.get_historical_features(rows(*(("a", m) for m in moments)), ["spend:amount"])
    assert amounts(job) == [None, 1.0, 1.0, 3.0]


def test_every_value_type_arrives_as_feast_declares_it(warehouse: Warehouse) -> None:
    values = {
        "small": (pa.array([7], pa.int32()), "int", Int32, 7),
        "ratio": (pa.array([0.5], pa.float32()), "float", Float32, 0.5),
        "flag": (pa.array([True]), "boolean", Bool, True),
        "raw": (pa.array([b"\x00\xff"]), "binary", Bytes, b"\x00\xff"),
        "seen": (times(at(1, 3)), "timestamp", UnixTimestamp, at(1, 3)),
        "price": (pa.array([Decimal("1.10")], pa.decimal128(18, 2)), "decimal(18,2)", Float64, 1.1),
        "words": (pa.array([["x", "y"]]), "array<string>", Array(String), ["x", "y"]),
        "counts": (pa.array([[1, None]]), "array<bigint>", Array(Int64), [1, None]),
    }
    table = pa.table(
        {"customer_id": ["a"], "event_time": times(at(1)), "created": times(at(1))}
        | {name: value[0] for name, value in values.items()}
    )
    kinds = {"customer_id": "string", "event_time": "timestamp", "created": "timestamp"}
    warehouse.add("typed", table, kinds | {name: value[1] for name, value in values.items()})
    view = FeatureView(
        name="typed",
        entities=[CUSTOMER],
        schema=[Field(name="customer_id", dtype=String)]
        + [Field(name=name, dtype=value[2]) for name, value in values.items()],
        source=warehouse.source("typed"),
    )
    store = warehouse.store([CUSTOMER, view])
    references = [f"typed:{name}" for name in values]
    found = store.get_historical_features(rows(("a", at(2))), references).to_arrow()
    assert found.to_pylist()[0] == {
        "customer_id": "a",
        "event_timestamp": at(2),
        **{name: value[3] for name, value in values.items()},
    }
    assert found.schema.field("seen").type == pa.timestamp("us", tz="UTC")
    assert found.schema.field("small").type == pa.int32()


def test_integer_keys_match_whatever_pandas_made_of_them(warehouse: Warehouse) -> None:
    table = pa.table(
        {"n": [1, 2], "event_time": times(at(1), at(1)), "created": times(at(1), at(1))}
        | {"score": [0.1, 0.2]}
    )
    kinds = {"n": "bigint", "event_time": "timestamp", "created": "timestamp", "score": "double"}
    warehouse.add("numbered", table, kinds)
    number = Entity(name="number", join_keys=["n"], value_type=ValueType.INT64)
    view = FeatureView(
        name="numbered",
        entities=[number],
        schema=[Field(name="n", dtype=Int64), Field(name="score", dtype=Float64)],
        source=warehouse.source("numbered"),
    )
    store = warehouse.store([number, view])
    for keys in ([1, 2, None], ["1", "2", "x"], [1.0, 2.0, 2.5]):
        given = pd.DataFrame({"n": keys, "event_timestamp": [at(2)] * 3})
        found = store.get_historical_features(given, ["numbered:score"]).to_arrow()
        assert found["score"].to_pylist() == [0.1, 0.2, None]


def test_on_demand_features_are_computed_on_what_was_joined(warehouse: Warehouse) -> None:
    spend = spend_view(warehouse.source("spend"))
    asked = RequestSource(name="asked", schema=[Field(name="price", dtype=Float64)])

    def over_mean(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"over": inputs["price"] / inputs["amount"]})

    view = on_demand_feature_view(
        name="over", sources=[asked, spend], schema=[Field(name="over", dtype=Float64)]
    )(over_mean)
    store = warehouse.store([CUSTOMER, spend, view])
    given = rows(("a", at(2)), ("b", at(2)), price=[4.0, 18.0])
    job = store.get_historical_features(given, ["spend:amount", "over:over"])
    assert job.to_arrow()["over"].to_pylist() == [2.0, 2.0]
    streamed = pa.Table.from_batches(job.to_arrow_batches()).sort_by("entity_row")
    assert streamed["over"].to_pylist() == [2.0, 2.0]


# Entity rows as SQL, or none


def test_entity_rows_may_be_a_query(store: FeatureStore) -> None:
    sql = (
        "SELECT customer_id, date_add('hour', 1, event_time) AS event_timestamp, payments AS n "
        "FROM spend WHERE customer_id = 'a' ORDER BY event_time"
    )
    found = store.get_historical_features(sql, FEATURES).to_df()
    by_row = sorted(zip(found["n"], found["amount"], strict=True))
    assert by_row == [(1, 1.0), (2, 2.0), (3, 3.5), (4, 3.5)]


def test_an_entity_query_may_have_microseconds_and_columns_of_nulls(store: FeatureStore) -> None:
    sql = (
        "SELECT 'a' AS customer_id, TIMESTAMP '2024-01-02 00:00:00.123456' AS event_timestamp, "
        "NULL AS nothing"
    )
    job = store.get_historical_features(sql, FEATURES)
    [row] = job.to_arrow().to_pylist()
    moment = at(2) + timedelta(microseconds=123_456)
    assert (row["event_timestamp"], row["nothing"], row["amount"]) == (moment, None, 2.0)
    job.persist(SavedDatasetAthenaStorage(table_ref="fine_times"))
    [kept] = (
        store._get_provider()
        .offline_store.pull_all_from_table_or_query(
            store.config,
            SavedDatasetAthenaStorage(table_ref="fine_times").to_data_source(),
            [],
            ["amount"],
            "event_timestamp",
        )
        .to_arrow()
        .to_pylist()
    )
    assert kept["event_timestamp"] == at(2) + timedelta(milliseconds=123)


def test_a_range_of_time_gives_every_moment_at_which_a_row_became_known(
    store: FeatureStore,
) -> None:
    job = store.get_historical_features(features=FEATURES, start_date=at(2), end_date=at(3))
    found = job.to_df().sort_values(["customer_id", "event_timestamp"])
    assert found["amount"].tolist() == [2.0, 3.5, 9.0]


# Time travel


def test_as_of_sees_only_what_was_created_by_then(store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("a", at(4))), FEATURES)
    assert amounts(job) == [3.5]
    assert amounts(job.as_of(at(4))) == [3.0]
    assert amounts(job.as_of(at(2))) == [2.0]


def test_as_of_reads_what_the_caller_says_in_place_of_a_source(store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("a", at(4))), FEATURES)
    past = {"spend_source": "SELECT * FROM spend WHERE payments < 3"}
    assert amounts(job.as_of(at(9), past)) == [2.0]


def test_as_of_may_be_configured_for_every_query(warehouse: Warehouse) -> None:
    view = spend_view(warehouse.source("spend"))
    store = warehouse.store([CUSTOMER, view], as_of="2024-01-04")
    assert amounts(store.get_historical_features(rows(("a", at(4))), FEATURES)) == [3.0]


def test_rows_may_have_to_be_created_by_the_entity_rows_time(store: FeatureStore) -> None:
    given = rows(("a", at(4)), ("a", at(5)))
    job = store.get_historical_features(given, FEATURES, filter_by_created_timestamp=True)
    assert amounts(job) == [3.0, 3.5]


# Results


def test_batches_say_which_entity_row_they_answer(store: FeatureStore) -> None:
    given = rows(*(("a", at(1 + n % 3)) for n in range(1000)))
    job = store.get_historical_features(given, FEATURES)
    batches = list(job.to_arrow_batches(rows=64))
    assert max(batch.num_rows for batch in batches) <= 64
    streamed = pa.Table.from_batches(batches).sort_by("entity_row").drop_columns(["entity_row"])
    assert streamed.equals(job.to_arrow())


def test_a_streams_memory_does_not_grow_with_its_rows(store: FeatureStore) -> None:
    def peak(thousands: int) -> tuple[int, int]:
        sql = (
            "SELECT IF(n % 2 = 0, 'a', 'b') AS customer_id, date_add('second', n * 200 + m, "
            "TIMESTAMP '2024-01-01 00:00:00') AS event_timestamp "
            "FROM UNNEST(sequence(1, 1000)) AS x (n) "
            f"CROSS JOIN UNNEST(sequence(1, {thousands})) AS y (m)"
        )
        before, most, seen = pa.total_allocated_bytes(), 0, 0
        for batch in store.get_historical_features(sql, FEATURES).to_arrow_batches(rows=10_000):
            most, seen = max(most, pa.total_allocated_bytes() - before), seen + batch.num_rows
        return most, seen

    small, few = peak(150)
    large, many = peak(600)
    assert (few, many) == (150_000, 600_000)
    assert large < small * 1.5


def test_results_can_be_kept_in_s3_and_in_a_file(
    warehouse: Warehouse, store: FeatureStore, tmp_path: Path
) -> None:
    job = store.get_historical_features(rows(("a", at(2)), ("b", at(2))), FEATURES)
    files = job.to_remote_storage()
    bodies = [warehouse.s3.get_object(Bucket=warehouse.name, Key=f.split("/", 3)[3]) for f in files]
    tables = [pq.read_table(pa.BufferReader(b["Body"].read())) for b in bodies]
    assert sorted(pa.concat_tables(tables)["amount"].to_pylist()) == [2.0, 9.0]
    assert job.to_file(tmp_path / "set.parquet") == 2
    assert sorted(pq.read_table(tmp_path / "set.parquet")["amount"].to_pylist()) == [2.0, 9.0]


def test_a_saved_dataset_is_read_back_and_replaced_only_if_allowed(store: FeatureStore) -> None:
    storage = SavedDatasetAthenaStorage(table_ref="kept")
    job = store.get_historical_features(rows(("a", at(2)), ("b", at(3))), FEATURES)
    store.create_saved_dataset(from_=job, name="kept", storage=storage)
    found = store.get_saved_dataset("kept").to_df()
    assert sorted(found["amount"]) == [2.0, 9.0]
    with pytest.raises(Conflict, match="kept exists already"):
        job.persist(storage)
    store.get_historical_features(rows(("a", at(3))), FEATURES).persist(
        storage, allow_overwrite=True
    )
    assert store.get_saved_dataset("kept").to_df()["amount"].tolist() == [3.5]


def test_a_table_of_somebody_else_is_never_overwritten(store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("a", at(2))), FEATURES)
    with pytest.raises(Refused, match="was not saved by this store"):
        job.persist(SavedDatasetAthenaStorage(table_ref="spend"), allow_overwrite=True)


def test_the_query_as_text_answers_the_same(warehouse: Warehouse, store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("a", at(2)), ("b", at(9))), FEATURES)
    sql = job.to_sql()
    rerun = warehouse.query(sql, timestamp_field="event_timestamp", created_timestamp_column="")
    pulled = store._get_provider().offline_store.pull_all_from_table_or_query(
        store.config, rerun, ["customer_id"], ["amount"], "event_timestamp"
    )
    answers = dict(zip(*pulled.to_arrow().select([0, 1]).to_pydict().values(), strict=True))
    assert answers == {"a": 2.0, "b": None}


# Cost and control


def test_an_estimate_counts_only_the_days_and_columns_that_are_read(store: FeatureStore) -> None:
    one = store.get_historical_features(rows(("a", at(1))), FEATURES).estimate()
    job = store.get_historical_features(rows(("a", at(1)), ("a", at(3))), FEATURES)
    three = job.estimate()
    assert [scan.partitions for scan in (*one.tables, *three.tables)] == [1, 3]
    assert 0 < one.bytes < three.bytes
    job.to_arrow()
    assert job.bill.scanned <= three.bytes + 2_000
    assert job.bill.dollars > 0


def test_days_outside_of_the_window_are_not_scanned(store: FeatureStore) -> None:
    near = store.get_historical_features(rows(("a", at(1))), FEATURES)
    far = store.get_historical_features(rows(("a", at(1)), ("a", at(3))), FEATURES)
    near.to_arrow()
    far.to_arrow()
    assert near.bill.scanned < far.bill.scanned


def test_a_sweep_finds_what_a_killed_run_left_and_nothing_younger(warehouse: Warehouse) -> None:
    from mlops.aws import Aws

    aws = Aws()
    killed = staging.start_run(aws, database=warehouse.name, base=warehouse.staging)
    warehouse.s3.put_object(
        Bucket=warehouse.name, Key=killed.prefix.split("/", 3)[3] + "entity/x", Body=b"x"
    )
    killed.create_table({"n": "bigint"}, f"{killed.prefix}entity/")
    place = {"database": warehouse.name, "base": warehouse.staging}
    young = staging.find_left(aws, **place, before=staging.older_than(1))
    assert (young.tables, young.objects) == ((), ())
    left = staging.find_left(aws, **place, before=staging.older_than(-1))
    assert len(left.tables) == len(left.objects) == 1
    staging.sweep(aws, left, database=warehouse.name)
    assert set(warehouse.left()["tables"]) <= {"kept", "fine_times"}


# Writing


def test_pushed_rows_are_appended_to_the_views_table_by_day(warehouse: Warehouse) -> None:
    empty = pa.table({c: pa.array([], pa.string()) for c in (*SPEND_TYPES, "day")})
    warehouse.add("pushed", empty, SPEND_TYPES | {"day": "string"}, days="day")
    source = warehouse.source("pushed", date_partition_column="day")
    store = warehouse.store([CUSTOMER, spend_view(source)])
    frame = pd.DataFrame(
        {
            "customer_id": ["a", "b"],
            "event_time": [at(1, 4), at(2, 4)],
            "created": [at(3), at(3)],
            "amount": [1.5, 2.5],
            "payments": [1, 2],
        }
    )
    told: list[int] = []
    offline = store._get_provider().offline_store
    view = store.get_feature_view("spend")
    offline.offline_write_batch(store.config, view, pa.Table.from_pandas(frame), told.append)
    given = rows(("a", at(2)), ("b", at(3)))
    assert amounts(store.get_historical_features(given, FEATURES)) == [1.5, 2.5]
    assert sum(told) == 2
    with pytest.raises(InputError, match="missing payments, unknown nothing"):
        offline.offline_write_batch(
            store.config, view, pa.Table.from_pandas(frame.drop(columns="payments")), None
        )


def test_logged_features_are_appended(warehouse: Warehouse, store: FeatureStore) -> None:
    from feast.feature_logging import LoggingConfig
    from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import (
        AthenaLoggingDestination,
    )

    destination = AthenaLoggingDestination(table_name="logged")
    offline = store._get_provider().offline_store
    for value in (1.0, 2.0):
        log = pa.table({"customer_id": ["a"], "amount": [value], "logged_at": times(at(1))})
        offline.write_logged_features(
            store.config, log, None, LoggingConfig(destination=destination), None
        )
    found = offline.pull_all_from_table_or_query(
        store.config, destination.to_data_source(), [], ["amount"], "logged_at"
    )
    assert sorted(found.to_arrow()["amount"].to_pylist()) == [1.0, 2.0]


# Bad input


def test_entity_rows_without_a_time_are_refused_with_the_remedy(store: FeatureStore) -> None:
    with pytest.raises(InputError, match=r"no column of times\. Call the one to join at 'event_t"):
        store.get_historical_features(pd.DataFrame({"customer_id": ["a"]}), FEATURES)


def test_a_missing_join_key_is_named(store: FeatureStore) -> None:
    given = pd.DataFrame({"customer": ["a"], "event_timestamp": [at(1)]})
    with pytest.raises(InputError, match="lack the join key customer_id; they have customer, even"):
        store.get_historical_features(given, FEATURES)


@pytest.mark.parametrize("reference", ["spend:colour", "colour:amount"])
def test_an_unknown_feature_is_named(store: FeatureStore, reference: str) -> None:
    """Feast itself does so, before a store is asked."""
    with pytest.raises((KeyError, FeatureViewNotFoundException), match="colour"):
        store.get_historical_features(rows(("a", at(1))), [reference])


def test_naive_times_are_taken_as_utc_and_said_so(
    store: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.config.coerce_tz_aware = False
    try:
        naive = rows(("a", at(2).replace(tzinfo=None)))
        assert amounts(store.get_historical_features(naive, FEATURES)) == [2.0]
    finally:
        store.config.coerce_tz_aware = True
    assert "Entity times in 'event_timestamp' have no zone; they are taken as UTC" in caplog.text


def test_a_table_that_is_gone_is_named(warehouse: Warehouse) -> None:
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))])
    gone = spend_view(warehouse.source("vanished"))
    job = store._get_provider().offline_store.get_historical_features(
        store.config, [gone], FEATURES, rows(("a", at(1))), store.registry, "tests"
    )
    with pytest.raises(NotFound, match=r"vanished does not exist in the Glue catalog. Build it"):
        job.to_arrow()


def test_lost_columns_are_named(warehouse: Warehouse) -> None:
    view = spend_view(
        warehouse.source("spend"),
        schema=[Field(name=n, dtype=Float64) for n in ("amount", "lost", "gone")]
        + [Field(name="customer_id", dtype=String)],
    )
    store = warehouse.store([CUSTOMER, view])
    job = store.get_historical_features(
        rows(("a", at(1))), ["spend:amount", "spend:lost", "spend:gone"]
    )
    with pytest.raises(NotFound, match="spend has lost lost, gone; it has customer_id"):
        job.to_arrow()


def test_a_column_that_both_sides_have_is_refused(store: FeatureStore) -> None:
    job = store.get_historical_features(rows(("a", at(1)), amount=[1.0]), FEATURES)
    with pytest.raises(InputError, match=r"both have amount\. Rename"):
        job.to_arrow()


def test_a_wrong_entity_query_fails_with_athenas_reason(store: FeatureStore) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        store.get_historical_features("SELECT * FROM nowhere", FEATURES).to_arrow()
    with pytest.raises(JobFailed, match="mismatched input"):
        store.get_historical_features("SELEKT 1", FEATURES).to_arrow()


def test_nothing_is_left_by_all_of_these(warehouse: Warehouse) -> None:
    left = warehouse.left()
    kept = ("staging/exports/", "staging/saved/")
    assert [key for key in left["objects"] if not key.startswith(kept)] == []
    assert set(left["tables"]) <= {"kept", "logged", "fine_times"}
