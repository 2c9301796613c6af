"""Training jobs: script mode, its files and environment, its ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Clients
from tests.contract.sagemaker_requests import Studio, archived, until

GROUP = "/aws/sagemaker/TrainingJobs"

REPORT = """
import json, os, sys
import boto3
seen = {
    "argv": sys.argv[1:],
    "channel": os.listdir(os.environ["SM_CHANNEL_TRAIN"]),
    "hyperparameters": json.loads(os.environ["SM_HPS"]),
    "identity": boto3.client("sts").get_caller_identity()["Arn"],
    "environment": dict(os.environ),
}
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json"), "w") as stream:
    json.dump(seen, stream)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w") as stream:
    stream.write("a model")
print("epoch 1 auc=0.51;")
print("epoch 2 auc=0.93;")
"""


@pytest.fixture(scope="module")
def studio(aws: Clients) -> Studio:
    return Studio(aws, bucket="sagemaker-training").prepare()


@pytest.fixture(scope="module")
def trained(studio: Studio) -> dict[str, Any]:
    """A job that went well."""
    studio.put("data/train/part-1.csv", "1,2\n")
    request = studio.training(
        REPORT,
        InputDataConfig=[studio.channel("train", "data/train")],
        Environment={"WHERE": "/opt/ml/input/data/train", "AWS_ACCESS_KEY_ID": "stolen"},
    )
    request["HyperParameters"] |= {"depth": "3", "folder": "/opt/ml/model"}
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "auc", "Regex": "auc=([0-9.]+);"}
    ]
    return studio.train(request)


@pytest.fixture(scope="module")
def seen(studio: Studio, trained: dict[str, Any]) -> dict[str, Any]:
    """What the script of that job saw."""
    prefix = f"models/{trained['TrainingJobName']}/output"
    return dict(json.loads(archived(studio.get(f"{prefix}/output.tar.gz"))["seen.json"]))


def test_the_model_is_stored_where_the_description_says(
    studio: Studio, trained: dict[str, Any]
) -> None:
    assert trained["TrainingJobStatus"] == trained["SecondaryStatus"] == "Completed"
    key = f"models/{trained['TrainingJobName']}/output/model.tar.gz"
    artifacts = trained["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifacts == f"s3://{studio.bucket}/{key}"
    assert archived(studio.get(key)) == {"model.txt": b"a model"}


def test_the_script_gets_hyperparameters_and_channels(seen: dict[str, Any]) -> None:
    assert seen["hyperparameters"]["depth"] == 3
    assert seen["argv"][:2] == ["--depth", "3"]
    assert seen["channel"] == ["part-1.csv"]


def test_paths_of_the_container_lead_into_the_jobs_own_folder(seen: dict[str, Any]) -> None:
    base = seen["environment"]["SAGEMAKER_BASE_DIR"]
    assert seen["environment"]["WHERE"] == f"{base}/input/data/train"
    assert seen["hyperparameters"]["folder"] == f"{base}/model"


def test_the_script_acts_as_the_jobs_role(studio: Studio, seen: dict[str, Any]) -> None:
    role = studio.role_arn.rpartition("/")[2]
    assert seen["identity"] == f"arn:aws:sts::000000000000:assumed-role/{role}/SageMaker"


def test_the_script_sees_nothing_of_the_servers_environment(seen: dict[str, Any]) -> None:
    leaked = {name for name in seen["environment"] if name.startswith(("MOTO_", "MINISTACK_"))}
    assert leaked == set()


def test_metrics_are_the_last_values_that_the_output_shows(trained: dict[str, Any]) -> None:
    (metric,) = trained["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("auc", pytest.approx(0.93))


def test_the_output_is_in_the_log_of_the_job(studio: Studio, trained: dict[str, Any]) -> None:
    assert "epoch 2 auc=0.93;" in studio.log_lines(GROUP, trained["TrainingJobName"])


def test_secondary_statuses_follow_each_other(trained: dict[str, Any]) -> None:
    statuses = [step["Status"] for step in trained["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_uploaded_code_wins_over_what_is_installed(studio: Studio) -> None:
    from tests.contract.sagemaker_requests import archive

    request = studio.training("")
    files = {"train.py": "import mlops; print(mlops.__file__)", "mlops/__init__.py": ""}
    studio.put(f"code/{request['TrainingJobName']}/source.tar.gz", archive(files))
    assert studio.train(request)["TrainingJobStatus"] == "Completed"
    lines = studio.log_lines(GROUP, request["TrainingJobName"])
    assert any(line.endswith("/ml/code/mlops/__init__.py") for line in lines)


def test_a_script_that_raises_fails_the_job_and_stores_no_model(studio: Studio) -> None:
    answer = studio.train(studio.training("raise ValueError('no rows')"))
    assert answer["TrainingJobStatus"] == "Failed"
    assert answer["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError")
    assert answer["FailureReason"].endswith("exit code: 1")
    assert "ModelArtifacts" not in answer or not answer["ModelArtifacts"]
    name = answer["TrainingJobName"]
    assert any("ValueError: no rows" in line for line in studio.log_lines(GROUP, name))


def test_a_failure_file_is_the_reason(studio: Studio) -> None:
    script = """
import os, sys
with open(os.environ["SM_OUTPUT_DIR"] + "/failure", "w") as stream:
    stream.write("InputError: day 2018-08-01 has no payments")
sys.exit(2)
"""
    answer = studio.train(studio.training(script))
    expected = "AlgorithmError: InputError: day 2018-08-01 has no payments, exit code: "
    assert answer["FailureReason"].startswith(expected)


def test_a_stopped_job_is_terminated_and_keeps_its_model(studio: Studio) -> None:
    script = """
import os, signal, sys, time
def save(*_):
    open(os.environ["SM_MODEL_DIR"] + "/partial", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("waiting")
time.sleep(60)
"""
    request = studio.training(script)
    name = request["TrainingJobName"]
    studio.sagemaker.create_training_job(**request)
    until(lambda: printed(studio, name, "waiting"))
    studio.sagemaker.stop_training_job(TrainingJobName=name)
    answer = studio.trained(name)
    assert answer["TrainingJobStatus"] == answer["SecondaryStatus"] == "Stopped"
    assert "partial" in archived(studio.get(f"models/{name}/output/model.tar.gz"))
    with pytest.raises(ClientError, match="is in status Stopped"):
        studio.sagemaker.stop_training_job(TrainingJobName=name)


def test_a_job_that_runs_too_long_is_stopped(studio: Studio) -> None:
    request = studio.training(
        "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    answer = studio.train(request)
    assert answer["TrainingJobStatus"] == "Stopped"
    assert answer["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_a_name_is_used_once(studio: Studio, trained: dict[str, Any]) -> None:
    request = studio.training("", TrainingJobName=trained["TrainingJobName"])
    request["HyperParameters"]["sagemaker_submit_directory"] = "s3://anywhere/source.tar.gz"
    with pytest.raises(studio.sagemaker.exceptions.ResourceInUse, match="already exists"):
        studio.sagemaker.create_training_job(**request)


def test_jobs_are_listed_newest_first_and_by_status(
    studio: Studio, trained: dict[str, Any]
) -> None:
    failed = studio.train(studio.training("raise SystemExit(3)"))
    answer = studio.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    times = [job["CreationTime"] for job in answer]
    assert times == sorted(times, reverse=True)
    answer = studio.sagemaker.list_training_jobs(StatusEquals="Failed", MaxResults=100)
    names = {job["TrainingJobName"] for job in answer["TrainingJobSummaries"]}
    assert failed["TrainingJobName"] in names
    assert trained["TrainingJobName"] not in names


def test_a_page_of_jobs_leads_to_the_next(studio: Studio, trained: dict[str, Any]) -> None:
    paginator = studio.sagemaker.get_paginator("list_training_jobs")
    pages = paginator.paginate(PaginationConfig={"PageSize": 1}, NameContains="train-")
    names = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
    assert trained["TrainingJobName"] in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RoleArn": "arn:aws:iam::000000000000:role/nobody"}, "Could not assume role"),
        ({"TrainingJobName": "no_underscores"}, "Member must satisfy regular expression"),
        (
            {"ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large"}},
            "InstanceCount 2: the local AWS runs a job on one instance",
        ),
        ({"HyperParameters": {}}, "needs script mode"),
        ({"CheckpointConfig": {"S3Uri": "s3://bucket/x"}}, "CheckpointConfig: the local AWS"),
    ],
)
def test_a_request_that_cannot_run_is_refused_by_name(
    studio: Studio, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        studio.sagemaker.create_training_job(**studio.training("", **change))
    assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize("expression", ["auc=[0-9.]+", "auc=([0-9"])
def test_a_metric_that_cannot_be_read_is_refused(studio: Studio, expression: str) -> None:
    request = studio.training("")
    metric = {"Name": "auc", "Regex": expression}
    request["AlgorithmSpecification"]["MetricDefinitions"] = [metric]
    with pytest.raises(ClientError, match="MetricDefinitions 'auc': its Regex"):
        studio.sagemaker.create_training_job(**request)


def test_a_channel_without_objects_is_refused(studio: Studio) -> None:
    channel = studio.channel("train", "nothing/here/")
    with pytest.raises(ClientError, match='No S3 objects found under S3 URL "s3://'):
        studio.sagemaker.create_training_job(**studio.training("", InputDataConfig=[channel]))


def test_a_role_that_sagemaker_may_not_assume_is_refused(studio: Studio) -> None:
    role = studio.make_role("not-for-sagemaker", "lambda")
    with pytest.raises(ClientError, match=r"principal 'sagemaker\.amazonaws\.com'"):
        studio.sagemaker.create_training_job(**studio.training("", RoleArn=role))


def test_an_unknown_job_is_not_found(studio: Studio) -> None:
    with pytest.raises(ClientError, match="Requested resource not found"):
        studio.sagemaker.describe_training_job(TrainingJobName="nowhere")


def test_tags_go_with_the_job_and_not_into_its_description(studio: Studio) -> None:
    request = studio.training("", Tags=[{"Key": "team", "Value": "payments"}])
    answer = studio.train(request)
    arn = answer["TrainingJobArn"]
    assert "Tags" not in answer
    assert studio.sagemaker.list_tags(ResourceArn=arn)["Tags"] == request["Tags"]


def printed(studio: Studio, name: str, line: str) -> bool:
    """Whether a line of the job's output has come to its log."""
    try:
        return line in studio.log_lines(GROUP, name)
    except studio.logs.exceptions.ResourceNotFoundException:
        return False
