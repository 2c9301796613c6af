"""A view that asks its feature table for a column in vain is told before it is applied."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.types import Array, Bool, Float64, Int32, Int64, String

from mlops.objects import MemoryDocuments
from pipelines.features.buildlog import BuildLog, save_log
from pipelines.features.schemas.columns import Column, first_version
from pipelines.features.supply import load_columns, unsupplied
from pipelines.features.tables import CUSTOMER_SPEND
from tests.approvals import NOW

CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)


def view(dtype: Any = Int64, *, name: str = "n", **source: Any) -> FeatureView:
    given = {
        "name": "spend",
        "table": "spend",
        "database": "db",
        "data_source": "AwsDataCatalog",
        "timestamp_field": "event_time",
    }
    return FeatureView(
        name="spend_view",
        entities=[CUSTOMER],
        ttl=timedelta(days=1),
        schema=[Field(name="customer_id", dtype=String), Field(name=name, dtype=dtype)],
        source=AthenaSource(**(given | source)),
    )


def columns(kind: str = "bigint") -> dict[str, list[Column]]:
    return {
        "spend": [Column(name="customer_id", type="string"), Column(name="n", type=kind)],
    }


def test_what_is_there_is_no_complaint() -> None:
    assert unsupplied([view()], columns()) == []


def test_a_column_that_is_not_there_is_named_with_what_to_run() -> None:
    [fault] = unsupplied([view(name="m")], columns())
    assert "asks for column 'm', which feature table 'spend' does not have" in fault
    assert "mlops features schema evolve spend" in fault


def test_a_field_mapping_is_followed() -> None:
    assert unsupplied([view(name="m", field_mapping={"n": "m"})], columns()) == []


def test_tables_of_others_are_theirs() -> None:
    assert unsupplied([view(name="m", table="elsewhere")], columns()) == []


@pytest.mark.parametrize(
    ("dtype", "kind", "fits"),
    [
        (Int64, "int", True),
        (Int32, "bigint", False),
        (Float64, "decimal(18,2)", True),
        (Float64, "string", False),
        (String, "varchar(9)", True),
        (Bool, "bigint", False),
    ],
)
def test_a_type_must_hold_the_column_s_values(dtype: Any, kind: str, fits: bool) -> None:
    assert (unsupplied([view(dtype)], columns(kind)) == []) is fits


def test_a_type_that_feast_nests_is_left_to_feast() -> None:
    assert unsupplied([view(Array(Int64))], columns("array<bigint>")) == []


def test_what_is_on_record_counts_and_before_that_what_is_declared() -> None:
    documents = MemoryDocuments()
    assert load_columns(documents)["customer_spend"] == list(CUSTOMER_SPEND.schema)
    recorded = first_version(columns()["spend"], at=NOW, by="me")
    log = BuildLog(table="customer_spend").with_schema(recorded)
    save_log(documents, log, replacing=None)
    assert [c.name for c in load_columns(documents)["customer_spend"]] == ["customer_id", "n"]
