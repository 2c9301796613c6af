"""A row is exchanged where that very row stands, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import redis

from mlops.plan import PlannedField
from mlops.stores.redis.exchange import TIMES, Exchange, exchange, vanished
from mlops.stores.redis.link import Link
from mlops.stores.redis.views import StoredView, stored_view

VIEW = stored_view(
    "exchange",
    "spend",
    join_keys=[PlannedField(name="id", dtype="Int64")],
    features=[PlannedField(name="amount", dtype="Float64")],
    ttl_seconds=60,
)


def row(event: int, created: int, amount: float) -> bytes:
    schema = VIEW.schema
    return schema.fixed.pack(*schema.tag[:1], schema.fingerprint, event, created, b"\0", amount)


@dataclass(frozen=True)
class Store:
    client: redis.Redis
    link: Link
    view: StoredView = VIEW

    def put(self, key: bytes, stored: bytes) -> None:
        self.client.hset(key, self.view.field, stored)

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self.client.hget(key, self.view.field)  # type: ignore[assignment]
        return found

    def exchange(self, *asked: tuple[bytes, bytes, bytes]) -> list[bool]:
        keys, old, new = zip(*asked, strict=True)
        return exchange(self.link, Exchange(self.view, keys, [o[TIMES] for o in old], new))


@pytest.fixture
def store(client: redis.Redis, link: Link, project: str) -> Store:
    return Store(client, link)


def test_a_row_gives_way_to_an_older_one(store: Store, project: str) -> None:
    key = f"{project}:1".encode()
    store.put(key, row(20, 20, 2.0))
    assert store.exchange((key, row(20, 20, 2.0), row(10, 10, 1.0))) == [True]
    assert store.get(key) == row(10, 10, 1.0)


def test_a_row_is_taken_out_with_its_key(store: Store, project: str) -> None:
    key = f"{project}:1".encode()
    store.put(key, row(20, 20, 2.0))
    assert store.exchange((key, row(20, 20, 2.0), b"")) == [True]
    assert not store.client.exists(key)


@pytest.mark.parametrize("back", [row(10, 10, 1.0), row(20, 20, 2.0), row(30, 30, 3.0)])
def test_what_vanished_is_brought_back_by_any_row_and_by_no_other_tombstone(
    store: Store, project: str, back: bytes
) -> None:
    key, times = f"{project}:1".encode(), row(20, 20, 2.0)[TIMES]
    store.put(key, row(20, 20, 2.0))
    assert store.exchange((key, row(20, 20, 2.0), vanished(times))) == [True]
    assert store.get(key) == vanished(times)
    assert store.exchange((key, row(20, 20, 2.0), vanished(row(30, 30, 1.0)[TIMES]))) == [False]
    assert store.exchange((key, b"", back)) == [True]
    assert store.get(key) == back


def test_a_row_that_was_deleted_is_not_brought_back(store: Store, project: str) -> None:
    """A tombstone that was pushed is newer; only what vanished is the offline store's to undo."""
    key = f"{project}:1".encode()
    deleted = b"\x81\0\0\0\0" + row(20, 20, 2.0)[TIMES]
    store.put(key, deleted)
    assert store.exchange((key, row(20, 20, 2.0), row(10, 10, 1.0))) == [False]
    assert store.get(key) == deleted


@pytest.mark.parametrize("stands", [row(21, 20, 2.0), row(20, 21, 2.0), b"\x01short", None])
def test_another_row_stays(store: Store, project: str, stands: bytes | None) -> None:
    key = f"{project}:1".encode()
    if stands:
        store.put(key, stands)
    assert store.exchange((key, row(20, 20, 2.0), row(10, 10, 1.0))) == [False]
    assert store.get(key) == stands


def test_each_key_is_decided_on_its_own_and_again_does_nothing(store: Store, project: str) -> None:
    keys = [f"{project}:{n}".encode() for n in range(600)]
    for n, key in enumerate(keys):
        store.put(key, row(20 + n % 2, 20, 2.0))
    asked = [(key, row(20, 20, 2.0), b"") for key in keys]
    assert store.exchange(*asked) == [n % 2 == 0 for n in range(600)]
    assert store.exchange(*asked) == [False] * 600
