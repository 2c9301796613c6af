"""The rows of a deleted view go from Redis, and no others, while nobody loads the view."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
import redis

from mlops.clock import FixedClock
from mlops.errors import Conflict, Unavailable
from mlops.objects import MemoryDocuments
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.target import RedisTarget
from mlops.stores.redis.writing import OnlineWriter
from pipelines.features.lease import Leases
from pipelines.features.removals import OnlineRemover, Removal
from pipelines.features.upsync.redis_target import mark_key
from tests.online_rows import view

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def write(link: Link, project: str, name: str, count: int) -> None:
    rows = pa.record_batch(
        {
            "customer_id": [str(n) for n in range(count)],
            "amount": [1.0] * count,
            "at": pa.array([NOW] * count, pa.timestamp("us", "UTC")),
        }
    )
    stored = view(name, project=project, amount="Float64")
    OnlineWriter(link, FixedClock(NOW)).write(Batch(stored, rows, "at"))


@pytest.fixture
def remover(link: Link) -> OnlineRemover:
    leases = Leases(MemoryDocuments(), clock=FixedClock(NOW))
    return OnlineRemover(lambda: link, leases, holder="test")


def removal(project: str) -> Removal:
    return Removal(project=project, view="spend", join_keys=("customer_id",))


def test_its_rows_and_its_mark_go_and_no_others(
    remover: OnlineRemover, link: Link, client: redis.Redis, project: str
) -> None:
    kept = f"{project}_2"
    for place, name in ((project, "spend"), (project, "spending"), (kept, "spend")):
        write(link, place, name, 3)
        client.set(mark_key(place, name), "run")
    assert remover(removal(project)) == 3
    assert remover(removal(project)) == 0
    fields = {key: sorted(client.hkeys(key)) for key in client.scan_iter(f"fs:{project}*")}
    assert sorted(map(tuple, fields.values())) == [(b"spend",)] * 3 + [(b"spending",)] * 3
    marks = sorted(client.scan_iter(f"mlops:upsync:{project}*"))
    expected = [mark_key(project, "spending"), mark_key(kept, "spend")]
    assert marks == sorted(mark.encode() for mark in expected)


def test_a_view_that_is_being_loaded_is_not_touched(
    remover: OnlineRemover, link: Link, project: str
) -> None:
    write(link, project, "spend", 1)
    remover.leases.take("spend", "an upsync")
    with pytest.raises(Conflict, match="being loaded by an upsync"):
        replace(remover, wait=0.0)(removal(project))
    assert remove_count(remover, project) == 1


def remove_count(remover: OnlineRemover, project: str) -> int:
    fresh = replace(remover, leases=Leases(MemoryDocuments(), clock=FixedClock(NOW)))
    return fresh(removal(project))


def test_without_redis_it_says_what_is_applied_and_what_is_left(
    remover: OnlineRemover, project: str
) -> None:
    nowhere = open_link(RedisTarget("127.0.0.1", 1), retries=0)
    with pytest.raises(Unavailable, match=r"are applied, but the rows of 'spend'.*apply' again"):
        replace(remover, link=lambda: nowhere)(removal(project))
    assert remover(removal(project)) == 0
