"""Payments become feature tables, training rows and online rows on the local Athena and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.athena import Athena
from mlops.errors import JobFailed
from mlops.feast import historical_features, open_store
from mlops.objects import S3Documents
from mlops.plan import FeaturePlan, load_plan, load_transformations
from mlops.stores.athena import staging

from .conftest import WORLD, Built, Workplace

pytestmark = pytest.mark.xdist_group("features-on-athena")

DAYS = WORLD.days
LAST = WORLD.start + timedelta(days=DAYS)
"""The last day whose snapshot can be built."""


@pytest.fixture(scope="module")
def athena(built: Built) -> Iterator[Athena]:
    connection = Athena(built.place.settings, built.place.aws)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def payments(built: Built) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(built.place.payments).to_pandas()
    return frame


@pytest.fixture(scope="module")
def plan(built: Built) -> FeaturePlan:
    documents = S3Documents(built.place.aws, built.place.settings.names.artifact_bucket)
    return load_plan(documents, "fraud_v1")


@pytest.fixture
def place(built: Built) -> Workplace:
    return built.place


def expected(payments: pd.DataFrame, customer: str, terminal: str, day: datetime) -> dict[str, Any]:
    """Features at 00:00 of a day, by looking at every payment; None for an unknown entity."""
    features: dict[str, Any] = {}
    past = payments[payments["event_time"] < day]
    own, there = past[past.customer_id == customer], past[past.terminal_id == terminal]
    for days in (1, 7, 30):
        seen = own[own.event_time >= day - timedelta(days=days)]
        end = day - timedelta(days=7)
        old = there[(there.event_time < end) & (there.event_time >= end - timedelta(days=days))]
        known, used = len(own) > 0, len(there) > 0
        features[f"customer_count_{days}d"] = len(seen) if known else None
        mean = seen.amount.mean() if len(seen) else 0.0
        features[f"customer_mean_amount_{days}d"] = mean if known else None
        features[f"terminal_count_{days}d"] = len(old) if used else None
        share = old.is_fraud.mean() if len(old) else 0.0
        features[f"terminal_fraud_share_{days}d"] = share if used else None
    return features


def same(found: Any, wanted: Any) -> bool:
    if wanted is None:
        return bool(pd.isna(found))
    return bool(np.isclose(found, wanted, atol=1e-9))


def test_the_import_takes_every_payment(built: Built, payments: pd.DataFrame) -> None:
    manifest = built.imported["manifest"]
    assert (manifest["rows_imported"], manifest["rows_refused"]) == (len(payments), 0)
    assert len(manifest["days"]) == DAYS
    assert manifest["imported_by"].split("/")[1] == "mlops-local-jenkins"


def test_the_table_holds_what_the_file_holds(athena: Athena, payments: pd.DataFrame) -> None:
    stored = athena.table(
        'SELECT payment_id, event_time, CAST(amount AS double) AS amount, is_fraud, "day" '
        "FROM payments WHERE import_id IS NOT NULL AND customer_id <> 'late-c'"
    ).to_pandas()
    both = stored.merge(payments, on="payment_id", suffixes=("", "_file"))
    assert len(both) == len(stored) == len(payments)
    times = both["event_time"].dt.tz_localize("UTC")
    assert (times == both["event_time_file"]).all()
    assert np.allclose(both["amount"], both["amount_file"], atol=1e-9)
    assert (times.dt.strftime("%Y-%m-%d") == both["day"]).all()


def test_the_same_file_is_not_imported_twice(built: Built) -> None:
    again = built.place.json("data", "import", str(built.place.payments))
    assert again["state"] == "already imported"


def test_a_backfill_may_be_longer_than_athena_s_limit_of_partitions(built: Built) -> None:
    assert {b["table"]: b["days"] for b in built.builds} == {
        "customer_spend": DAYS,
        "terminal_risk": DAYS,
    }
    assert {b["last"] for b in built.builds} == {str(LAST)}


def test_a_second_build_has_nothing_to_do(built: Built) -> None:
    assert [b["days"] for b in built.place.json("features", "build")] == [0, 0]


def test_every_key_has_one_row_a_day(athena: Athena, built: Built) -> None:
    for table, key in (("customer_spend", "customer_id"), ("terminal_risk", "terminal_id")):
        [(rows, distinct, days)] = athena.rows(
            f'SELECT count(*), count(DISTINCT {key} || "day"), count(DISTINCT "day") FROM {table}'
        )
        assert rows == distinct
        assert days == DAYS


def test_training_rows_hold_what_was_known_at_their_time(
    place: Workplace, payments: pd.DataFrame, plan: FeaturePlan
) -> None:
    rows = payments.sample(60, random_state=1)
    midnight = rows.head(1).assign(event_time=pd.Timestamp("2025-03-01", tz="UTC"))
    unknown = rows.head(1).assign(customer_id="nobody")
    rows = pd.concat([rows, midnight, unknown])
    store = open_store(place.settings, place.aws)
    functions = load_transformations(plan, place.settings.feature_repo)
    found = historical_features(store, plan, rows, functions)
    assert found["payment_id"].tolist() == rows["payment_id"].tolist()
    for row in found.to_dict("records"):
        day = row["event_time"].floor("D")
        wanted = expected(payments, row["customer_id"], row["terminal_id"], day)
        wrong = {n: (row[n], w) for n, w in wanted.items() if not same(row[n], w)}
        assert not wrong, (row["payment_id"], wrong)


def test_features_older_than_their_ttl_are_missing(
    place: Workplace, payments: pd.DataFrame, plan: FeaturePlan
) -> None:
    last = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC)
    times = [last + timedelta(days=3), last + timedelta(days=3, milliseconds=1)]
    rows = payments.tail(1).loc[lambda d: d.index.repeat(2)].assign(event_time=times)
    store = open_store(place.settings, place.aws)
    functions = load_transformations(plan, place.settings.feature_repo)
    found = historical_features(store, plan, rows, functions)["customer_count_30d"]
    assert found.isna().tolist() == [False, True]


def test_joining_leaves_no_table_and_no_staged_object(place: Workplace) -> None:
    names = place.settings.names
    keys = list(S3Documents(place.aws, names.staging_bucket).keys(""))
    assert [k for k in keys if not k.startswith("athena/")] == []
    assert [k for k in keys if k.startswith("athena/unload/")] == []
    tables = place.aws.client("glue").get_tables(DatabaseName=names.database)["TableList"]
    assert {t["Name"] for t in tables} == {
        "payments",
        "payments_rows",
        "customer_spend",
        "customer_spend_rows",
        "terminal_risk",
        "terminal_risk_rows",
    }


def test_applying_again_changes_nothing_and_planning_exits_by_what_it_found(
    built: Built, tmp_path: Path
) -> None:
    assert built.applied["services"] == ["credit_v1", "fraud_v1"]
    again = built.place.json("features", "apply")
    assert (again["changes"], again["services"]) == ([], [])
    assert built.place.run("features", "plan", "--detailed-exitcode").code == 0
    repo = tmp_path / "repo"
    repo.mkdir()
    for file in built.place.settings.feature_repo.glob("*.*"):
        (repo / file.name).write_text(file.read_text().replace("days=3", "days=4"))
    changed = {"MLOPS_FEATURE_REPO": str(repo)}
    assert built.place.run("features", "plan", "--detailed-exitcode", **changed).code == 10
    (repo / "services.py").unlink()
    assert built.place.run("features", "plan", "--detailed-exitcode", **changed).code == 11
    refused = built.place.run("features", "apply", **changed)
    assert refused.code == 5
    assert "--allow-delete" in refused.stderr


def online(
    place: Workplace, store: Any, customers: list[str], *, clock: str
) -> list[dict[str, float] | None]:
    """What Feast itself reads of customer_spend at that moment."""
    store.config.online_store.clock = clock
    asked = [{"customer_id": customer} for customer in customers]
    view = store.get_feature_view("customer_spend")
    references = [f"customer_spend:{feature.name}" for feature in view.features]
    found = store.get_online_features(references, asked).to_dict()
    del found["customer_id"]
    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return [None if set(row.values()) == {None} else row for row in rows]


def test_replayed_day_by_day_redis_holds_what_was_published_by_then(
    place: Workplace, payments: pd.DataFrame
) -> None:
    customers = sorted(payments["customer_id"].unique())[:5]
    store = open_store(place.settings, place.aws, online=True)
    for clock in ("2025-03-01T00:00:00Z", "2025-03-01T23:59:59Z", "2025-03-02T00:00:00Z"):
        reports = place.json("--clock", clock, "features", "upsync")
        day = pd.Timestamp(clock).floor("D")
        assert {pd.Timestamp(r["through"]) for r in reports} == {day}
        found = online(place, store, customers, clock=clock)
        for customer, row in zip(customers, found, strict=True):
            wanted = expected(payments, customer, "", day)
            assert row is not None
            assert all(same(value, wanted[name]) for name, value in row.items())
    assert online(place, store, ["nobody"], clock=clock) == [None]


def test_upsync_is_incremental_refuses_to_go_back_and_can_be_made_to(
    place: Workplace, payments: pd.DataFrame
) -> None:
    forward = ("--clock", "2025-04-10", "features", "upsync", "customer_spend")
    back = ("--clock", "2025-04-08", "features", "upsync", "customer_spend")
    place.json(*forward)
    assert [r["state"] for r in place.json(*forward)] == ["up to date"]
    refused = place.run(*back)
    assert refused.code == 5
    assert "--full" in refused.stderr
    place.json(*back, "--full")
    store = open_store(place.settings, place.aws, online=True)
    customer = payments["customer_id"].iloc[0]
    [row] = online(place, store, [customer], clock="2025-04-08")
    wanted = expected(payments, customer, "", pd.Timestamp("2025-04-08", tz="UTC"))
    assert row is not None
    assert all(same(value, wanted[name]) for name, value in row.items())


def test_a_rebuild_is_seen_at_once_and_reaches_redis(place: Workplace, athena: Athena) -> None:
    day = "2025-05-03"
    upsync = ("--clock", day, "features", "upsync", "terminal_risk")
    place.json(*upsync)
    [(before,)] = athena.rows(f"SELECT count(*) FROM terminal_risk WHERE \"day\" = '{day}'")
    options = ("--from", day, "--to", day, "--rebuild")
    [report] = place.json("features", "build", "terminal_risk", *options)
    assert (report["days"], report["rows"]) == (1, before)
    [(kept,)] = athena.rows(f"SELECT count(*) FROM terminal_risk_rows WHERE \"day\" = '{day}'")
    assert kept == 2 * before, "the older generation stays"
    [loaded] = place.json(*upsync)
    assert loaded["reason"] == "its table was rebuilt"


def test_upsync_without_redis_says_so_and_records_nothing(place: Workplace) -> None:
    before = place.json("features", "list")
    failed = place.run(
        "--clock", "2025-05-09", "features", "upsync", MLOPS_REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert failed.code == 7
    assert "Redis at 127.0.0.1:1 does not answer" in failed.stderr
    assert "mlops local up" in failed.stderr
    assert place.json("features", "list") == before


def late_payments(path: Path, payment_id: str, n: int = 40) -> Path:
    """Payments of an entity that no other test looks at, on a day that is built already."""
    table = pa.table(
        {
            "payment_id": [f"late-{i}" for i in range(n - 1)] + [payment_id],
            "event_time": pa.array(
                [datetime(2025, 5, 5, 12, tzinfo=UTC)] * n, pa.timestamp("ms", "UTC")
            ),
            "customer_id": ["late-c"] * n,
            "terminal_id": ["late-t"] * n,
            "amount": [10.0] * n,
            "currency": ["EUR"] * n,
            "is_fraud": [False] * n,
        }
    )
    pq.write_table(table, path)
    return path


def test_late_payments_are_added_reported_and_healed_by_a_rebuild(
    built: Built, payments: pd.DataFrame, tmp_path: Path, athena: Athena
) -> None:
    known = payments["payment_id"].iloc[0]
    file = late_payments(tmp_path / "late.parquet", known)
    report = built.place.json("data", "import", str(file))
    assert report["manifest"]["reasons"] == {"payment_id is in the table already": 1}
    stale = {b["table"]: b["stale_from"] for b in built.place.json("features", "build")}
    assert stale == {"customer_spend": "2025-05-06", "terminal_risk": "2025-05-06"}
    healed = built.place.json("features", "build", "--from", "2025-05-06", "--rebuild")
    assert [b["stale_from"] for b in healed] == [None, None]
    [(count,)] = athena.rows(
        "SELECT customer_count_7d FROM customer_spend "
        "WHERE customer_id = 'late-c' AND \"day\" = '2025-05-06'"
    )
    assert count == 39


def test_a_corrected_file_is_reported_and_healed_by_a_rebuild(
    built: Built, tmp_path: Path, athena: Athena
) -> None:
    file = late_payments(tmp_path / "corrected.parquet", "first-of-all")
    table = pq.read_table(file)
    ids = [f"corrected-{i}" for i in range(len(table))]
    for rows in (table, table.slice(0, 30)):
        column = pa.chunked_array([ids[: len(rows)]])
        pq.write_table(rows.set_column(0, "payment_id", column), file)
        run = built.place.json("data", "ingest", str(file))
        assert len(run["files"]) == 1
        stale = [b["stale_from"] for b in built.place.json("features", "build")]
        assert stale == ["2025-05-06", "2025-05-06"]
        healed = built.place.json("features", "build", "--from", "2025-05-06", "--rebuild")
        assert [b["stale_from"] for b in healed] == [None, None]
    assert run["files"][0]["state"] == "corrected"
    [(count,)] = athena.rows("SELECT count(*) FROM payments WHERE payment_id LIKE 'corrected-%'")
    assert count == 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1 cut off", "cannot be read"),
        (b"payment_id,amount\n1,2\n", "lacks event_time or TX_DATETIME"),
    ],
)
def test_a_bad_file_is_named_and_exits_with_2(
    built: Built, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.file"
    path.write_bytes(content)
    failed = built.place.run("data", "import", str(path))
    assert failed.code == 2
    assert "bad.file" in failed.stderr
    assert message in failed.stderr


def test_missing_settings_are_all_named(built: Built) -> None:
    failed = built.place.run("features", "plan", MLOPS_ENV="", MLOPS_ACCOUNT="")
    assert failed.code == 3
    assert "MLOPS_ENV, MLOPS_ACCOUNT" in failed.stderr


def test_a_query_that_fails_gives_athena_s_reason(athena: Athena) -> None:
    with pytest.raises(JobFailed, match="no_such_column"):
        athena.rows("SELECT no_such_column FROM payments")


def test_an_empty_result_keeps_its_columns(athena: Athena) -> None:
    empty = athena.table("SELECT payment_id, is_fraud FROM payments WHERE \"day\" = '1999-01-01'")
    assert empty.schema.names == ["payment_id", "is_fraud"]
    assert empty.num_rows == 0


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_what_a_killed_join_left_is_swept(place: Workplace) -> None:
    names, aws = place.settings.names, place.aws
    killed = staging.start_run(
        aws, database=names.database, base=f"s3://{names.staging_bucket}", now=LONG_AGO
    )
    killed.create_table({"n": "bigint"}, f"{killed.prefix}entity/")
    S3Documents(aws, names.staging_bucket).put(f"offline/{killed.id}/entity/rows.parquet", b"x")
    assert place.run("features", "sweep", "--dry-run").code == 0
    swept = place.json("features", "sweep")
    assert swept["removed"]
    assert swept["tables"] == [f"{staging.TABLES}{killed.id}"]
    assert swept["objects"] == [f"{killed.prefix}entity/rows.parquet"]
    again = place.json("features", "sweep")
    assert (again["tables"], again["objects"]) == ([], [])


def test_what_a_killed_build_left_is_swept_and_what_is_read_stays(
    place: Workplace, athena: Athena
) -> None:
    data = S3Documents(place.aws, place.settings.names.data_bucket)
    left = "features/customer_spend/generation=g0009/build=killed/day=2025-05-01/part"
    data.put(left, b"x" * 9)
    count = "SELECT count(*) FROM customer_spend"
    before = athena.rows(count)
    assert place.json("features", "sweep")["builds"] == [], "it is young"
    found = [{"table": "customer_spend", "build": "killed", "objects": 1, "bytes": 9}]
    assert place.json("features", "sweep", "--older-than", "0", "--dry-run")["builds"] == found
    assert place.json("features", "sweep", "--older-than", "0", "--no-builds")["builds"] == []
    assert list(data.keys(left)) == [left]
    assert place.json("features", "sweep", "--older-than", "0")["builds"] == found
    assert list(data.keys(left)) == []
    assert athena.rows(count) == before
    assert place.json("features", "sweep", "--older-than", "0")["builds"] == []
