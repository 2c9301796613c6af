"""Files are taken back by name; what nobody reads goes when its retention ends."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops.errors import NotFound
from pipelines.data.ledger import load_ledger
from pipelines.data.manifests import list_manifests
from pipelines.data.retention import retract, sweep
from tests.unit.data.landing import NOW, Landing, payments

LATER = NOW + timedelta(days=1)


@pytest.fixture
def landing() -> Landing:
    """A file that was corrected, and another one."""
    landing = Landing()
    landing.put("a.parquet", payments(["p1", "p2"]))
    landing.put("b.parquet", payments(["q1"]))
    landing.ingest()
    landing.put("a.parquet", payments(["p1"], day=2))
    landing.ingest()
    return landing


def raw(landing: Landing) -> list[str]:
    return list(landing.documents.keys("raw/"))


def test_a_file_that_is_taken_back_is_seen_no_longer(landing: Landing) -> None:
    name = "s3://landing/payments/b.parquet"
    [gone] = retract([name], landing.imports(), store=landing.store)
    assert (gone.file, gone.rows) == (name, 1)
    assert landing.ids_seen() == ["p1"]


def test_what_another_file_repeated_comes_to_light_when_a_file_is_taken_back(
    landing: Landing,
) -> None:
    landing.put("c.parquet", payments(["q1", "r1"], amount=5.0))
    landing.ingest(share=0.5)
    retract(["s3://landing/payments/b.parquet"], landing.imports(), store=landing.store)
    assert landing.ids_seen() == ["p1", "q1", "r1"]


def test_a_file_that_was_taken_back_comes_in_when_it_is_handed_over_again(
    landing: Landing,
) -> None:
    retract(["s3://landing/payments/b.parquet"], landing.imports(), store=landing.store)
    landing.ingest()
    assert landing.ids_seen() == ["p1", "q1"]


def test_a_dry_run_takes_nothing_back(landing: Landing) -> None:
    options = landing.imports(dry_run=True)
    gone = retract(["s3://landing/payments/b.parquet"], options, store=landing.store)
    assert len(gone) == 1
    assert landing.ids_seen() == ["p1", "q1"]


def test_an_unknown_file_is_named(landing: Landing) -> None:
    with pytest.raises(NotFound, match=r"No current file is called x\.parquet"):
        retract(["x.parquet"], landing.imports(), store=landing.store)


def test_what_was_retracted_long_ago_is_removed_with_its_files(landing: Landing) -> None:
    before, seen = raw(landing), landing.ids_seen()
    done = sweep(landing.store, before=LATER, dry_run=False)
    assert (done.imports, done.leftovers) == (1, 0)
    assert len(raw(landing)) == len(before) - 1
    assert landing.ids_seen() == seen
    ledger, _ = load_ledger(landing.documents)
    assert not ledger.shown().hidden
    assert {p.day for p in landing.table.registered} == {"2025-01-01", "2025-01-02"}
    again = sweep(landing.store, before=LATER, dry_run=False)
    assert (again.imports, again.objects) == (0, 0)


def test_what_was_retracted_lately_stays(landing: Landing) -> None:
    before = raw(landing)
    assert sweep(landing.store, before=NOW, dry_run=False).imports == 0
    assert raw(landing) == before


def test_a_dry_run_removes_nothing(landing: Landing) -> None:
    before = dict(landing.documents.stored)
    done = sweep(landing.store, before=LATER, dry_run=True)
    assert (done.imports, done.objects) == (1, 1)
    assert landing.documents.stored == before


def test_what_a_killed_run_left_is_removed_and_what_may_still_win_is_not(
    landing: Landing,
) -> None:
    ledger, _ = load_ledger(landing.documents)
    lost, running = f"{ledger.commits:08d}-dead", ledger.next_id("live")
    for import_id in (lost, running):
        landing.documents.put(f"raw/payments/day=2025-01-01/import_id={import_id}/a.parquet", b"x")
        landing.documents.put(f"imports/payments/{import_id}.json", b"x")
    done = sweep(landing.store, before=NOW, dry_run=False)
    assert (done.leftovers, done.objects) == (2, 2)
    assert not [key for key in landing.documents.stored if lost in key]
    assert len([key for key in landing.documents.stored if running in key]) == 2
    assert len(list_manifests(landing.documents)) == 2
