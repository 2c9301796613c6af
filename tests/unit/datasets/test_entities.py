"""Entity rows have one order, and what does not fit is named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InputError
from pipelines.datasets.checksum import content_sha256
from pipelines.datasets.entities import arrange, from_file, from_frame
from tests.unit.datasets.examples import PLAN, START, payments


def rows(**columns: Any) -> pd.DataFrame:
    given = {"event_time": [START], "customer_id": ["c1"], "amount": [1.0]}
    return pd.DataFrame(given | columns)


def arranged(frame: pd.DataFrame) -> pa.Table:
    return from_frame(frame, PLAN).table


_times = st.integers(0, 3).map(lambda n: START.replace(hour=n))
_numbers = st.floats(width=32) | st.sampled_from([0.0, -0.0, float("nan")])
_row = st.fixed_dictionaries(
    {
        "event_time": _times,
        "customer_id": st.sampled_from(["c1", "c2"]) | st.none() | st.text(max_size=2),
        "amount": _numbers,
        "is_fraud": st.booleans() | st.none(),
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "cents": st.decimals(min_value=-9, max_value=9, places=2) | st.none(),
    }
)
_SCHEMA = pa.schema(
    [
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("customer_id", pa.string()),
        ("amount", pa.float64()),
        ("is_fraud", pa.bool_()),
        ("tags", pa.list_(pa.string())),
        ("cents", pa.decimal128(10, 2)),
    ]
)


@given(st.lists(_row, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_given_does_not_matter(given_rows: list[Any], random: Any) -> None:
    mixed = list(given_rows)
    random.shuffle(mixed)
    one, other = (
        arrange(pa.Table.from_pylist(some, schema=_SCHEMA), PLAN, origin="query").table
        for some in (given_rows, mixed)
    )
    assert content_sha256(one) == content_sha256(other)


@given(st.lists(_row, min_size=1, max_size=12))
def test_rows_in_their_order_stay_as_they_are(given_rows: list[Any]) -> None:
    once = arrange(pa.Table.from_pylist(given_rows, schema=_SCHEMA), PLAN, origin="query").table
    assert arrange(once, PLAN, origin="dataset").table.equals(once)


def test_rows_go_by_time_and_then_by_join_key() -> None:
    later, earlier = START.replace(hour=2), START.replace(hour=1)
    table = arranged(
        pd.DataFrame(
            {
                "amount": [1.0, 2.0, 3.0],
                "customer_id": ["c2", "c1", "c9"],
                "event_time": [later, later, earlier],
            }
        )
    )
    assert table["amount"].to_pylist() == [3.0, 2.0, 1.0]
    assert table.column_names == ["amount", "customer_id", "event_time"]


def test_the_caller_s_dataframe_is_not_changed() -> None:
    frame = payments(20)
    before = frame.copy()
    arranged(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match=r"lack customer_id, amount, which .* 'spend_v1' needs"):
        arranged(rows().drop(columns=["customer_id", "amount"]))


def test_rows_without_a_time_column_are_refused_with_the_name_it_should_have() -> None:
    with pytest.raises(InputError, match="no column 'event_time'"):
        arranged(rows().rename(columns={"event_time": "when"}))


def test_feast_s_name_of_the_time_is_taken_too() -> None:
    plan = PLAN.model_copy(update={"request": PLAN.request[:1]})
    frame = rows().rename(columns={"event_time": "event_timestamp"})
    assert from_frame(frame, plan).time_column == "event_timestamp"


def test_a_column_that_is_also_a_feature_is_refused() -> None:
    with pytest.raises(InputError, match="both have mean, over"):
        arranged(rows(mean=[1.0], over=[2.0]))


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputError, match="There are no entity rows"):
        arranged(rows().head(0))


def test_a_row_without_a_time_is_refused() -> None:
    frame = payments(2).assign(event_time=pd.Series([START, None]))
    with pytest.raises(InputError, match="1 of 2 entity rows have no 'event_time'"):
        arranged(frame)


def test_a_time_without_a_zone_is_taken_as_utc_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = arranged(rows(event_time=[datetime(2025, 3, 1, 10)]))  # noqa: DTZ001  # the point
    assert table["event_time"].to_pylist() == [datetime(2025, 3, 1, 10, tzinfo=UTC)]
    assert "taken as UTC" in caplog.text


def test_times_of_another_zone_become_utc() -> None:
    time = pd.Timestamp("2025-03-01 10:00", tz="Asia/Seoul")
    table = arranged(rows(event_time=[time]))
    assert table["event_time"].to_pylist() == [datetime(2025, 3, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"event_time": ["yesterday"]}, "no time"),
        ({"event_time": [3.5]}, "is double; give it times"),
        ({"amount": ["much"]}, "is string, but the service takes Float64"),
        ({"customer_id": [1.5]}, "holds fractions"),
        ({"note": [object()]}, "mixes types"),
    ],
)
def test_what_does_not_fit_is_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        arranged(rows(**columns))


def test_a_column_that_is_there_twice_is_refused() -> None:
    frame = pd.concat([rows(), rows()[["amount"]]], axis=1)
    with pytest.raises(InputError, match="have amount twice"):
        arranged(frame)


def test_money_becomes_the_double_that_serving_gets() -> None:
    table = arranged(rows(amount=[Decimal("12.34")]))
    assert table["amount"].to_pylist() == [12.34]


def test_keys_that_a_gap_turned_into_floats_are_whole_again() -> None:
    frame = payments(2).assign(customer_id=[7.0, float("nan")])
    frame["event_time"] = START
    found = from_frame(frame, PLAN)
    assert found.table["customer_id"].to_pylist() == [7, None]
    assert found.keys(PLAN)["customer_id"].fillna("").tolist() == ["7", ""]


def test_a_category_and_a_text_are_the_same_column() -> None:
    frame = payments(20)
    as_category = frame.astype({"customer_id": "category"})
    assert content_sha256(arranged(frame)) == content_sha256(arranged(as_category))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_file_holds_the_same_rows_as_a_dataframe(tmp_path: Path, ending: str) -> None:
    frame, path = payments(20), tmp_path / f"rows{ending}"
    if ending == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    found = from_file(path, PLAN)
    assert content_sha256(found.table) == content_sha256(arranged(frame))
    assert (found.origin, found.source) == ("file", path.name)


def test_a_csv_s_ids_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("event_time,customer_id,amount\n2025-03-01T10:00:00Z,007,1\n")
    assert from_file(path, PLAN).table["customer_id"].to_pylist() == ["007"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        from_file(tmp_path / "rows.parquet", PLAN)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("no parquet")
    with pytest.raises(InputError, match=r"rows\.parquet cannot be read"):
        from_file(path, PLAN)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(arranged(payments(100)), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        from_file(path, PLAN)
