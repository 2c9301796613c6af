"""A warehouse hands files over, as a person, a job and a killed process take them in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.local.lifecycle import LocalAws
from mlops.athena import Athena
from mlops.aws import Aws
from mlops.names import Role
from mlops.settings import load_settings
from tests.commands import mlops
from tests.unit.data.landing import as_csv, as_orc, as_parquet, payments, write

MLOPS = Path(sys.executable).with_name("mlops")

pytestmark = pytest.mark.xdist_group("bad-payments")  # on the same platform


def answer(local: LocalAws, *arguments: str) -> Any:
    done = mlops_in(local, "data", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mlops_in(
    local: LocalAws, *arguments: str, role: Role = Role.INGESTION
) -> subprocess.CompletedProcess[str]:
    return mlops(*arguments, environment=local.environment(role))


def states_of(run: dict[str, Any]) -> list[str]:
    return [file["state"] for file in run["files"]]


def hand_over(local: LocalAws, key: str, body: bytes) -> None:
    local.client("s3").put_object(Bucket=local.names.data_bucket, Key=f"landing/{key}", Body=body)


@pytest.fixture
def seen(platform: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What readers see of payments whose ids begin so: id and day."""
    for name, value in platform.environment(Role.DATA_SCIENTIST).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    athena = Athena(settings, Aws(region=settings.region))

    def query(prefix: str, table: str = "payments") -> list[tuple[str, str]]:
        sql = (
            f"SELECT payment_id, \"day\" FROM {table} WHERE payment_id LIKE '{prefix}%' ORDER BY 1"
        )
        return [(str(id_), str(day)) for id_, day in athena.rows(sql)]

    return query


def test_files_of_a_bucket_are_taken_in_corrected_and_put_on_record(
    platform: LocalAws, seen: Any
) -> None:
    source = f"s3://{platform.names.data_bucket}/landing/bank/"
    hand_over(platform, "bank/day=2025-01-01/a.parquet", as_parquet(payments(["b1", "b2"])))
    hand_over(platform, "bank/day=2025-01-02/b.orc", as_orc(payments(["b3"], day=2)))
    hand_over(platform, "bank/day=2025-01-03/c.csv", as_csv(payments(["b4"], day=3)))
    hand_over(platform, "bank/_SUCCESS", b"")
    first = answer(platform, "ingest", source, "--require-success", "--currency", "EUR")
    assert states_of(first) == ["imported"] * 3
    hand_over(platform, "bank/day=2025-01-01/a.parquet", as_parquet(payments(["b1"])))
    hand_over(platform, "bank/day=2025-01-02/b.orc", as_orc(payments(["b2", "b3"], day=2)))
    second = answer(platform, "ingest", source, "--require-success", "--currency", "EUR")
    assert (states_of(second), second["unchanged"]) == (["corrected"] * 2, 1)
    assert seen("b") == [
        ("b1", "2025-01-01"),
        ("b2", "2025-01-02"),
        ("b3", "2025-01-02"),
        ("b4", "2025-01-03"),
    ]
    assert answer(platform, "ingests", second["run"]) == second
    history = answer(platform, "history", "bank/day=2025-01-01")
    assert [(one["rows"], bool(one["retracted"])) for one in history] == [(2, True), (1, False)]


def test_a_past_moment_and_taking_back(platform: LocalAws, seen: Any, tmp_path: Path) -> None:
    file = tmp_path / "past.parquet"
    file.write_bytes(as_parquet(payments(["past1", "past2"])))
    run = answer(platform, "ingest", str(file), "--currency", "EUR")
    done = mlops_in(
        platform, "data", "query", "--as-of", run["files"][0]["manifest"]["imported_at"]
    )
    assert done.returncode == 0, done.stderr
    name = run["files"][0]["uri"]
    assert len(answer(platform, "retract", name, "--dry-run")["retracted"]) == 1
    assert len(seen("past")) == 2
    answer(platform, "retract", name)
    assert seen("past") == []
    assert len(seen("past", f"({done.stdout})")) == 2
    swept = answer(platform, "sweep", "--older-than", "0")
    assert swept["imports"] >= 1
    assert mlops_in(platform, "data", "retract", name).returncode == 4


def test_a_bad_file_is_told_by_the_exit_code_and_the_others_come_in(
    platform: LocalAws, seen: Any, tmp_path: Path
) -> None:
    write(tmp_path, "good.parquet", as_parquet(payments(["told1"])))
    write(tmp_path, "bad.parquet", b"PAR1 cut off")
    done = mlops_in(platform, "data", "ingest", str(tmp_path), "--currency", "EUR", "--json")
    assert done.returncode == 2
    assert states_of(json.loads(done.stdout)) == ["refused", "imported"]
    assert "Files that did not come in: 1" in done.stderr
    assert "bad.parquet cannot be read" in done.stderr
    assert len(seen("told")) == 1
    shown = mlops_in(platform, "data", "ingest", str(tmp_path), "--currency", "EUR")
    assert "refused" in shown.stdout
    assert "Traceback" not in shown.stderr


def job(local: LocalAws, name: str, command: Sequence[str]) -> dict[str, Any]:
    """A SageMaker processing job, as EventBridge's scheduler would ask for it."""
    names, sagemaker = local.names, local.client("sagemaker", Role.SCHEDULER)
    environment = local.environment()
    sagemaker.create_processing_job(
        ProcessingJobName=f"{names.prefix}-{name}",
        RoleArn=names.role_arn(Role.INGESTION),
        AppSpecification={"ImageUri": "image", "ContainerEntrypoint": list(command)},
        Environment={k: v for k, v in environment.items() if k.startswith("MLOPS_")},
        ProcessingResources={
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 30,
            }
        },
    )
    watcher = local.client("sagemaker")
    for _ in range(600):
        found: dict[str, Any] = watcher.describe_processing_job(
            ProcessingJobName=f"{names.prefix}-{name}"
        )
        if found["ProcessingJobStatus"] in {"Completed", "Failed", "Stopped"}:
            return found
        time.sleep(0.2)
    raise AssertionError(f"The job has not ended: {found}")


def test_a_processing_job_takes_files_in_as_the_ingestion(platform: LocalAws, seen: Any) -> None:
    hand_over(platform, "job/day=2025-01-01/a.parquet", as_parquet(payments(["job1"])))
    source = f"s3://{platform.names.data_bucket}/landing/job/"
    command = [str(MLOPS), "data", "ingest", source, "--currency", "EUR"]
    ended = job(platform, "ingest-job", command)
    assert ended["ProcessingJobStatus"] == "Completed", ended
    assert len(seen("job")) == 1
    [one] = answer(platform, "history", "landing/job/")
    manifest = next(m for m in answer(platform, "list") if m["import_id"] == one["id"])
    assert "assumed-role/mlops-local-ingestion/" in manifest["imported_by"]


@pytest.mark.parametrize("seconds", [2.0, 3.0])
def test_a_killed_run_and_the_next_take_every_file_in_once(
    platform: LocalAws, seen: Any, tmp_path: Path, seconds: float
) -> None:
    prefix = f"kill{int(seconds * 10)}x"
    for day in range(1, 9):
        ids = [f"{prefix}{day}-{n}" for n in range(50)]
        write(tmp_path, f"day=2025-01-0{day}/a.parquet", as_parquet(payments(ids, day=day)))
    command = [str(MLOPS), "data", "ingest", str(tmp_path), "--currency", "EUR"]
    with subprocess.Popen(
        command,
        env=platform.environment(Role.INGESTION),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        time.sleep(seconds)
        running.send_signal(signal.SIGKILL)
    both = [
        subprocess.Popen(
            [*command, "--json"],
            env=platform.environment(Role.INGESTION),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        _, told = process.communicate()
        assert process.returncode == 0, told
    found = seen(prefix)
    assert len(found) == len(set(found)) == 400
