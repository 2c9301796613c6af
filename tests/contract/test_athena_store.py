"""What our Athena offline store promises, each where Feast's own store fails.

Every test of `both` runs over the two stores: ours passes, and Feast's is expected to fail, so that
a Feast that mends it is noticed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import (
    AthenaLoggingDestination,
)
from feast.infra.utils import aws_utils
from feast.infra.utils.aws_utils import AthenaQueryError
from feast.types import Float64, String

from mlops.stores.athena.execution import Executions
from tests.feast_athena import (
    CUSTOMER,
    FEASTS,
    OURS,
    SPEND_TYPES,
    Warehouse,
    environment,
    spend_view,
)

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings("ignore:::feast", "ignore:Config.*:DeprecationWarning")
FEATURES = ["spend:amount", "spend:payments"]


WRONG = (AssertionError, AthenaQueryError, pytest.fail.Exception)


def fails_on_feast(reason: str, raises: Any = WRONG) -> pytest.MarkDecorator:
    """Runs over both stores; an error that is not the known fault is no expected failure."""
    expected = pytest.mark.xfail(reason=reason, raises=raises, strict=True)
    return pytest.mark.parametrize("kind", [OURS, pytest.param(FEASTS, marks=expected)])


@pytest.fixture(scope="module", autouse=True)
def environ(local_aws: LocalAws) -> Iterator[None]:
    with environment(local_aws):
        yield


@pytest.fixture
def warehouse(local_aws: LocalAws, tmp_path: Path) -> Warehouse:
    return Warehouse(local_aws, tmp_path)


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0, ms: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, minute, second, ms * 1000, tzinfo=UTC)


def spend(*rows: tuple[str | None, datetime, datetime, float]) -> pa.Table:
    times = pa.timestamp("ms")
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "customer_id": pa.array(columns[0], pa.string()),
            "event_time": pa.array([t.replace(tzinfo=None) for t in columns[1]], times),
            "created": pa.array([t.replace(tzinfo=None) for t in columns[2]], times),
            "amount": pa.array(columns[3], pa.float64()),
            "payments": pa.array([int(v) for v in columns[3]], pa.int64()),
        }
    )


def entity_rows(*rows: tuple[str | None, datetime]) -> pd.DataFrame:
    return pd.DataFrame(
        {"customer_id": [r[0] for r in rows], "event_timestamp": [r[1] for r in rows]}
    )


# Where Feast's store fails


@fails_on_feast("ties on event time fan out")
def test_an_entity_row_is_answered_once_though_feature_rows_tie(
    warehouse: Warehouse, kind: str
) -> None:
    rows = spend(("a", at(1), at(1), 1.0), ("a", at(1), at(1), 2.0))
    warehouse.add("spend", rows, SPEND_TYPES)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))], kind=kind)
    job = store.get_historical_features(entity_rows(("a", at(2))), FEATURES)
    assert job.to_df()["amount"].tolist() == [2.0]


@fails_on_feast("composite keys are concatenated without a separator")
def test_composite_keys_are_compared_part_by_part(warehouse: Warehouse, kind: str) -> None:
    rows = pa.table(
        {
            "a": ["1", "12"],
            "b": ["23", "3"],
            "event_time": pa.array([at(1).replace(tzinfo=None)] * 2, pa.timestamp("ms")),
            "created": pa.array([at(1).replace(tzinfo=None)] * 2, pa.timestamp("ms")),
            "score": [1.0, 2.0],
        }
    )
    types = {"a": "string", "b": "string", "score": "double"}
    times = {"event_time": "timestamp", "created": "timestamp"}
    warehouse.add("pairs", rows, types | times)
    entities = [Entity(name=f"e_{k}", join_keys=[k], value_type=ValueType.STRING) for k in "ab"]
    view = FeatureView(
        name="pairs",
        entities=entities,
        schema=[Field(name=k, dtype=String) for k in "ab"] + [Field(name="score", dtype=Float64)],
        source=warehouse.source("pairs"),
        ttl=timedelta(days=9),
    )
    store = warehouse.store([*entities, view], kind=kind)
    given = pd.DataFrame({"a": ["1", "12"], "b": ["23", "3"], "event_timestamp": [at(2)] * 2})
    found = store.get_historical_features(given, ["pairs:score"]).to_df().sort_values("a")
    assert found["score"].tolist() == [1.0, 2.0]


@fails_on_feast("a day is compared with a time")
def test_the_first_day_of_a_window_is_read_where_days_are_partitions(
    warehouse: Warehouse, kind: str
) -> None:
    rows = spend(*[("a", at(d), at(d), float(d)) for d in (1, 2, 3)])
    rows = rows.append_column("day", pa.array([f"2024-01-0{d}" for d in (1, 2, 3)]))
    warehouse.add("spend", rows, SPEND_TYPES | {"day": "string"}, days="day")
    source = warehouse.source("spend", date_partition_column="day")
    store = warehouse.store([CUSTOMER, spend_view(source)], kind=kind)
    job = _offline(store).pull_all_from_table_or_query(
        store.config, source, ["customer_id"], ["amount"], "event_time", "created", at(2), at(3)
    )
    assert sorted(job.to_arrow()["amount"].to_pylist()) == [2.0, 3.0]


@fails_on_feast("bounds are cut to seconds")
def test_rows_of_the_last_second_are_materialized(warehouse: Warehouse, kind: str) -> None:
    rows = spend(("a", at(1), at(1), 1.0), ("a", at(2, 0, 0, 0, 400), at(2), 2.0))
    warehouse.add("spend", rows, SPEND_TYPES)
    source = warehouse.source("spend")
    store = warehouse.store([CUSTOMER, spend_view(source)], kind=kind)
    job = _offline(store).pull_latest_from_table_or_query(
        store.config,
        source,
        ["customer_id"],
        ["amount"],
        "event_time",
        "created",
        at(1),
        at(2, 0, 0, 0, 500),
    )
    assert job.to_arrow()["amount"].to_pylist() == [2.0]


@fails_on_feast("the configured database is read and not the source's")
def test_a_source_is_read_from_its_own_database(
    warehouse: Warehouse, local_aws: LocalAws, tmp_path: Path, kind: str
) -> None:
    other = Warehouse(local_aws, tmp_path)
    other.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    source = other.source("spend")
    store = warehouse.store([CUSTOMER, spend_view(source)], kind=kind)
    job = _offline(store).pull_all_from_table_or_query(
        store.config, source, ["customer_id"], ["amount"], "event_time", "created", at(1), at(2)
    )
    assert job.to_arrow()["amount"].to_pylist() == [1.0]


@fails_on_feast("objects below a prefix are never removed")
def test_nothing_is_left_after_success(warehouse: Warehouse, kind: str) -> None:
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))], kind=kind)
    store.get_historical_features(entity_rows(("a", at(2))), FEATURES).to_df()
    left = warehouse.left()
    own = [key for key in left["objects"] if not key.startswith("workgroup/")]
    assert (own, left["tables"]) == ([], [])


@fails_on_feast("what was staged stays when a query fails")
def test_nothing_is_left_after_a_failure(warehouse: Warehouse, kind: str) -> None:
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    broken = "SELECT *, CAST('x' AS bigint) AS wrong FROM spend WHERE CAST(amount AS varchar) > ''"
    source = warehouse.query(broken)
    view = spend_view(
        source,
        schema=[Field(name="customer_id", dtype=String), Field(name="wrong", dtype=Float64)],
    )
    store = warehouse.store([CUSTOMER, view], kind=kind)
    job = store.get_historical_features(entity_rows(("a", at(2))), ["spend:wrong"])
    with pytest.raises(Exception, match="cast"):
        job.to_df()
    left = warehouse.left()
    own = [key for key in left["objects"] if not key.startswith("workgroup/")]
    assert (own, left["tables"]) == ([], [])


@fails_on_feast("its CTAS names a location, which such a workgroup refuses")
def test_a_workgroup_may_decide_on_the_output_location(
    local_aws: LocalAws, tmp_path: Path, kind: str
) -> None:
    warehouse = Warehouse(local_aws, tmp_path, enforced=True)
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))], kind=kind)
    job = store.get_historical_features(entity_rows(("a", at(2))), FEATURES)
    assert job.to_df()["amount"].tolist() == [1.0]
    assert warehouse.left() == {"objects": [], "tables": []}


@fails_on_feast("zoned times are refused by its CTAS")
def test_an_entity_query_may_have_zoned_times(warehouse: Warehouse, kind: str) -> None:
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))], kind=kind)
    sql = (
        "SELECT 'a' AS customer_id, "
        "from_iso8601_timestamp('2024-01-01T09:00:00+09:00') AS event_timestamp"
    )
    found = store.get_historical_features(sql, FEATURES).to_df()
    assert found["amount"].tolist() == [1.0]
    assert found["event_timestamp"].tolist() == [pd.Timestamp(at(1))]


@fails_on_feast("the dataframe is given a new index")
def test_the_callers_dataframe_stays_as_it_is(warehouse: Warehouse, kind: str) -> None:
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))], kind=kind)
    given = entity_rows(("a", at(2)), ("b", at(1)))
    given.index = pd.Index([7, 3])
    before = given.copy(deep=True)
    store.config.coerce_tz_aware = False
    store.get_historical_features(given, FEATURES).to_df()
    pd.testing.assert_frame_equal(given, before)


SLOW = """SELECT 'a' AS customer_id, TIMESTAMP '2024-01-01 00:00:00' AS event_time,
TIMESTAMP '2024-01-01 00:00:00' AS created, CAST(sum(ln(x.n + y.n)) AS double) AS amount,
count(*) AS payments
FROM UNNEST(sequence(1, 10000)) AS x (n) CROSS JOIN UNNEST(sequence(1, {n})) AS y (n)
CROSS JOIN UNNEST(sequence(1, 10)) AS z (n)"""


@fails_on_feast("the timeout is ignored")
def test_a_query_that_runs_past_its_timeout_is_stopped(warehouse: Warehouse, kind: str) -> None:
    slow = SLOW.format(n=100 if kind == FEASTS else 10_000)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.query(slow))], kind=kind)
    job = store.get_historical_features(entity_rows(("a", at(2))), FEATURES)
    with pytest.raises(Exception, match=r"ran past its limit of 0\.5 s"):
        job.to_arrow(timeout=0.5)
    assert warehouse.left() == {"objects": [], "tables": []}


@fails_on_feast("it writes no rows", raises=NotImplementedError)
def test_rows_are_written_to_the_table_under_a_view(warehouse: Warehouse, kind: str) -> None:
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))], kind=kind)
    rows = spend(("a", at(3), at(3), 3.0))
    _offline(store).offline_write_batch(store.config, store.get_feature_view("spend"), rows, None)
    job = store.get_historical_features(entity_rows(("a", at(2)), ("a", at(3))), FEATURES)
    assert job.to_df().sort_values("event_timestamp")["amount"].tolist() == [1.0, 3.0]


@fails_on_feast("it cannot read the folder that Feast's logger hands over", raises=AttributeError)
def test_logged_features_are_kept_and_read_back(
    warehouse: Warehouse, tmp_path: Path, kind: str
) -> None:
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    destination = AthenaLoggingDestination(table_name="spend_log")
    view = spend_view(warehouse.source("spend"))
    service = FeatureService(
        name="spending", features=[view], logging_config=LoggingConfig(destination=destination)
    )
    store = warehouse.store([CUSTOMER, view, service], kind=kind)
    source = FeatureServiceLoggingSource(service, "tests")
    schema = source.get_schema(store.registry)
    for hour in (1, 2):
        row = {
            "customer_id": "a",
            "spend__amount": float(hour),
            "spend__payments": hour,
            **dict.fromkeys(("spend__amount__timestamp", "spend__payments__timestamp"), at(1)),
            **dict.fromkeys(("spend__amount__status", "spend__payments__status"), 2),
            "__log_timestamp": at(2, hour),
            "__log_date": at(2).date(),
            "__request_id": str(hour),
        }
        log = pa.Table.from_pylist([{field.name: row[field.name] for field in schema}], schema)
        folder = tmp_path / f"log{hour}"
        folder.mkdir()
        pq.write_table(log, folder / "flushed.parquet")
        store.write_logged_features(folder, service)
    job = _offline(store).pull_all_from_table_or_query(
        store.config,
        destination.to_data_source(),
        [],
        ["spend__amount"],
        "__log_timestamp",
        None,
        at(2),
        at(3),
    )
    assert sorted(job.to_arrow()["spend__amount"].to_pylist()) == [1.0, 2.0]


@fails_on_feast("it waits up to half a minute between two looks at a query")
def test_a_finished_query_is_noticed_within_a_second(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    athena = Mock()
    states = itertools.chain(["RUNNING"] * 60, itertools.repeat("SUCCEEDED"))
    athena.get_query_execution.side_effect = lambda **_: {
        "QueryExecution": {"QueryExecutionId": "q", "Status": {"State": next(states)}}
    }
    athena.start_query_execution.return_value = {"QueryExecutionId": "q"}
    if kind == OURS:
        aws = Mock(client=lambda _: athena)
        executions = Executions(aws, workgroup="w", catalog="", database="d", sleep=slept.append)
        executions.run("SELECT 1", output="s3://b/")
    else:
        aws_utils.wait_for_athena_execution(athena, {"QueryExecutionId": "q"})
    assert len(slept) >= 60
    assert max(slept) <= 1.0


def test_the_feature_repo_lets_athena_find_the_latest_rows() -> None:
    # Feast's default pulls all history, and looks for the latest rows in pandas.
    config = yaml.safe_load(Path("feature_repo/feature_store.yaml").read_text(encoding="utf-8"))
    assert config["materialization"]["pull_latest_features"] is True


def _offline(store: Any) -> Any:
    return store._get_provider().offline_store


def test_an_interrupt_stops_the_query_and_leaves_nothing(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    slow = warehouse.query(SLOW.format(n=10_000))
    store = warehouse.store([CUSTOMER, spend_view(slow)])
    job = store.get_historical_features(entity_rows(("a", at(2))), FEATURES)
    monkeypatch.setattr(Executions, "_check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        job.to_arrow()
    assert warehouse.left() == {"objects": [], "tables": []}
    athena = warehouse.aws.client("athena")
    ids = athena.list_query_executions(WorkGroup=warehouse.name)["QueryExecutionIds"]
    found = athena.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
    assert "CANCELLED" in {query["Status"]["State"] for query in found}


@pytest.mark.parametrize(
    "given",
    [
        entity_rows(("a", at(2))),
        "SELECT 'a' AS customer_id, TIMESTAMP '2024-01-02' AS event_timestamp",
    ],
    ids=["dataframe", "query"],
)
def test_results_can_come_by_a_table_that_athena_places(
    local_aws: LocalAws, tmp_path: Path, given: pd.DataFrame | str
) -> None:
    warehouse = Warehouse(local_aws, tmp_path, enforced=True)
    warehouse.add("spend", spend(("a", at(1), at(1), 1.0)), SPEND_TYPES)
    view = spend_view(warehouse.source("spend"))
    store = warehouse.store([CUSTOMER, view], results="ctas")
    assert store.get_historical_features(given, FEATURES).to_df()["amount"].tolist() == [1.0]
    assert warehouse.left() == {"objects": [], "tables": []}
