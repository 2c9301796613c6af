"""A row that says it is deleted is kept as a tombstone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float64, String

from mlops.deletion import DELETED_TAG, deleted_field
from mlops.errors import InputError
from mlops.stores.redis.batches import Batch, Limits, encode
from mlops.stores.redis.feast_views import online_view
from mlops.stores.redis.schema import HEADER, ROW, TOMBSTONE

CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def view(**tags: str) -> Any:
    return FeatureView(
        name="spend",
        entities=[CUSTOMER],
        schema=[Field(name="amount", dtype=Float64), Field(name="is_gone", dtype=Bool)],
        source=FileSource(name="rows", path="x.parquet", timestamp_field="at"),
        tags=tags,
    )


def kinds(*gone: bool | None, **tags: str) -> list[int]:
    count = len(gone)
    rows = pa.record_batch(
        {
            "customer_id": [f"c{n}" for n in range(count)],
            "amount": [1.5] * count,
            "is_gone": pa.array(gone, pa.bool_()),
            "at": pa.array([NOW] * count, pa.timestamp("us", "UTC")),
        }
    )
    stored = online_view("shop", _with_key(view(**tags)))
    packed = encode(Batch(stored, rows, "at"), now=NOW, limits=Limits())
    assert packed.refused == []
    for row in packed.rows:
        assert (len(row) == HEADER.size) == (row[0] == TOMBSTONE)
    return [row[0] for row in packed.rows]


def _with_key(of: Any) -> Any:
    of.entity_columns = [Field(name="customer_id", dtype=String)]
    return of


def test_only_true_means_deleted() -> None:
    found = kinds(True, False, None, deleted_field="is_gone")
    assert found == [TOMBSTONE, ROW, ROW]


def test_without_the_tag_it_is_a_feature_like_any_other() -> None:
    assert kinds(True, False) == [ROW, ROW]
    assert deleted_field(view()) is None


@pytest.mark.parametrize("name", ["amount", "nothing", ""])
def test_a_tag_that_names_no_bool_feature_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"'spend': deleted_field is '{name}', which"):
        online_view("shop", view(**{DELETED_TAG: name}))
