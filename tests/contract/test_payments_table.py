"""The raw payments behave alike in memory and on Athena, and a bucket as a source like a folder."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.local.lifecycle import LocalAws
from mlops.athena import Athena
from mlops.aws import Aws
from mlops.errors import Conflict, InputError, NotFound
from mlops.objects import Documents, MemoryDocuments, S3Documents
from mlops.settings import load_settings
from pipelines.data.ingestion.ingest import ingest
from pipelines.data.ingestion.intake import IngestOptions
from pipelines.data.ingestion.runs import IngestRun
from pipelines.data.ingestion.sources import LocalSource, S3Source, Source, open_source
from pipelines.data.memory import MemoryTable
from pipelines.data.payments import Partition, PaymentsTable, Visible
from pipelines.data.schema import ARROW
from pipelines.data.staging import to_parquet
from pipelines.data.store import RawTable, Store
from pipelines.data.units import ImportOptions
from pipelines.data.validation import Rules
from tests.unit.data.landing import as_csv, as_orc, as_parquet, payments, states, write

NOW = datetime(2025, 6, 1, tzinfo=UTC)
_PROJECTS = map("raw-{}".format, itertools.count())

pytestmark = pytest.mark.xdist_group("payments-table")


@dataclass
class Raw:
    """A payments table, its bucket, and what readers see of it."""

    table: RawTable
    documents: Documents
    rows: Callable[[], list[tuple[str, str, str]]]
    """Id, day and import."""

    @property
    def store(self) -> Store:
        return Store(self.table, self.documents, "s3://data", lambda: uuid.uuid4().hex[:12])

    def put(self, import_id: str, day: str, *ids: str) -> Partition:
        partition = Partition(day, import_id)
        self.documents.put(f"{partition.prefix}part-0.parquet", to_parquet(raw_rows(*ids)))
        self.table.register([partition])
        return partition


def raw_rows(*ids: str) -> pa.Table:
    columns = {f.name: pa.nulls(len(ids), f.type) for f in ARROW}
    return pa.table({**columns, "payment_id": pa.array(ids, pa.string())}, schema=ARROW)


def in_memory() -> Raw:
    documents = MemoryDocuments()
    table = MemoryTable(documents)
    return Raw(
        table,
        documents,
        lambda: sorted((r["payment_id"], r["day"], r["import_id"]) for r in table.rows()),
    )


def on_athena(local: LocalAws) -> Raw:
    environment = local.environment() | {"MLOPS_PROJECT": next(_PROJECTS)}
    settings, aws = load_settings(environment), Aws(local.session())
    names = settings.names
    for bucket in (names.data_bucket, names.staging_bucket):
        aws.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": settings.region}
        )
    aws.client("glue").create_database(DatabaseInput={"Name": names.database})
    output = {"OutputLocation": f"s3://{names.staging_bucket}/athena/"}
    aws.client("athena").create_work_group(
        Name=names.workgroup, Configuration={"ResultConfiguration": output}
    )
    athena = Athena(settings, aws)
    sql = 'SELECT payment_id, "day", import_id FROM payments ORDER BY 1, 2, 3'
    return Raw(
        PaymentsTable(names, aws, athena),
        S3Documents(aws, names.data_bucket),
        lambda: athena.rows(sql),
    )


@pytest.fixture(autouse=True)
def endpoint(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds the local AWS by the environment."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["memory", "athena"])
def raw(request: pytest.FixtureRequest) -> Raw:
    if request.param == "memory":
        return in_memory()
    made = on_athena(request.getfixturevalue("local_aws"))
    made.table.create()
    return made


def test_readers_see_what_is_registered_up_to_a_commit_and_not_hidden(raw: Raw) -> None:
    raw.put("00000001-a", "2025-01-01", "p1", "p2")
    raw.put("00000002-b", "2025-01-02", "q1")
    raw.put("00000003-c", "2025-01-01", "r1")
    raw.table.show(Visible(2))
    assert raw.rows() == [
        ("p1", "2025-01-01", "00000001-a"),
        ("p2", "2025-01-01", "00000001-a"),
        ("q1", "2025-01-02", "00000002-b"),
    ]
    raw.table.show(Visible(3, frozenset({"00000001-a"})))
    assert [row[0] for row in raw.rows()] == ["q1", "r1"]
    raw.table.show(Visible())
    assert raw.rows() == []


def test_registering_forgetting_and_creating_can_be_done_twice(raw: Raw) -> None:
    partition = raw.put("00000001-a", "2025-01-01", "p1")
    raw.table.create()
    raw.table.register([partition])
    raw.table.show(Visible(1))
    assert len(raw.rows()) == 1
    for _ in range(2):
        raw.table.unregister([partition])
        assert raw.rows() == []


def ids_file(folder: Path, *units: list[str]) -> Path:
    path = folder / "ids.parquet"
    pairs = [(name, unit) for unit, names in enumerate(units) for name in names]
    table = pa.table({"payment_id": [n for n, _ in pairs], "unit": [u for _, u in pairs]})
    pq.write_table(table, path)
    return path


def repeated(raw: Raw, path: Path, visible: Visible) -> list[tuple[Any, ...]]:
    found = raw.table.repeated(path, visible, name="test").to_pylist()
    return sorted(tuple(row.values()) for row in found)


def test_ids_are_taken_by_visible_imports_and_by_earlier_units(raw: Raw, tmp_path: Path) -> None:
    raw.put("00000001-a", "2025-01-01", "p1", "p2")
    raw.put("00000002-b", "2025-01-01", "p3")
    path = ids_file(tmp_path, ["p1", "new"], ["new", "p3", "p1"], ["other"])
    assert repeated(raw, path, Visible(2)) == [
        ("new", 1, None, 0),
        ("p1", 0, "00000001-a", 0),
        ("p1", 1, "00000001-a", 0),
        ("p3", 1, "00000002-b", 1),
    ]
    hiding = Visible(1, frozenset({"00000001-a"}))
    assert repeated(raw, path, hiding) == [("new", 1, None, 0), ("p1", 1, None, 0)]
    assert repeated(raw, path, Visible()) == [("new", 1, None, 0), ("p1", 1, None, 0)]


def test_a_table_of_an_older_layout_is_refused(local_aws: LocalAws) -> None:
    raw = on_athena(local_aws)
    table = raw.table
    assert isinstance(table, PaymentsTable)
    table._athena.run(
        "CREATE EXTERNAL TABLE payments (`a` string) STORED AS PARQUET LOCATION 's3://x/y/'"
    )
    with pytest.raises(Conflict, match="of a layout before imports could be corrected"):
        table.create()


def take(raw: Raw, source: Source, **changes: Any) -> IngestRun:
    rules = Rules(now=NOW, currency="EUR", file_currency="EUR")
    options = IngestOptions(ImportOptions(rules, "arn:someone", run="r"), **changes)
    return ingest(source, options, store=raw.store)


def test_files_are_taken_in_corrected_moved_and_retracted(raw: Raw, tmp_path: Path) -> None:
    write(tmp_path, "day=2025-01-01/a.parquet", as_parquet(payments(["p1", "moved"])))
    write(tmp_path, "day=2025-01-02/b.orc", as_orc(payments(["q1"], day=2)))
    write(tmp_path, "day=2025-01-03/c.csv", as_csv(payments(["r1"], day=3)))
    source = LocalSource(tmp_path)
    assert set(states(take(raw, source)).values()) == {"imported"}
    write(tmp_path, "day=2025-01-01/a.parquet", as_parquet(payments(["p1", "p2"])))
    write(tmp_path, "day=2025-01-02/b.orc", as_orc(payments(["moved"], day=2)))
    assert list(states(take(raw, source)).values()) == ["corrected", "corrected"]
    assert [(id_, day) for id_, day, _ in raw.rows()] == [
        ("moved", "2025-01-02"),
        ("p1", "2025-01-01"),
        ("p2", "2025-01-01"),
        ("r1", "2025-01-03"),
    ]


@pytest.fixture
def bucket(local_aws: LocalAws) -> str:
    name = f"landing-{uuid.uuid4().hex[:8]}"
    local_aws.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"}
    )
    return name


def opened(local: LocalAws, address: str) -> Source:
    return open_source(address, Aws(local.session()))


def test_a_prefix_is_a_folder_with_or_without_its_slash(local_aws: LocalAws, bucket: str) -> None:
    s3 = local_aws.client("s3")
    for key in ("land/day=1/a.csv", "land/b.csv", "landing/c.csv"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    for address in (f"s3://{bucket}/land", f"s3://{bucket}/land/"):
        source = opened(local_aws, address)
        assert source.uri == f"s3://{bucket}/land/"
        assert [file.path for file in source.files()] == ["b.csv", "day=1/a.csv"]
    [only] = opened(local_aws, f"s3://{bucket}/land/b.csv").files()
    assert (only.path, only.uri) == ("b.csv", f"s3://{bucket}/land/b.csv")
    assert len(list(opened(local_aws, f"s3://{bucket}").files())) == 3


def test_an_object_that_changed_or_is_gone_since_it_was_listed_is_told(
    local_aws: LocalAws, bucket: str, tmp_path: Path
) -> None:
    s3 = local_aws.client("s3")
    for key in ("a.csv", "b.csv"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    source = opened(local_aws, f"s3://{bucket}/")
    changed, gone = source.files()
    with source.opened(changed, tmp_path) as path:
        assert path.read_bytes() == b"x"
    assert list(tmp_path.iterdir()) == [], "the copy is removed"
    s3.put_object(Bucket=bucket, Key="a.csv", Body=b"y")
    s3.delete_object(Bucket=bucket, Key="b.csv")
    with (
        pytest.raises(Conflict, match="changed since it was listed"),
        source.opened(changed, tmp_path),
    ):
        pass
    with pytest.raises(NotFound, match="is there no longer"), source.opened(gone, tmp_path):
        pass


def test_a_bucket_that_is_not_there_is_named(local_aws: LocalAws) -> None:
    with pytest.raises(NotFound, match="no-such-bucket"):
        list(opened(local_aws, "s3://no-such-bucket/x/").files())


def test_what_s3_says_is_unchanged_is_not_downloaded(local_aws: LocalAws, bucket: str) -> None:
    raw = in_memory()
    source = opened(local_aws, f"s3://{bucket}/")
    assert isinstance(source, S3Source)
    local_aws.client("s3").put_object(
        Bucket=bucket, Key="day=2025-01-01/a.parquet", Body=as_parquet(payments(["p1"]))
    )
    assert list(states(take(raw, source)).values()) == ["imported"]
    again = take(raw, source)
    assert (again.unchanged, again.files) == (1, ())


def test_an_address_without_a_bucket_is_refused(local_aws: LocalAws) -> None:
    with pytest.raises(InputError, match="names no bucket"):
        opened(local_aws, "s3:///x")
