"""What is handed over comes in once, is corrected by name, and is told when it is bad."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from mlops.errors import InputError
from pipelines.data.ingestion.runs import list_runs, read_run
from pipelines.data.ledger import load_ledger
from pipelines.data.manifests import list_manifests
from tests.unit.data.landing import (
    NOW,
    Landing,
    as_csv,
    as_orc,
    as_parquet,
    payments,
    replaced,
    states,
)


@pytest.fixture
def landing() -> Landing:
    return Landing()


def ids(n: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{i}" for i in range(n)]


def control(files: dict[str, Any]) -> bytes:
    return json.dumps({"files": files}).encode()


def test_every_format_comes_in(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.put("b.orc", as_orc(payments(["p2"])))
    landing.put("c.csv", as_csv(payments(["p3"])))
    landing.put("d.csv.gz", gzip.compress(as_csv(payments(["p4"]))))
    assert set(states(landing.ingest()).values()) == {"imported"}
    assert landing.ids_seen() == ["p1", "p2", "p3", "p4"]
    amounts = {(row["amount"], row["event_time"]) for row in landing.table.rows()}
    assert len(amounts) == 1


def test_what_came_in_is_not_read_again(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.ingest()
    again = landing.ingest()
    assert (again.files, again.unchanged) == ((), 1)


def test_the_same_content_under_another_name_comes_in_once(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.put("b.parquet", payments(["p1"]))
    assert states(landing.ingest()) == {"a.parquet": "imported", "b.parquet": "known"}
    landing.put("c.parquet", payments(["p1"]))
    assert states(landing.ingest()) == {"c.parquet": "known"}
    assert landing.ids_seen() == ["p1"]


def test_a_corrected_file_replaces_its_rows_and_retracts_those_that_are_gone(
    landing: Landing,
) -> None:
    landing.put("a.parquet", payments(["p1", "p2"]))
    landing.ingest()
    landing.put("a.parquet", payments(["p2", "p3"], day=2, amount=7.0))
    run = landing.ingest()
    assert states(run) == {"a.parquet": "corrected"}
    [file] = run.files
    assert file.manifest is not None
    assert file.manifest.rows_replaced == 2
    rows = landing.table.rows()
    assert [(r["payment_id"], r["day"], r["amount"]) for r in rows] == [
        ("p2", "2025-01-02", 7),
        ("p3", "2025-01-02", 7),
    ]


def test_what_a_correction_replaced_is_seen_as_of_before(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1", "p2"]))
    landing.ingest()
    landing.now = NOW + timedelta(days=1)
    landing.put("a.parquet", payments(["p2"]))
    landing.ingest()
    ledger, _ = load_ledger(landing.documents)
    assert landing.ids_seen(ledger.shown_as_of(NOW)) == ["p1", "p2"]
    assert landing.ids_seen(ledger.shown_as_of(landing.now)) == ["p2"]
    assert landing.ids_seen(ledger.shown_as_of(NOW - timedelta(seconds=1))) == []


def test_a_file_that_is_put_back_as_it_was_is_corrected_again(landing: Landing) -> None:
    for content in (["p1"], ["p2"], ["p1"]):
        landing.put("a.parquet", payments(content))
        landing.ingest()
    assert landing.ids_seen() == ["p1"]


def test_a_correction_that_is_refused_leaves_what_was_there(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.ingest()
    landing.put("a.parquet", payments(["p1"], amount=-1.0))
    assert states(landing.ingest()) == {"a.parquet": "refused"}
    assert landing.ids_seen() == ["p1"]


def test_a_payment_that_moved_to_another_file_is_neither_lost_nor_doubled(
    landing: Landing,
) -> None:
    landing.put("a.parquet", payments(["p1", "moved"]))
    landing.put("b.parquet", payments(["p2"]))
    landing.ingest()
    landing.put("a.parquet", payments(["p1", "moved", "x"]))
    landing.put("b.parquet", payments(["p2", "moved"], day=2))
    assert states(landing.ingest(share=0.5)) == {"a.parquet": "corrected", "b.parquet": "corrected"}
    assert landing.ids_seen() == ["moved", "p1", "p2", "x"]
    landing.put("a.parquet", payments(["p1", "x"]))
    landing.ingest()
    assert landing.ids_seen() == ["moved", "p1", "p2", "x"]
    [day] = {r["day"] for r in landing.table.rows() if r["payment_id"] == "moved"}
    assert day == "2025-01-02"
    assert any(m.revives for m in list_manifests(landing.documents))


def test_a_file_that_was_refused_for_moved_payments_comes_in_once_they_moved(
    landing: Landing,
) -> None:
    landing.put("b.parquet", payments(ids(20)))
    landing.ingest()
    landing.put("a.parquet", payments([*ids(10), "new"]))
    landing.put("b.parquet", payments(ids(20)[10:]))
    run = landing.ingest(group_files=1)
    assert states(run) == {"a.parquet": "imported", "b.parquet": "corrected"}
    assert landing.ids_seen() == sorted([*ids(20), "new"])


def test_payments_of_another_file_are_refused_with_its_name(landing: Landing) -> None:
    landing.put("a.parquet", payments(ids(5)))
    landing.put("b.parquet", payments([*ids(5), "new"]))
    run = landing.ingest()
    assert states(run) == {"a.parquet": "imported", "b.parquet": "refused"}
    assert run.failed[0].error is not None
    assert "5 x payment_id is in the table already (from s3://landing/payments/a.parquet)" in (
        run.failed[0].error
    )


def test_a_bad_file_does_not_stop_the_others(landing: Landing) -> None:
    landing.put("a.parquet", b"PAR1 cut off")
    landing.put("b.parquet", payments(["p1"]))
    landing.put("c.csv", b"nothing,of,interest\n1,2,3\n")
    run = landing.ingest()
    assert states(run) == {"a.parquet": "refused", "b.parquet": "imported", "c.csv": "refused"}
    errors = [file.error or "" for file in run.failed]
    assert "s3://landing/payments/a.parquet cannot be read" in errors[0]
    assert "s3://landing/payments/c.csv lacks payment_id" in errors[1]


def test_all_or_nothing_imports_nothing_when_one_file_is_refused(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.put("b.parquet", payments(["p2"], amount=-1.0))
    run = landing.ingest(all_or_nothing=True, group_files=1)
    assert states(run) == {"a.parquet": "held back", "b.parquet": "refused"}
    assert landing.ids_seen() == []
    landing.put("b.parquet", payments(["p2"]))
    assert set(states(landing.ingest(all_or_nothing=True)).values()) == {"imported"}


def test_all_or_nothing_counts_payments_that_are_known(landing: Landing) -> None:
    landing.put("old.parquet", payments(["p1"]))
    landing.ingest()
    landing.put("a.parquet", payments(["p2"]))
    landing.put("b.parquet", payments(["p1"], amount=9.0))
    run = landing.ingest(all_or_nothing=True)
    assert states(run) == {"a.parquet": "held back", "b.parquet": "refused"}
    assert landing.ids_seen() == ["p1"]


def test_an_overwritten_folder_replaces_files_of_other_names(landing: Landing) -> None:
    landing.put("day=2025-01-01/part-0-aaa.parquet", payments(["p1"]))
    landing.put("day=2025-01-01/part-1-aaa.parquet", payments(["p2"]))
    landing.put("day=2025-01-02/part-0-aaa.parquet", payments(["q1"], day=2))
    landing.ingest(whole_folders=True)
    landing.source.held = {
        path: body for path, body in landing.source.held.items() if "day=2025-01-02" in path
    }
    landing.put("day=2025-01-01/part-0-bbb.parquet", payments(["p2", "p3"]))
    landing.ingest(whole_folders=True)
    assert landing.ids_seen() == ["p2", "p3", "q1"]


def test_an_overwritten_folder_with_a_bad_file_stays_as_it_was(landing: Landing) -> None:
    landing.put("day=2025-01-01/a.parquet", payments(["p1"]))
    landing.ingest(whole_folders=True)
    landing.source.held.clear()
    landing.put("day=2025-01-01/b.parquet", payments(["p2"]))
    landing.put("day=2025-01-01/c.parquet", payments(["p3"], amount=-1.0))
    landing.put("day=2025-01-02/d.parquet", payments(["q1"], day=2))
    run = landing.ingest(whole_folders=True)
    assert states(run) == {
        "day=2025-01-01/b.parquet": "held back",
        "day=2025-01-01/c.parquet": "refused",
        "day=2025-01-02/d.parquet": "imported",
    }
    assert landing.ids_seen() == ["p1", "q1"]


def test_files_that_vanish_from_the_source_stay_in_the_table(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.ingest()
    landing.source.held.clear()
    landing.put("b.parquet", payments(["p2"]))
    landing.ingest()
    assert landing.ids_seen() == ["p1", "p2"]


def test_what_hive_hides_is_no_data(landing: Landing) -> None:
    hidden = ["_SUCCESS", ".part-0.crc", "_temporary/0/a.parquet", ".staging/a.parquet"]
    for path in (*hidden, "a.parquet._COPYING_"):
        landing.put(path, b"no payments")
    landing.put("empty.parquet", b"")
    landing.put("_day=1/a.parquet", payments(["p1"]))
    assert states(landing.ingest(day_folder=None)) == {"_day=1/a.parquet": "imported"}


def test_a_folder_without_success_waits_when_asked_to(landing: Landing) -> None:
    landing.put("one/day=2025-01-01/a.parquet", payments(["p1"]))
    landing.put("two/day=2025-01-01/b.parquet", payments(["p2"]))
    landing.put("one/_SUCCESS", b"")
    run = landing.ingest(require_success=True)
    assert states(run) == {
        "one/day=2025-01-01/a.parquet": "imported",
        "two/day=2025-01-01/b.parquet": "waiting",
    }
    assert not run.failed


def test_folders_fill_columns_that_files_lack(landing: Landing) -> None:
    table = payments(["p1"]).drop_columns(["customer_id"])
    landing.put("day=2025-01-01/CUSTOMER_ID=a%2Fb/x.parquet", table)
    landing.ingest()
    assert [row["customer_id"] for row in landing.table.rows()] == ["a/b"]


def test_rows_that_contradict_their_folder_are_kept_aside(landing: Landing) -> None:
    rows = pa.concat_tables([payments(ids(40)), payments(["other"], day=2)])
    landing.put("day=2025-01-01/currency=EUR/a.parquet", rows)
    [file] = landing.ingest().files
    assert file.manifest is not None
    assert file.manifest.reasons == {"event_time is not on the day of the folder (UTC)": 1}
    assert "other" not in landing.ids_seen()


def test_a_control_file_holds_files_to_what_was_sent(landing: Landing) -> None:
    for name in ("good", "short", "other"):
        landing.put(f"{name}.parquet", payments(ids(10, name)))
    sizes = {"rows": 10, "size": len(landing.source.held["good.parquet"])}
    landing.put(
        "_manifest.json",
        control(
            {
                "good.parquet": sizes,
                "short.parquet": {"rows": 11},
                "other.parquet": {"sha256": "0" * 64},
                "absent.parquet": {},
            }
        ),
    )
    landing.put("unnamed.parquet", payments(["u"]))
    run = landing.ingest()
    assert states(run) == {
        "absent.parquet": "missing",
        "good.parquet": "imported",
        "other.parquet": "refused",
        "short.parquet": "refused",
        "unnamed.parquet": "refused",
    }
    errors = {file.path: file.error or "" for file in run.failed}
    assert "11 rows, and it has 10" in errors["short.parquet"]
    assert "not named by _manifest.json" in errors["unnamed.parquet"]
    assert landing.ids_seen() == ids(10, "good")


def test_a_control_file_that_is_none_ends_the_run(landing: Landing) -> None:
    landing.put("_manifest.json", b'{"files": {"a.parquet": {"lines": 3}}}')
    with pytest.raises(InputError, match=r"_manifest\.json is no control file: files\.a\.parquet"):
        landing.ingest()


def test_a_name_for_the_source_makes_its_place_not_matter(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.ingest(known_as="warehouse")
    landing.source.uri = "s3://elsewhere/"
    assert landing.ingest(known_as="warehouse").unchanged == 1
    landing.put("a.parquet", payments(["p2"]))
    assert states(landing.ingest(known_as="warehouse")) == {"a.parquet": "corrected"}


def test_more_files_than_allowed_are_refused_before_any_is_read(landing: Landing) -> None:
    for n in range(3):
        landing.put(f"{n}.parquet", payments([f"p{n}"]))
    with pytest.raises(InputError, match=r"holds 3 files.*more than 2.*--max-files"):
        landing.ingest(most_files=2)


def test_a_file_larger_than_allowed_is_refused(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    run = landing.ingest(most_file_bytes=10)
    assert states(run) == {"a.parquet": "refused"}
    assert "--max-file-gib" in (run.failed[0].error or "")


def test_a_file_that_vanishes_or_changes_meanwhile_is_told(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    landing.put("b.parquet", payments(["p2"]))
    listed = list(landing.source.files())
    landing.source.files = lambda: iter(listed)  # type: ignore[method-assign]
    del landing.source.held["a.parquet"]
    landing.put("b.parquet", payments(["p3"]))
    run = landing.ingest()
    assert states(run) == {"a.parquet": "refused", "b.parquet": "refused"}
    assert [("no longer" in (f.error or ""), "changed" in (f.error or "")) for f in run.failed] == [
        (True, False),
        (False, True),
    ]


def test_a_valid_file_without_rows_comes_in(landing: Landing) -> None:
    landing.put("a.parquet", as_parquet(payments([])))
    assert states(landing.ingest()) == {"a.parquet": "imported"}
    assert landing.ingest().unchanged == 1


def test_a_dry_run_says_what_would_come_in_and_changes_nothing(landing: Landing) -> None:
    landing.put("a.parquet", payments(["p1"]))
    run = landing.ingest(dry_run=True)
    assert states(run) == {"a.parquet": "imported"}
    assert not landing.documents.stored


def test_a_run_is_on_record_file_by_file(landing: Landing) -> None:
    landing.put("day=2025-01-01/a.parquet", payments(["p1"]))
    run = landing.ingest()
    [name] = list_runs(landing.documents)
    assert read_run(landing.documents, name) == run
    [file] = run.files
    assert file.manifest is not None
    assert (file.manifest.first_event, file.manifest.last_event) == (
        datetime(2025, 1, 1, 12, tzinfo=UTC),
        datetime(2025, 1, 1, 12, tzinfo=UTC),
    )
    assert file.manifest.columns["amount"] == "double"
    assert (file.manifest.run, file.manifest.days) == ("run-1", ("2025-01-01",))


def test_a_column_of_the_wrong_type_is_told_with_the_file(landing: Landing) -> None:
    landing.put("a.parquet", replaced(payments(["p1"]), "is_fraud", pa.array([0.5])))
    assert "s3://landing/payments/a.parquet: Column is_fraud holds double" in (
        landing.ingest().failed[0].error or ""
    )
