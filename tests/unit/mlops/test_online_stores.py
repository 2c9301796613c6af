"""Online features come with the status that they have, whichever store holds them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlops.errors import NotFound, Unavailable
from mlops.plan import FeaturePlan
from mlops.stores.online import FeatureStatus, MemoryOnlineStore
from tests.serving_examples import NOW, build_plan, write_repo

ROW = {"customer_id": "c1", "terminal_id": "t1"}


@pytest.fixture
def plan(tmp_path: Path) -> FeaturePlan:
    return build_plan(write_repo(tmp_path))


async def test_every_reference_is_in_every_row(plan: FeaturePlan) -> None:
    store = MemoryOnlineStore()
    store.put("spend", ("c1",), NOW, {"payments": 3})
    reader = store.reader(plan, ["spend:payments", "spend:mean_amount", "risk:risk"])
    (row,) = await reader.read([ROW], now=NOW)
    assert {name: value.status for name, value in row.items()} == {
        "spend:payments": FeatureStatus.PRESENT,
        "spend:mean_amount": FeatureStatus.NULL,
        "risk:risk": FeatureStatus.NOT_FOUND,
    }
    assert row["spend:payments"].value == 3


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(days=3), FeatureStatus.PRESENT),
        (timedelta(days=3, seconds=1), FeatureStatus.OUTSIDE_MAX_AGE),
    ],
)
async def test_a_row_expires_by_its_views_ttl_on_the_platforms_clock(
    plan: FeaturePlan, age: timedelta, status: FeatureStatus
) -> None:
    store = MemoryOnlineStore()
    store.put("risk", ("t1",), NOW - age, {"risk": 0.5})
    (row,) = await store.reader(plan, ["risk:risk"]).read([ROW], now=NOW)
    assert row["risk:risk"].status == status
    assert row["risk:risk"].event_time == NOW - age


def test_a_reference_outside_the_plan_is_refused_by_name(plan: FeaturePlan) -> None:
    with pytest.raises(NotFound, match="spend:nothing"):
        MemoryOnlineStore().reader(plan, ["spend:nothing"])


async def test_a_store_that_is_down_says_so(plan: FeaturePlan) -> None:
    store = MemoryOnlineStore(down=Unavailable("down"))
    with pytest.raises(Unavailable):
        await store.reader(plan, ["risk:risk"]).read([ROW], now=NOW)
