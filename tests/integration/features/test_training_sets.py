"""Datasets on the local AWS: exact, the same again after rebuilds, and nothing half there."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient

from mlops.feast import historical_features, open_store
from mlops.names import Role
from mlops.objects import S3Documents
from mlops.plan import load_plan, load_transformations
from mlops.settings import load_settings
from pipelines.datasets.desk import Datasets, Rows, open_datasets
from pipelines.datasets.store import ROWS

from .conftest import WORLD, Built, Finished, Workplace

pytestmark = pytest.mark.xdist_group("features-on-athena")

FIRST, LAST = (WORLD.start + timedelta(days=n) for n in (60, 80))
QUERY = f"""
SELECT payment_id, event_time, customer_id, terminal_id, amount, is_fraud FROM payments
WHERE "day" >= '{FIRST}' AND "day" < '{LAST}'
"""
NOTEBOOK = Path(__file__).parents[3] / "docs" / "examples" / "training-set.ipynb"
_KILLED = """
import os, signal, sys
from pipelines.datasets.desk import Rows, open_datasets

def die(step, done, total):
    if step == "upload" and done == 1:
        os.kill(os.getpid(), signal.SIGKILL)

open_datasets().build_from(
    Rows(entities=sys.argv[1]), name="killed", service="fraud_v1", force=True, progress=die
)
"""


class Scientist:
    """The `mlops datasets` command as a data scientist runs it."""

    def __init__(self, place: Workplace, cache: Path) -> None:
        self.place = place
        self.environment = place.local.environment(Role.DATA_SCIENTIST) | {
            "MLOPS_CACHE_DIR": str(cache)
        }

    def run(self, *arguments: str) -> Finished:
        return self.place.run("datasets", *arguments, **self.environment)

    def json(self, *arguments: str) -> Any:
        return self.place.json("datasets", *arguments, **self.environment)

    @property
    def desk(self) -> Datasets:
        return open_datasets(load_settings(self.environment), aws=self.place.aws)


@pytest.fixture(scope="module")
def scientist(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Scientist:
    return Scientist(built.place, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def first(scientist: Scientist) -> Any:
    """The record of train@1."""
    build = ("build", "train", "--service", "fraud_v1", "--query", QUERY, "--tag", "team=risk")
    return scientist.json(*build)


@pytest.fixture(scope="module")
def rows(first: Any, scientist: Scientist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of train@1, as a file."""
    path = tmp_path_factory.mktemp("rows") / "train.parquet"
    scientist.json("get", "train@1", "--output", str(path))
    return path


@pytest.fixture(scope="module")
def rebuilt(rows: Path, scientist: Scientist, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The record of train@2: the same entity rows, after late payments and a rebuilt table."""
    late = pq.read_table(scientist.place.payments).to_pandas()
    day = pd.Timestamp(FIRST, tz="UTC")
    late = late[late["event_time"].between(day, day + timedelta(days=3))]
    late = late.assign(payment_id="late-" + late["payment_id"].astype(str), amount=late["amount"])
    path = tmp_path_factory.mktemp("late") / "late.parquet"
    late.to_parquet(path, index=False)
    scientist.place.json("data", "import", str(path))
    days = ("--from", str(FIRST), "--to", str(LAST))
    scientist.place.json("features", "build", "customer_spend", *days, "--rebuild")
    return scientist.json("build", "train", "--service", "fraud_v1", "--like", "train@1")


def entity_columns(record: Any) -> list[str]:
    return [c["name"] for c in record["columns"] if c["role"] in {"time", "key", "entity"}]


def test_a_dataset_holds_what_the_point_in_time_join_answers(
    scientist: Scientist, first: Any, rows: Path
) -> None:
    found = pd.read_parquet(rows)
    given = found[entity_columns(first)]
    settings, aws = scientist.place.settings, scientist.place.aws
    plan = load_plan(S3Documents(aws, settings.names.artifact_bucket), "fraud_v1")
    functions = load_transformations(plan, settings.feature_repo)

    wanted = historical_features(open_store(settings, aws), plan, given, functions)

    assert len(found) == first["rows"] > 1000
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_its_record_says_who_built_it_from_what_at_which_price(first: Any) -> None:
    assert first["created_by"].endswith("mlops-local-data-scientist/local.data-scientist")
    assert first["entities"]["source"] == QUERY
    assert first["plan"]["service"] == "fraud_v1"
    (spend, risk) = first["tables"]
    assert (spend["view"], risk["view"]) == ("customer_spend", "terminal_risk")
    span = spend["current"][0]["days"]
    last = LAST - timedelta(days=1)
    assert span == {"first": str(FIRST - timedelta(days=3)), "last": str(last)}
    assert first["cost"]["scanned_bytes"] > 0
    assert first["cost"]["price"] > 0
    assert first["tags"] == {"team": "risk"}


def test_the_same_rows_from_a_file_are_the_same_dataset(
    scientist: Scientist, first: Any, rows: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    mixed = pd.read_parquet(rows, columns=entity_columns(first)).sample(frac=1, random_state=0)
    mixed.to_csv(path, index=False)
    again = scientist.json("build", "train", "--service", "fraud_v1", "--entities", str(path))
    assert again == first


def test_a_dry_run_tells_what_would_be_scanned_and_builds_nothing(scientist: Scientist) -> None:
    build = ("build", "never", "--service", "fraud_v1", "--query", QUERY, "--dry-run")
    scan = scientist.json(*build)
    assert scan["bytes"] == sum(size for _, size in scan["tables"]) > 0
    assert scan["price"] > 0
    assert scientist.run("show", "never").code == 4


def test_built_again_after_the_tables_were_rebuilt_it_is_the_same_bytes(
    scientist: Scientist, first: Any, rebuilt: Any
) -> None:
    assert rebuilt["sha256"] != first["sha256"]
    for version in (1, 2):
        done = scientist.json("rebuild", f"train@{version}")
        assert (done["same_bytes"], done["rows"]) == (True, first["rows"])


def test_the_difference_names_the_values_that_the_late_payments_changed(
    scientist: Scientist, rebuilt: Any
) -> None:
    found = scientist.json("diff", "train@1", "train@2")
    changed = {s["column"]: s["changed"] for s in found["shifts"]}
    assert (found["added"], found["removed"], found["columns"]) == (0, 0, [])
    assert changed["customer_count_7d"] > 0
    assert changed["terminal_count_7d"] == changed["amount"] == 0
    facts = {pair["what"]: pair for pair in found["facts"]}
    assert facts["generations of customer_spend"]["second"] != "g0001"


def test_as_of_the_first_build_it_is_the_first_dataset(
    scientist: Scientist, first: Any, rebuilt: Any
) -> None:
    like = ("--like", "train@1", "--as-of", first["created"])
    past = scientist.json("build", "past", "--service", "fraud_v1", *like)
    assert past["sha256"] == first["sha256"]


def test_an_import_is_walked_on_to_what_was_built_on_it(scientist: Scientist, rebuilt: Any) -> None:
    found = scientist.json("lineage", "--dataset", "train@2")
    views = {view["view"]: view for view in found["datasets"][0]["views"]}
    late = views["customer_spend"]["imports"][-1]
    assert late["file"].endswith("late.parquet")
    assert late not in views["terminal_risk"]["imports"]

    on = scientist.json("lineage", "--import", late["id"])

    names = [dataset["dataset"] for dataset in on["datasets"]]
    assert "train@2" in names
    assert "train@1" not in names
    view = scientist.json("lineage", "--view", "terminal_risk")
    assert {"train@1", "train@2"} <= {dataset["dataset"] for dataset in view["datasets"]}


def test_a_file_that_was_changed_in_s3_is_refused_and_put_back(
    scientist: Scientist, first: Any, tmp_path: Path
) -> None:
    scientist = Scientist(scientist.place, tmp_path / "other-machine")
    key, bucket = first["files"][0]["key"], scientist.place.settings.names.data_bucket
    s3 = scientist.place.local.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=b"changed")
    refused = scientist.run("get", "train@1", "--output", str(tmp_path / "train.parquet"))
    assert refused.code == 5
    assert "mlops datasets rebuild --restore" in refused.stderr
    assert not (tmp_path / "train.parquet").exists()

    assert scientist.json("rebuild", "train@1", "--restore")["restored"]

    scientist.json("get", "train@1", "--output", str(tmp_path / "train.parquet"))
    assert len(pd.read_parquet(tmp_path / "train.parquet")) == first["rows"]


def test_two_builds_at_once_get_two_versions(scientist: Scientist, rows: Path) -> None:
    given = Rows(
        pd.read_parquet(rows).iloc[:50][["event_time", "customer_id", "terminal_id", "amount"]]
    )

    def build(_: int) -> str:
        return scientist.desk.build_from(
            given, name="race", service="fraud_v1", force=True
        ).reference

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(build, range(2))) == ["race@1", "race@2"]


@pytest.fixture
def killed(scientist: Scientist, first: Any, rows: Path, tmp_path: Path) -> str:
    """Where a process that was killed in the middle of its upload left a file."""
    path = tmp_path / "rows.parquet"
    pd.read_parquet(rows, columns=entity_columns(first)).to_parquet(path)
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, path], env=scientist.environment, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    return f"{ROWS}killed/"


def test_a_killed_build_is_never_listed_and_is_swept(scientist: Scientist, killed: str) -> None:
    documents = S3Documents(scientist.place.aws, scientist.place.settings.names.data_bucket)
    assert len(list(documents.keys(killed))) == 1
    assert "killed" not in {record["name"] for record in scientist.json("list")}
    assert scientist.json("sweep")["objects"] == [], "it may still be running"

    scientist.json("sweep", "--older-than", "0")

    assert not list(documents.keys(killed))
    assert scientist.json("rebuild", "train@1")["same_bytes"], "what datasets have stays"


def test_a_removed_version_is_gone_and_known(scientist: Scientist, first: Any) -> None:
    like = ("build", "spare", "--service", "fraud_v1", "--like", "train@1")
    scientist.json(*like)
    scientist.json("rm", "spare@1")
    gone = scientist.run("get", "spare@1")
    assert gone.code == 4
    assert "were removed at" in gone.stderr
    assert scientist.json("show", "spare@1")["removed"]["by"].endswith("data-scientist")
    assert scientist.json(*like)["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build", "x", "--service", "none", "--query", QUERY], 4, "'none' is not applied"),
        (["build", "X", "--service", "fraud_v1", "--query", QUERY], 2, "no name for a dataset"),
        (["build", "x", "--service", "fraud_v1"], 2, "in one way"),
        (
            ["build", "x", "--service", "fraud_v1", "--query", "SELECT 1 AS amount"],
            2,
            "no column 'event_time'",
        ),
        (
            ["build", "x", "--service", "fraud_v1", "--query", f"{QUERY} AND 1 = 0"],
            2,
            "There are no entity rows",
        ),
        (["build", "x", "--service", "fraud_v1", "--query", "SELECT"], 1, "Athena query"),
        (
            ["build", "x", "--service", "fraud_v1", "--query", QUERY, "--as-of", "2001-01-01"],
            4,
            "has no snapshot of .* at 2001-01-01",
        ),
        (["build", "x", "--service", "fraud_v1", "--query", "@no.sql"], 2, "no file no.sql"),
        (["show", "none"], 4, "There is no dataset 'none'"),
        (["get", "a/b"], 2, "no name for a dataset"),
        (["diff", "train@1", "train@99"], 4, "There are train@1"),
        (["lineage"], 2, "Give one of --model"),
        (["lineage", "--model", "fraud/9"], 4, "fraud"),
    ],
)
def test_what_is_wrong_is_named_with_its_exit_code(
    scientist: Scientist, first: Any, arguments: list[str], code: int, message: str
) -> None:
    done = scientist.run(*arguments)
    assert done.code == code, done.stderr
    assert re.search(message, " ".join(done.stderr.split())), done.stderr


@pytest.fixture(scope="module")
def notebook(scientist: Scientist) -> list[Any]:
    """The code cells of the example, after a kernel ran them as a data scientist."""
    example = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(example, timeout=300, kernel_name="python3").execute(
        env=os.environ | scientist.environment, cwd=str(NOTEBOOK.parent)
    )
    return [cell for cell in example.cells if cell.cell_type == "code"]


def outputs(cell: Any, kind: str) -> list[str]:
    return [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]


def test_the_notebook_goes_from_entity_rows_to_a_dataset_its_statistics_and_a_plot(
    scientist: Scientist, notebook: list[Any]
) -> None:
    *_, named, statistics, plot, means = notebook
    record = scientist.json("show", "fraud-week")
    assert outputs(named, "text/plain") == [
        f"<Dataset {record['name']}@1: {record['rows']:,} rows of fraud_v1>"
    ]
    assert "terminal_fraud_share_7d" in outputs(statistics, "text/html")[0]
    (picture,) = outputs(plot, "image/png")
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert "is_fraud" in outputs(means, "text/html")[0]
