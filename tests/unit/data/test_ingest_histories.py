"""Whatever happens to a folder and to the runs over it, the table is what the folder says."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.objects import Document, MemoryDocuments
from pipelines.data import writing
from pipelines.data.ingestion.ingest import ingest
from pipelines.data.ingestion.intake import IngestOptions
from pipelines.data.ingestion.runs import IngestRun
from pipelines.data.ledger import load_ledger
from pipelines.data.memory import MemorySource, MemoryTable
from pipelines.data.payments import Partition, Visible
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions
from pipelines.data.validation import Rules

NOW = datetime(2025, 6, 1, tzinfo=UTC)
Row = tuple[int, int, int]
"""Id, day and amount."""
Content = tuple[Row, ...]


class Killed(BaseException):
    """The process is gone: nothing that it would still do happens."""


@dataclass
class Fate:
    """What happens to a run at one of its steps."""

    at: int | None = None
    """The step, counted from 0; None lets the run be."""
    applied: bool = True
    """Whether the step itself still takes effect."""
    meanwhile: Callable[[], None] | None = None
    """Done by someone else at that step, instead of a kill."""
    steps: int = 0
    dead: bool = False

    def step(self, act: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        number, self.steps = self.steps, self.steps + 1
        if number != self.at:
            return act()
        if self.meanwhile is not None:
            self.meanwhile()
            return act()
        self.dead = True
        if self.applied:
            act()
        raise Killed


@dataclass
class FatedDocuments:
    """A bucket whose every change is a step."""

    inner: MemoryDocuments
    fate: Fate

    def get(self, key: str) -> Document:
        return self.inner.get(key)

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        done: Document = self.fate.step(lambda: self.inner.put(key, body, etag=etag))
        return done

    def create(self, key: str, body: bytes) -> Document:
        done: Document = self.fate.step(lambda: self.inner.create(key, body))
        return done

    def keys(self, prefix: str) -> Iterator[str]:
        return self.inner.keys(prefix)

    def etags(self, prefix: str) -> dict[str, str]:
        return self.inner.etags(prefix)

    def copy(self, source: str, target: str) -> None:
        self.fate.step(lambda: self.inner.copy(source, target))

    def delete(self, key: str) -> None:
        self.fate.step(lambda: self.inner.delete(key))


@dataclass
class FatedTable:
    """A table whose every change is a step."""

    inner: MemoryTable
    fate: Fate

    def create(self) -> None:
        self.inner.create()

    def register(self, partitions: list[Partition]) -> None:
        for partition in partitions:  # the catalog takes them one by one
            self.fate.step(partial(self.inner.register, [partition]))

    def unregister(self, partitions: list[Partition]) -> None:
        self.fate.step(lambda: self.inner.unregister(partitions))

    def show(self, visible: Visible) -> None:
        self.fate.step(lambda: self.inner.show(visible))

    def repeated(self, ids: Path, visible: Visible, *, name: str) -> pa.Table:
        found: pa.Table = self.fate.step(lambda: self.inner.repeated(ids, visible, name=name))
        return found


@dataclass
class Place:
    """A landing folder and the raw payments."""

    source: MemorySource = field(default_factory=MemorySource)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    ids: Iterator[str] = field(default_factory=lambda: map("n{}".format, itertools.count()))
    contents: dict[str, Content] = field(default_factory=dict)
    """By checksum."""

    def __post_init__(self) -> None:
        self.table = MemoryTable(self.documents)

    def hand_over(self, path: str, content: Content) -> None:
        body = parquet(content)
        self.source.held[path] = body
        self.contents[checksum(body)] = content

    def run(self, fate: Fate | None = None, **changes: Any) -> IngestRun | None:
        fate = fate or Fate()
        store = Store(
            FatedTable(self.table, fate),  # type: ignore[arg-type]  # lists where sequences do
            FatedDocuments(self.documents, fate),
            "s3://data",
            lambda: next(self.ids),
        )
        rules = Rules(now=NOW, currency="EUR", file_currency="EUR")
        options = IngestOptions(
            ImportOptions(rules, "arn:someone", max_bad_share=1.0, run="r"),
            **{"day_folder": None, "group_files": 2, **changes},
        )
        try:
            return ingest(self.source, options, store=store)
        except Killed:
            return None

    def seen(self, visible: Visible | None = None) -> list[Row]:
        return sorted(
            (int(r["payment_id"]), int(r["day"][-2:]), int(r["amount"]))
            for r in self.table.rows(visible)
        )


def parquet(content: Content) -> bytes:
    table = pa.table(
        {
            "payment_id": pa.array([str(i) for i, _, _ in content], pa.string()),
            "event_time": pa.array(
                [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=d - 1) for _, d, _ in content],
                pa.timestamp("ms", "UTC"),
            ),
            "customer_id": ["c"] * len(content),
            "terminal_id": ["t"] * len(content),
            "amount": pa.array([float(a) for _, _, a in content], pa.float64()),
            "is_fraud": pa.array([False] * len(content), pa.bool_()),
        },
        schema=SCHEMA,
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


SCHEMA = pa.schema(
    [
        ("payment_id", pa.string()),
        ("event_time", pa.timestamp("ms", "UTC")),
        ("customer_id", pa.string()),
        ("terminal_id", pa.string()),
        ("amount", pa.float64()),
        ("is_fraud", pa.bool_()),
    ]
)


def checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture(autouse=True)
def one_upload_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a step has the same number each time."""
    monkeypatch.setattr(writing, "_UPLOADS", 1)


rows = st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 3))
contents = st.lists(rows, max_size=5, unique_by=lambda r: r[0]).map(tuple)
paths = st.sampled_from(["a.parquet", "day=1/b.parquet", "day=1/c.parquet", "d.parquet"])
kills = st.none() | st.tuples(st.integers(0, 30), st.booleans())
histories = st.lists(st.tuples(st.lists(st.tuples(paths, contents), max_size=4), kills), max_size=4)


AT_LENGTH = settings(
    max_examples=settings().max_examples // 3,  # each is several whole runs
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def fate_of(kill: tuple[int, bool] | None) -> Fate:
    return Fate() if kill is None else Fate(at=kill[0], applied=kill[1])


def check(place: Place) -> None:
    """Every payment of a current file once, as one of the files has it."""
    ledger, _ = load_ledger(place.documents)
    files = {name: place.contents[a.sha256] for name, a in ledger.files.items()}
    expected = {f"{place.source.uri}{p}": checksum(b) for p, b in place.source.held.items()}
    assert {n: a.sha256 for n, a in ledger.files.items() if n in expected} == expected
    held = {row for content in files.values() for row in content}
    seen = place.seen()
    assert sorted(i for i, _, _ in seen) == sorted({i for i, _, _ in held})
    assert set(seen) <= held


@AT_LENGTH
@given(histories)
def test_after_any_history_every_payment_of_the_last_files_is_there_once(
    history: list[tuple[list[tuple[str, Content]], tuple[int, bool] | None]],
) -> None:
    place = Place()
    for changes, kill in history:
        for path, content in changes:
            place.hand_over(path, content)
        place.run(fate_of(kill))
    place.run()
    check(place)
    before = place.seen()
    again = place.run()
    assert again is not None
    assert again.files == ()
    assert place.seen() == before


@AT_LENGTH
@given(st.permutations(range(1, 10)), st.integers(1, 4), st.data())
def test_any_split_order_and_interruption_gives_what_one_file_gives(
    order: list[int], files: int, data: st.DataObject
) -> None:
    final = [(i, i % 3 + 1, i) for i in order]
    place, names = Place(), ["a.parquet", "b.parquet", "c.parquet", "d.parquet"][:files]
    for name in data.draw(st.permutations(names)):  # earlier versions, of anything
        place.hand_over(name, data.draw(contents))
        place.run(fate_of(data.draw(kills)))
    for position, name in data.draw(st.permutations(list(enumerate(names)))):
        place.hand_over(name, tuple(final[position::files]))
        place.run(fate_of(data.draw(kills)))
    place.run()
    whole = Place()
    whole.hand_over("whole.parquet", tuple(final))
    whole.run()
    assert place.seen() == whole.seen() == sorted(final)


@AT_LENGTH
@given(histories, st.integers(0, 25), st.lists(st.tuples(paths, contents), max_size=3), kills)
def test_two_runs_at_once_behave_as_one_after_the_other(
    history: list[tuple[list[tuple[str, Content]], tuple[int, bool] | None]],
    at: int,
    late: list[tuple[str, Content]],
    kill: tuple[int, bool] | None,
) -> None:
    place = Place()
    for changes, _ in history:
        for path, content in changes:
            place.hand_over(path, content)

    def meanwhile() -> None:
        for path, content in late:
            place.hand_over(path, content)
        place.run(fate_of(kill))

    place.run(Fate(at=at, meanwhile=meanwhile))
    place.run()
    check(place)


@AT_LENGTH
@given(histories)
def test_what_readers_saw_at_a_commit_stays_as_it_was(
    history: list[tuple[list[tuple[str, Content]], tuple[int, bool] | None]],
) -> None:
    place, saw = Place(), {}
    for changes, _ in history:
        for path, content in changes:
            place.hand_over(path, content)
        place.run()
        ledger, _ = load_ledger(place.documents)
        saw[ledger.published] = place.seen()
    ledger, _ = load_ledger(place.documents)
    assert {commit: place.seen(ledger.shown(commit)) for commit in saw} == saw
