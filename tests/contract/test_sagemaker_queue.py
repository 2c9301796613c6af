"""Jobs that wait for a place, and jobs that do not want to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.sagemaker.service import SageMakerJobs
from infra.local.service import Caller
from infra.local.settings import ACCOUNT, REGION
from tests.conftest import Clients
from tests.contract.sagemaker_requests import Studio, until

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

CALLER = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root")
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.environ["MARK"], "w").close()
time.sleep(300)
"""


@pytest.fixture(scope="module")
def studio(aws: Clients) -> Studio:
    return Studio(aws, bucket="sagemaker-queue").prepare()


@pytest.fixture
def jobs(local_aws: LocalAws, tmp_path: Path) -> Iterator[SageMakerJobs]:
    """SageMaker with place for one job, that waits half a second for one to end."""
    service = SageMakerJobs(
        local_aws.endpoint,
        tmp_path,
        ACCOUNT,
        REGION,
        slots=threading.BoundedSemaphore(1),
        grace=0.5,
    )
    yield service
    service.close()


def start(jobs: SageMakerJobs, request: dict[str, Any]) -> str:
    jobs.handle("CreateProcessingJob", request, CALLER)
    return str(request["ProcessingJobName"])


def describe(jobs: SageMakerJobs, name: str) -> dict[str, Any]:
    return jobs.handle("DescribeProcessingJob", {"ProcessingJobName": name}, CALLER)


def stop(jobs: SageMakerJobs, name: str) -> None:
    jobs.handle("StopProcessingJob", {"ProcessingJobName": name}, CALLER)


def test_a_job_waits_until_there_is_place(
    jobs: SageMakerJobs, studio: Studio, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    first = start(jobs, studio.processing(wait))
    until(lambda: "ProcessingStartTime" in describe(jobs, first))
    second, third = (start(jobs, studio.processing("")) for _ in range(2))
    assert describe(jobs, second)["ProcessingJobStatus"] == "InProgress"
    assert "ProcessingStartTime" not in describe(jobs, second)
    stop(jobs, third)
    until(lambda: describe(jobs, third)["ProcessingJobStatus"] == "Stopped")
    gate.touch()
    until(lambda: describe(jobs, second)["ProcessingJobStatus"] == "Completed")
    assert describe(jobs, first)["ProcessingJobStatus"] == "Completed"


def test_a_job_that_ignores_its_end_is_killed(
    jobs: SageMakerJobs, studio: Studio, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    name = start(jobs, studio.processing(STUBBORN, Environment={"MARK": str(mark)}))
    until(mark.exists)
    stop(jobs, name)
    assert describe(jobs, name)["ProcessingJobStatus"] == "Stopping"
    until(lambda: describe(jobs, name)["ProcessingJobStatus"] == "Stopped")


def test_jobs_that_the_local_aws_leaves_behind_say_so(
    local_aws: LocalAws, studio: Studio, tmp_path: Path
) -> None:
    service = SageMakerJobs(
        local_aws.endpoint, tmp_path, ACCOUNT, REGION, slots=threading.BoundedSemaphore(1)
    )
    names = [start(service, studio.processing("import time; time.sleep(300)")) for _ in range(2)]
    until(lambda: any("ProcessingStartTime" in describe(service, name) for name in names))
    service.close()
    for name in names:
        assert "the local AWS was stopped" in describe(service, name)["FailureReason"]


def test_nothing_of_an_ended_job_stays_on_disk_but_its_record(
    jobs: SageMakerJobs, studio: Studio, tmp_path: Path
) -> None:
    name = start(jobs, studio.processing("print('done')"))
    until(lambda: describe(jobs, name)["ProcessingJobStatus"] == "Completed")
    folder = tmp_path / "sagemaker/processing"
    until(lambda: not list((folder / "running").glob("*")))
    assert [path.stem for path in (folder / "records").iterdir()] == [name]
