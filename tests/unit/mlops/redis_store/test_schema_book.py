"""What rows were written with is learnt once, and known to everyone who asked meanwhile."""

from __future__ import annotations

from mlops.plan import PlannedField
from mlops.stores.redis.schema import build_schema
from mlops.stores.redis.schema_book import SchemaBook

SCHEMA = build_schema("spend", [PlannedField(name="amount", dtype="Float64")])


def test_two_reads_that_ask_at_the_same_time_both_learn() -> None:
    book, known = SchemaBook("shop"), SCHEMA.document
    assert book.learn([SCHEMA.fingerprint], [known])
    assert book.learn([SCHEMA.fingerprint], [known])


def test_what_redis_does_not_have_is_not_learnt() -> None:
    assert not SchemaBook("shop").learn([SCHEMA.fingerprint], [None])
