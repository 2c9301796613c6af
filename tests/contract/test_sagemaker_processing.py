"""Processing jobs: entry point, inputs, outputs, their ends, and what survives a crash."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local import lifecycle
from tests.conftest import Clients
from tests.contract.sagemaker_requests import Studio, until

GROUP = "/aws/sagemaker/ProcessingJobs"

REPORT = """
import json, os, sys
from pathlib import Path
base = Path(os.environ["SAGEMAKER_BASE_DIR"])
seen = {
    "argv": sys.argv[1:],
    "python": sys.executable,
    "rows": (base / "processing/input/rows/2018/day.csv").read_text(),
    "config": json.loads((base / "config/processingjobconfig.json").read_text()),
    "where": os.environ["WHERE"],
    "base": str(base),
}
(base / "processing/output/deep").mkdir()
(base / "processing/output/deep/seen.json").write_text(json.dumps(seen))
(base / "output/message").write_text("3 rows kept")
"""


@pytest.fixture(scope="module")
def studio(aws: Clients) -> Studio:
    return Studio(aws, bucket="sagemaker-processing").prepare()


@pytest.fixture(scope="module")
def processed(studio: Studio) -> dict[str, Any]:
    """A job that went well."""
    studio.put("raw/rows/2018/day.csv", "a,b\n")
    request = studio.processing(REPORT, Environment={"WHERE": "/opt/ml/processing/output"})
    request["ProcessingInputs"].append(studio.processing_input("rows", "raw/rows"))
    request["AppSpecification"]["ContainerArguments"] = ["--out", "/opt/ml/processing/output"]
    return studio.process(request)


@pytest.fixture(scope="module")
def seen(studio: Studio, processed: dict[str, Any]) -> dict[str, Any]:
    body = studio.get(f"runs/{processed['ProcessingJobName']}/out/deep/seen.json")
    return dict(json.loads(body))


def test_inputs_come_and_outputs_go_with_their_folders(
    processed: dict[str, Any], seen: dict[str, Any]
) -> None:
    assert processed["ProcessingJobStatus"] == "Completed"
    assert seen["rows"] == "a,b\n"


def test_arguments_and_environment_lead_into_the_jobs_own_folder(seen: dict[str, Any]) -> None:
    assert seen["argv"] == ["--out", f"{seen['base']}/processing/output"]
    assert seen["where"] == f"{seen['base']}/processing/output"


def test_python3_is_the_python_of_this_environment(seen: dict[str, Any]) -> None:
    import sys

    assert Path(seen["python"]).parent == Path(sys.executable).parent


def test_the_configuration_is_the_request(processed: dict[str, Any], seen: dict[str, Any]) -> None:
    assert seen["config"]["ProcessingJobName"] == processed["ProcessingJobName"]
    assert seen["config"]["AppSpecification"]["ImageUri"] == "image"


def test_the_message_of_the_container_is_the_exit_message(processed: dict[str, Any]) -> None:
    assert processed["ExitMessage"] == "3 rows kept"


def test_uploaded_code_wins_over_what_is_installed(studio: Studio) -> None:
    request = studio.processing("import mlops; print(mlops.__file__)")
    studio.put(f"code/{request['ProcessingJobName']}/mlops/__init__.py", "")
    assert studio.process(request)["ProcessingJobStatus"] == "Completed"
    (line,) = studio.log_lines(GROUP, request["ProcessingJobName"])
    assert line.endswith("/processing/input/code/mlops/__init__.py")


def test_a_bare_script_is_run_by_its_interpreter(studio: Studio) -> None:
    request = studio.processing("")
    name = request["ProcessingJobName"]
    studio.put(f"code/{name}/run.sh", "echo from a shell\n")
    request["AppSpecification"]["ContainerEntrypoint"] = ["/opt/ml/processing/input/code/run.sh"]
    assert studio.process(request)["ProcessingJobStatus"] == "Completed"
    assert studio.log_lines(GROUP, name) == ["from a shell"]


def test_a_failed_job_stores_only_what_is_stored_while_it_runs(studio: Studio) -> None:
    script = """
import os
base = os.environ["SAGEMAKER_BASE_DIR"]
open(base + "/processing/output/part", "w").close()
open(base + "/output/message", "w").write("row 7: amount is negative")
raise SystemExit(4)
"""
    request = studio.processing(script)
    name = request["ProcessingJobName"]
    kept = studio.processing_output("kept", name, mode="Continuous")
    request["ProcessingOutputConfig"]["Outputs"].append(kept)
    answer = studio.process(request)
    assert answer["ProcessingJobStatus"] == "Failed"
    assert answer["FailureReason"] == "AlgorithmError: row 7: amount is negative, exit code: 4"
    assert answer["ExitMessage"] == "row 7: amount is negative"
    assert studio.keys(f"runs/{name}/") == {"kept/part"}


def test_an_input_without_objects_fails_the_job_and_is_named(studio: Studio) -> None:
    request = studio.processing("")
    request["ProcessingInputs"].append(studio.processing_input("rows", "nothing/here/"))
    answer = studio.process(request)
    assert answer["ProcessingJobStatus"] == "Failed"
    assert "No S3 objects found under S3 URL" in answer["FailureReason"]
    assert "nothing/here/" in answer["FailureReason"]


def test_an_output_bucket_that_is_not_there_fails_the_job(studio: Studio) -> None:
    script = "import os; open(os.environ['SAGEMAKER_BASE_DIR'] + '/processing/output/x', 'w')"
    request = studio.processing(script)
    output = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    output["S3Uri"] = "s3://there-is-no-such-bucket/x"
    answer = studio.process(request)
    assert answer["FailureReason"].startswith('ClientError: Failed to upload to "s3://there-is')


def test_a_job_that_runs_too_long_is_stopped(studio: Studio) -> None:
    request = studio.processing(
        "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    assert studio.process(request)["ProcessingJobStatus"] == "Stopped"


def test_a_command_that_is_not_there_fails_the_job(studio: Studio) -> None:
    request = studio.processing("")
    request["AppSpecification"]["ContainerEntrypoint"] = ["no-such-command"]
    answer = studio.process(request)
    assert answer["FailureReason"].endswith("exit code: 127")


def test_children_of_a_job_end_with_it(studio: Studio) -> None:
    script = """
import subprocess, sys
print(subprocess.Popen(["sleep", "300"]).pid)
"""
    request = studio.processing(script)
    assert studio.process(request)["ProcessingJobStatus"] == "Completed"
    (pid,) = studio.log_lines(GROUP, request["ProcessingJobName"])
    until(lambda: not alive(int(pid)))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("AppSpecification", "ContainerEntrypoint"), None, "needs a ContainerEntrypoint"),
        (
            ("ProcessingResources", "ClusterConfig", "InstanceCount"),
            3,
            "InstanceCount 3: the local AWS runs a job on one instance",
        ),
        (("ProcessingInputs", 0, "S3Input", "LocalPath"), "/tmp/code", "is not below /opt/ml"),
        (("ProcessingInputs", 0, "S3Input", "S3DataType"), "ManifestFile", "S3Prefix"),
    ],
)
def test_a_request_that_cannot_run_is_refused_by_name(
    studio: Studio, path: tuple[Any, ...], value: Any, message: str
) -> None:
    request: Any = studio.processing("")
    target = request
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    if value is None:
        del target[path[-1]]
    with pytest.raises(ClientError, match=message):
        studio.sagemaker.create_processing_job(**request)


def test_a_killed_local_aws_leaves_no_process_and_says_what_was_interrupted(
    tmp_path: Path,
) -> None:
    running = lifecycle.start(tmp_path)
    studio = Studio(running.client, bucket="sagemaker-restart").prepare()
    done = studio.process(studio.processing("print('done')"))["ProcessingJobName"]
    request = studio.processing(
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(os.getpid(), flush=True); time.sleep(300)"
    )
    name = request["ProcessingJobName"]
    studio.sagemaker.create_processing_job(**request)
    pid = int(until(lambda: first_line(studio, name)))
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: not alive(running.pid))
    with lifecycle.start(tmp_path) as restarted:
        client = restarted.client("sagemaker")
        assert not alive(pid)
        answer = client.describe_processing_job(ProcessingJobName=name)
        assert answer["ProcessingJobStatus"] == "Failed"
        assert "the local AWS was stopped while the job ran" in answer["FailureReason"]
        answer = client.describe_processing_job(ProcessingJobName=done)
        assert answer["ProcessingJobStatus"] == "Completed"


def test_a_stopped_local_aws_ends_its_jobs(tmp_path: Path) -> None:
    running = lifecycle.start(tmp_path)
    studio = Studio(running.client, bucket="sagemaker-stop").prepare()
    request = studio.processing("import os, time; print(os.getpid()); time.sleep(300)")
    name = request["ProcessingJobName"]
    studio.sagemaker.create_processing_job(**request)
    pid = int(until(lambda: first_line(studio, name)))
    started = time.monotonic()
    running.stop()
    assert time.monotonic() - started < 60  # the job would last five minutes
    assert not alive(pid)
    with lifecycle.start(tmp_path) as restarted:
        answer = restarted.client("sagemaker").describe_processing_job(ProcessingJobName=name)
        assert answer["ProcessingJobStatus"] == "Failed"


def first_line(studio: Studio, name: str) -> str | None:
    """The first line of the job's log, once it is there."""
    try:
        lines = studio.log_lines(GROUP, name)
    except studio.logs.exceptions.ResourceNotFoundException:
        return None
    return lines[0] if lines else None


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
