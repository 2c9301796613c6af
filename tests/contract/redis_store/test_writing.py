"""Writers in any order end the same, and every row is accounted for."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.clock import FixedClock, SystemClock
from mlops.errors import Conflict, InputError
from mlops.stores.redis.batches import Batch, Limits
from mlops.stores.redis.decoding import ViewDecoder
from mlops.stores.redis.keys import schemas_key
from mlops.stores.redis.link import Link
from mlops.stores.redis.views import StoredView
from mlops.stores.redis.writing import OnlineWriter, WriteReport
from tests.online_rows import fields, view

NOW = datetime(2024, 5, 1, tzinfo=UTC)
CLOCK = FixedClock(NOW)
DAY = 86400


@dataclass(frozen=True)
class Version:
    """A row as a writer hands it over; without an amount it is a deletion."""

    customer: str
    minute: int
    created: int | None
    amount: float | None


def batch_of(versions: Sequence[Version], of: StoredView, *, start: datetime = NOW) -> Batch:
    moment = start - timedelta(days=1)
    columns = {
        "customer_id": [v.customer for v in versions],
        "event_time": [moment + timedelta(minutes=v.minute) for v in versions],
        "created": [
            None if v.created is None else moment + timedelta(minutes=v.created) for v in versions
        ],
        "amount": [v.amount for v in versions],
        "gone": [v.amount is None for v in versions],
    }
    times = pa.timestamp("us", "UTC")
    schema = pa.schema(
        [
            ("customer_id", pa.string()),
            ("event_time", times),
            ("created", times),
            ("amount", pa.float64()),
            ("gone", pa.bool_()),
        ]
    )
    rows = pa.RecordBatch.from_pydict(columns, schema)
    return Batch(of, rows, "event_time", created="created", deleted="gone")


def stored(link: Link, of: StoredView, customer: str) -> Any:
    return link.command("HGET", of.keys.key({"customer_id": customer}), of.field)


def amount(link: Link, of: StoredView, customer: str) -> Any:
    decoder = ViewDecoder(tuple(fields(amount="Float64")), {of.schema.tag: of.schema})
    return decoder.decode([stored(link, of, customer)], -(2**62)).values[0][0]


@pytest.fixture
def spend(project: str) -> StoredView:
    return view("spend", project=project, amount="Float64")


@pytest.fixture
def writer(link: Link) -> OnlineWriter:
    return OnlineWriter(link, CLOCK)


def write(writer: OnlineWriter, of: StoredView, *versions: Version, **options: Any) -> WriteReport:
    return writer.write(batch_of(versions, of), **options)


def test_a_newer_event_time_wins_and_an_older_one_is_skipped(
    writer: OnlineWriter, spend: StoredView
) -> None:
    write(writer, spend, Version("a", 5, 0, 1.0))
    report = write(writer, spend, Version("a", 4, 9, 2.0), Version("a", 6, 0, 3.0))
    assert (report.written, report.skipped) == (1, 1)
    assert amount(writer.link, spend, "a") == 3.0


def test_a_correction_of_the_same_event_time_overwrites(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    write(writer, spend, Version("a", 5, 1, 1.0))
    write(writer, spend, Version("a", 5, 2, 2.0))
    assert amount(link, spend, "a") == 2.0


def test_a_row_without_a_created_time_comes_before_all_others(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    write(writer, spend, Version("a", 5, -900_000, 1.0))
    assert write(writer, spend, Version("a", 5, None, 2.0)).skipped == 1
    assert amount(link, spend, "a") == 1.0


def test_the_same_row_again_is_skipped(writer: OnlineWriter, spend: StoredView) -> None:
    row = Version("a", 5, 1, 1.0)
    write(writer, spend, row)
    assert write(writer, spend, row).skipped == 1


def test_a_deleted_row_does_not_come_back_with_an_older_one(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    write(writer, spend, Version("a", 5, 1, 1.0), Version("a", 6, 1, None))
    write(writer, spend, Version("a", 5, 2, 2.0))
    assert amount(link, spend, "a") is None
    write(writer, spend, Version("a", 7, 0, 3.0))
    assert amount(link, spend, "a") == 3.0


VERSIONS = st.builds(
    Version,
    customer=st.sampled_from(["a", "b"]),
    minute=st.integers(0, 2),
    created=st.sampled_from([None, 0, 1]),
    amount=st.sampled_from([None, 1.0, 2.0]),
)


@pytest.mark.hypothesis
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(VERSIONS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_writers_in_any_order_and_any_batches_end_the_same(
    link: Link, versions: list[Version], chance: random.Random
) -> None:
    """The reference: the greatest (event time, created time, deleted, something of the bytes)."""
    ends = []
    for _ in range(3):
        spend = view("spend", project=uuid.uuid4().hex, amount="Float64")
        writers = [OnlineWriter(link, CLOCK) for _ in range(2)]
        shuffled = versions + chance.sample(versions, k=len(versions) // 2)
        chance.shuffle(shuffled)
        while shuffled:
            size = chance.randint(1, len(shuffled))
            write(chance.choice(writers), spend, *shuffled[:size])
            shuffled = shuffled[size:]
        ends.append([stored(link, spend, customer) for customer in "ab"])
        for customer, row in zip("ab", ends[-1], strict=True):
            check_is_newest(row, [v for v in versions if v.customer == customer], spend)
    assert ends[0] == ends[1] == ends[2]


def check_is_newest(row: bytes | None, versions: list[Version], spend: StoredView) -> None:
    if not versions:
        assert row is None
        return
    assert row is not None
    best = max(order(v) for v in versions)
    candidates = [v for v in versions if order(v) == best]
    decoder = ViewDecoder(tuple(fields(amount="Float64")), {spend.schema.tag: spend.schema})
    (found,) = decoder.decode([row], -(2**62)).values[0]
    assert found in [v.amount for v in candidates]


def order(version: Version) -> tuple[int, int, bool]:
    created = -1 if version.created is None else version.created
    return version.minute, created, version.amount is None


def test_overwriting_puts_an_older_row_over_a_newer_one(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    write(writer, spend, Version("a", 5, 1, 1.0))
    report = write(writer, spend, Version("a", 4, 1, 2.0), overwrite=True)
    assert report.written == 1
    assert amount(link, spend, "a") == 2.0


def test_what_is_no_row_gives_way_to_one(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    key = spend.keys.key({"customer_id": "a"})
    for rubbish in (b"", b"x", b"\x07" * 40, b"\x01" * 20):
        link.command("HSET", key, spend.field, rubbish)
        assert write(writer, spend, Version("a", 5, 1, 1.0)).written == 1
        assert amount(link, spend, "a") == 1.0


def test_a_key_that_is_no_hash_is_refused_and_the_rest_is_written(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    link.command("SET", spend.keys.key({"customer_id": "b"}), "text")
    report = write(writer, spend, *[Version(c, 5, 1, 1.0) for c in "abc"])
    assert (report.written, len(report.refused), report.rows) == (2, 1, 3)
    assert "no hash" in report.refused[0].reason
    assert amount(link, spend, "c") == 1.0


class TestRefusedRows:
    """A row that cannot be written is told with its place and reason; the others are written."""

    def refusals(self, report: WriteReport) -> list[tuple[int, str]]:
        return [(refusal.row, refusal.reason) for refusal in report.refused]

    def test_too_far_ahead(self, writer: OnlineWriter, spend: StoredView, link: Link) -> None:
        day = 24 * 60
        report = write(writer, spend, Version("a", day + 5, 0, 1.0), Version("b", day + 6, 0, 1.0))
        assert report.written == 1
        ((row, reason),) = self.refusals(report)
        assert row == 1
        assert reason.startswith("its event time lies 0:06:00 ahead of the clock (2024-05-01")
        assert stored(link, spend, "b") is None

    def test_the_tolerance_is_a_setting(self, link: Link, spend: StoredView) -> None:
        writer = OnlineWriter(link, CLOCK, Limits(ahead=timedelta(0)))
        assert len(write(writer, spend, Version("a", 24 * 60 + 1, 0, 1.0)).refused) == 1

    def test_without_an_id_or_a_time(self, writer: OnlineWriter, spend: StoredView) -> None:
        good = batch_of([Version("a", 5, 1, 1.0)], spend).rows
        no_id = good.set_column(0, "customer_id", pa.array([None], pa.string()))
        no_time = good.set_column(1, "event_time", pa.nulls(1, pa.timestamp("us", "UTC")))
        rows = pa.Table.from_batches([good, no_id, no_time]).combine_chunks().to_batches()[0]
        report = writer.write(Batch(spend, rows, "event_time"))
        assert report.written == 1
        assert self.refusals(report) == [
            (1, "a join key (customer_id) has no value"),
            (2, "'event_time' has no value"),
        ]

    def test_of_another_age_of_the_world(self, writer: OnlineWriter, spend: StoredView) -> None:
        rows = pa.record_batch(
            {"customer_id": ["a"], "event_time": pa.array([-(2**60)]), "amount": [1.0]}
        )
        ((_, reason),) = self.refusals(writer.write(Batch(spend, rows, "event_time")))
        assert "1684 to 2255" in reason

    def test_too_large(self, link: Link, project: str) -> None:
        texts = view("texts", project=project, text="String")
        rows = pa.record_batch(
            {
                "customer_id": ["a", "b"],
                "event_time": pa.array([1, 1]),
                "text": ["x" * 100, "x" * 10],
            }
        )
        writer = OnlineWriter(link, CLOCK, Limits(row_bytes=100))
        report = writer.write(Batch(texts, rows, "event_time"))
        assert report.written == 1
        assert self.refusals(report) == [(0, "it takes 126 bytes, over 100")]


def test_a_batch_of_another_schema_is_refused_whole(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    rows = pa.record_batch({"customer_id": ["a"], "event_time": pa.array([1]), "amount": ["much"]})
    with pytest.raises(InputError, match="'amount' is Float64; the rows have string"):
        writer.write(Batch(spend, rows, "event_time"))
    assert stored(link, spend, "a") is None


def test_views_written_together_are_each_accounted_for(
    writer: OnlineWriter, spend: StoredView, link: Link, project: str
) -> None:
    other = view("other", project=project, amount="Float64")
    versions = [Version(str(n), 5, 1, float(n)) for n in range(600)]
    write(writer, other, *[Version(str(n), 6, 1, -1.0) for n in range(0, 600, 2)])
    reports = writer.write_all([[batch_of(versions, spend), batch_of(versions, other)]])
    assert (reports["spend"].written, reports["spend"].skipped) == (600, 0)
    assert (reports["other"].written, reports["other"].skipped) == (300, 300)
    assert [amount(link, spend, c) for c in ("0", "599")] == [0.0, 599.0]
    assert [amount(link, other, c) for c in ("0", "599")] == [-1.0, 599.0]


def test_entities_that_are_new_and_that_are_not_may_come_in_one_call(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    write(writer, spend, Version("known", 5, 0, 1.0))
    report = write(
        writer,
        spend,
        Version("new", 1, 0, 2.0),
        Version("known", 4, 0, 3.0),
        Version("newer", 1, 0, 4.0),
        Version("new", 0, 0, 5.0),
        Version("known", 6, 0, 6.0),
    )
    assert (report.written, report.skipped) == (3, 2)
    assert [amount(link, spend, of) for of in ("new", "known", "newer")] == [2.0, 6.0, 4.0]


def test_views_of_different_entities_may_come_together(
    writer: OnlineWriter, spend: StoredView, project: str
) -> None:
    other = view("other", project=project, amount="Float64")
    together = [
        batch_of([Version("a", 1, 1, 1.0)], spend),
        batch_of([Version("b", 1, 1, 1.0), Version("c", 1, 1, 1.0)], other),
    ]
    reports = writer.write_all([together])
    assert (reports["spend"].written, reports["other"].written) == (1, 2)


class TestExpiry:
    """The key lives as long as the longest of its rows, by Redis' clock."""

    def write(self, link: Link, of: StoredView) -> int:
        """Write a row as of now; the milliseconds that its key lives."""
        now = datetime.now(UTC)
        batch = batch_of([Version("a", 24 * 60, 1, 1.0)], of, start=now)
        OnlineWriter(link, SystemClock()).write(batch)
        left: int = link.command("PTTL", of.keys.key({"customer_id": "a"}))
        return left

    def test_a_key_lives_for_its_ttl_and_an_eighth(self, link: Link, project: str) -> None:
        left = self.write(link, view(project=project, ttl_seconds=800, amount="Float64"))
        assert 890_000 < left <= 900_000

    def test_a_longer_ttl_extends_and_a_shorter_one_does_not_cut(
        self, link: Link, project: str
    ) -> None:
        short = view("short", project=project, ttl_seconds=DAY, amount="Float64")
        long = view("long", project=project, ttl_seconds=30 * DAY, amount="Float64")
        assert self.write(link, short) < 2 * DAY * 1000
        assert self.write(link, long) > 30 * DAY * 1000
        assert self.write(link, short) > 30 * DAY * 1000

    def test_a_view_that_never_expires_keeps_the_key_for_ever(
        self, link: Link, project: str
    ) -> None:
        short = view("short", project=project, ttl_seconds=DAY, amount="Float64")
        never = view("never", project=project, ttl_seconds=0, amount="Float64")
        self.write(link, short)
        assert self.write(link, never) == -1
        assert self.write(link, view("x", project=project, amount="Float64")) == -1

    def test_under_a_replayed_clock_nothing_expires(
        self, writer: OnlineWriter, spend: StoredView, link: Link
    ) -> None:
        write(writer, spend, Version("a", 5, 1, 1.0))
        assert link.command("PTTL", spend.keys.key({"customer_id": "a"})) == -1


def test_the_schema_is_kept_where_readers_find_it(
    writer: OnlineWriter, spend: StoredView, client: redis.Redis
) -> None:
    write(writer, spend, Version("a", 5, 1, 1.0))
    kept = client.hgetall(schemas_key(spend.project))
    assert kept == {spend.schema.fingerprint: b'[["amount","Float64"]]'}


def test_a_fingerprint_that_another_schema_has_is_a_conflict(
    writer: OnlineWriter, spend: StoredView, link: Link
) -> None:
    link.command("HSET", schemas_key(spend.project), spend.schema.fingerprint, b"[]")
    with pytest.raises(Conflict, match="'spend'"):
        write(writer, spend, Version("a", 5, 1, 1.0))
    assert stored(link, spend, "a") is None


def test_a_script_that_redis_lost_is_loaded_again_in_the_middle_of_a_batch(
    writer: OnlineWriter, spend: StoredView, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [Version(str(n), 5, 1, 1.0) for n in range(6000)]
    first, second = batch_of(versions[:3000], spend), batch_of(versions[3000:], spend)

    def batches() -> Any:
        yield [first]
        link.command("SCRIPT", "FLUSH")
        yield [second]

    assert writer.write_all(batches())["spend"].rows == 6000
    assert amount(link, spend, "5999") == 1.0
