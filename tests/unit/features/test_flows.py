"""What a view's tags say of pushing and logging, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Bool, Float64, Int64, Map, String

from mlops.downsync.flow import Flow, Kind, Thinning, flow_key, load_flows
from mlops.errors import InputError
from mlops.objects import MemoryDocuments
from pipelines.features.apply import apply_changes
from pipelines.features.definitions import Definitions
from pipelines.features.flows import compile_flows
from tests.unit.features.test_apply import load, replace, repo

__all__ = ["repo"]
CLICKS = [Field(name="user_id", dtype=Int64), Field(name="clicks", dtype=Float64)]


def view(tags: dict[str, str], *, push: bool = False, schema: list[Field] = CLICKS) -> Any:
    source: Any = FileSource(name="clicks_rows", path="x.parquet", timestamp_field="event_time")
    if push:
        source = PushSource(name="clicks_push", batch_source=source)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    return FeatureView(
        name="clicks",
        entities=[user],
        ttl=timedelta(days=1),
        schema=schema,
        source=source,
        tags=tags,
    )


def flows(tags: dict[str, str], **others: Any) -> dict[str, Flow]:
    views = (view(tags, **others),)
    return compile_flows(Definitions(Path("repo"), {"project": "p"}, (), (), views, (), ()))


def test_a_view_without_tag_and_push_source_has_no_flow() -> None:
    assert flows({}) == {}


def test_a_push_source_makes_a_flow_that_logs_nothing() -> None:
    found = flows({}, push=True)["clicks"]
    assert (found.push_source, found.logs) == ("clicks_push", ())
    assert [(f.name, f.dtype) for f in found.keys] == [("user_id", "Int64")]
    assert [(f.name, f.dtype) for f in found.features] == [("clicks", "Float64")]


def test_the_tags_say_what_is_kept() -> None:
    tags = {
        "downsync": "served, pushed",
        "downsync_ratio": "0.25",
        "downsync_by": "key",
        "downsync_seed": "7",
        "downsync_interval": "10m",
    }
    found = flows(tags)["clicks"]
    assert found.logs == (Kind.SERVED, Kind.PUSHED)
    assert found.thinning == Thinning(ratio=0.25, by="key", seed=7, interval_us=600_000_000)
    assert [found.table(kind) for kind in found.logs] == ["clicks_served", "clicks_pushed"]


GONE = Field(name="is_gone", dtype=Bool)


def test_a_tag_names_the_field_that_says_a_row_is_deleted() -> None:
    found = flows({"deleted_field": "is_gone"}, push=True, schema=[*CLICKS, GONE])["clicks"]
    assert found.deleted == "is_gone"
    assert flows({}, push=True)["clicks"].deleted is None


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"downsync": "served", "deleted_field": "clicks"}, "'clicks', which is Float64"),
        ({"downsync": "served", "deleted_field": "gone"}, "'gone', which is no feature of it"),
        ({"downsync": "guessed"}, "'guessed'. Use served, read, pushed"),
        ({"downsync": "served", "downsync_ratio": "0"}, "downsync_ratio"),
        ({"downsync": "served", "downsync_ratio": "1.5"}, "downsync_ratio"),
        ({"downsync": "served", "downsync_ratio": "much"}, "downsync_ratio"),
        ({"downsync": "served", "downsync_by": "day"}, "downsync_by"),
        ({"downsync": "served", "downsync_seed": "x"}, "downsync_seed"),
        ({"downsync": "served", "downsync_interval": "soon"}, "downsync_interval is 'soon'"),
    ],
)
def test_a_tag_that_says_nothing_is_refused_by_name(tags: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        flows(tags)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (Field(name="odd", dtype=Map), "odd is of type Map"),
        (Field(name="Clicks", dtype=Int64), "clicks twice"),
        (Field(name="event_id", dtype=String), "event_id must be called otherwise"),
        (Field(name="model", dtype=String), "model must be called otherwise"),
    ],
)
def test_columns_that_no_table_could_have_are_refused(extra: Field, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        flows({"downsync": "served"}, schema=[*CLICKS, extra])


def test_applying_writes_changes_and_removes_flows(repo: Path) -> None:
    documents = MemoryDocuments()
    assert apply_changes(load(repo), documents).flows == ("customer_spend", "terminal_risk")
    assert load_flows(documents)["customer_spend"].logs == (Kind.SERVED,)
    assert apply_changes(load(repo), documents).empty
    replace(repo / "views.py", '"downsync": "served"', '"downsync": "served,pushed"')
    changed = apply_changes(load(repo), documents)
    assert changed.flows == ("customer_spend", "terminal_risk")
    replace(repo / "views.py", '"pii": "false"} | LOGGED', '"pii": "false"}')
    assert apply_changes(load(repo), documents).flows == ("terminal_risk",)
    assert flow_key("terminal_risk") not in documents.stored
