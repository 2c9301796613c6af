"""A state machine over SageMaker jobs and the registry, as the training workflow is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Clients
from tests.contract.sagemaker_requests import Studio, until

PREPARE = """
import csv, os, random
base = os.environ["SAGEMAKER_BASE_DIR"]
random.seed(7)
with open(base + "/processing/output/rows.csv", "w") as stream:
    for _ in range(200):
        x = random.random()
        csv.writer(stream).writerow([x, int(x + random.gauss(0, 0.1) > 0.5)])
"""

TRAIN = """
import csv, json, os
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
with open(os.environ["SM_CHANNEL_TRAIN"] + "/rows.csv") as stream:
    rows = [(float(x), int(y)) for x, y in csv.reader(stream)]
x, y = [[r[0]] for r in rows], [r[1] for r in rows]
model = LogisticRegression(C=float(os.environ["SM_HP_C"])).fit(x, y)
auc = roc_auc_score(y, model.predict_proba(x)[:, 1])
with open(os.environ["SM_MODEL_DIR"] + "/model.json", "w") as stream:
    json.dump({"coef": model.coef_.tolist()}, stream)
print(f"auc={auc:.4f};")
import boto3
boto3.client("s3").put_object(
    Bucket=os.environ["BUCKET"], Key=os.environ["METRICS"], Body=json.dumps({"auc": auc}))
"""

FAIL = "raise SystemExit('the data is bad')"


@pytest.fixture(scope="module")
def studio(aws: Clients) -> Studio:
    return Studio(aws, bucket="sagemaker-workflow").prepare()


@pytest.fixture(scope="module")
def topic(studio: Studio) -> str:
    arn: str = studio.sns.create_topic(Name="workflow-events")["TopicArn"]
    return arn


def run(studio: Studio, states: dict[str, Any], start: str, **others: Any) -> dict[str, Any]:
    """Execute a state machine to its end; its description, with output and history."""
    machine = begin(studio, states, start, **others)

    def ended() -> dict[str, Any] | None:
        answer: dict[str, Any] = studio.stepfunctions.describe_execution(executionArn=machine)
        return None if answer["status"] == "RUNNING" else answer

    return dict(until(ended))


def begin(studio: Studio, states: dict[str, Any], start: str, **others: Any) -> str:
    name = f"machine-{abs(hash(json.dumps(states)))}"
    machine = studio.stepfunctions.create_state_machine(
        name=name,
        definition=json.dumps({"StartAt": start, "States": states, **others}),
        roleArn=studio.role_arn,
    )["stateMachineArn"]
    arn: str = studio.stepfunctions.start_execution(
        stateMachineArn=machine, input=json.dumps({"settings": {"threshold": 0.8}})
    )["executionArn"]
    return arn


def names_by_execution(request: dict[str, Any], field: str) -> dict[str, Any]:
    """The request with a job name that the execution gives."""
    rest = {key: value for key, value in request.items() if key != field}
    return rest | {f"{field}.$": "States.Format('{}-job', $$.Execution.Name)"}


def task(resource: str, parameters: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}",
        "Parameters": parameters,
        **({} if "Next" in others else {"End": True}),
        **others,
    }


def workflow(studio: Studio, group: str) -> dict[str, Any]:
    """Prepare, train, read the metrics, choose, register."""
    prepare = studio.processing(PREPARE)
    produced = prepare["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    metrics = f"metrics/{group}.json"
    train = studio.training(
        TRAIN,
        InputDataConfig=[studio.channel("train", produced.split("/", 3)[3])],
        Environment={"BUCKET": studio.bucket, "METRICS": metrics},
    )
    # Made when the job runs, so that the channel's data exists by then.
    train["HyperParameters"]["C"] = "1.0"
    return {
        "Prepare": task(
            "sagemaker:createProcessingJob.sync",
            names_by_execution(prepare, "ProcessingJobName"),
            ResultPath="$.prepared",
            Next="Train",
        ),
        "Train": task(
            "sagemaker:createTrainingJob.sync",
            names_by_execution(train, "TrainingJobName"),
            ResultPath="$.trained",
            Next="Read",
        ),
        "Read": task(
            "aws-sdk:s3:getObject",
            {"Bucket": studio.bucket, "Key": metrics},
            ResultSelector={"values.$": "States.StringToJson($.Body)"},
            ResultPath="$.metrics",
            Next="Gate",
        ),
        "Gate": {
            "Type": "Choice",
            "Choices": [
                {
                    "Variable": "$.metrics.values.auc",
                    "NumericGreaterThanEqualsPath": "$.settings.threshold",
                    "Next": "Register",
                }
            ],
            "Default": "Refuse",
        },
        "Register": task(
            "aws-sdk:sagemaker:createModelPackage",
            {
                "ModelPackageGroupName": group,
                "ModelApprovalStatus": "PendingManualApproval",
                "InferenceSpecification": {
                    "Containers": [
                        {
                            "Image": "image",
                            "ModelDataUrl.$": "$.trained.ModelArtifacts.S3ModelArtifacts",
                        }
                    ],
                    "SupportedContentTypes": ["application/json"],
                    "SupportedResponseMIMETypes": ["application/json"],
                },
                "CustomerMetadataProperties": {
                    "execution.$": "$$.Execution.Id",
                    "metric_auc.$": "States.Format('{}', $.metrics.values.auc)",
                },
            },
            ResultPath="$.registered",
        ),
        "Refuse": {"Type": "Fail", "Error": "GateRefused", "Cause": "below the threshold"},
    }


def test_a_workflow_runs_from_processing_to_a_registered_version(studio: Studio) -> None:
    studio.sagemaker.create_model_package_group(ModelPackageGroupName="workflow-fraud")
    answer = run(studio, workflow(studio, "workflow-fraud"), "Prepare")
    assert answer["status"] == "SUCCEEDED", answer
    output = json.loads(answer["output"])
    package = studio.sagemaker.describe_model_package(
        ModelPackageName=output["registered"]["ModelPackageArn"]
    )
    assert package["ModelPackageVersion"] == 1
    metadata = package["CustomerMetadataProperties"]
    assert metadata["execution"] == answer["executionArn"]
    assert float(metadata["metric_auc"]) == output["metrics"]["values"]["auc"] > 0.8
    assert package["CreatedBy"]["IamIdentity"]["Arn"].endswith(
        "assumed-role/sagemaker-workflow-job/StepFunctions"
    )
    trained = output["trained"]
    assert trained["TrainingJobStatus"] == "Completed"
    assert isinstance(trained["CreationTime"], int)  # epoch milliseconds, as on AWS
    assert trained["TrainingJobName"].endswith("-job")


def caught(studio: Studio, state: dict[str, Any]) -> dict[str, Any]:
    """What a Catch of everything sees of a task that fails."""
    state = {key: value for key, value in state.items() if key != "End"} | {
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}],
        "Next": "Caught",
    }
    answer = run(studio, {"Work": state, "Caught": {"Type": "Succeed"}}, "Work")
    assert answer["status"] == "SUCCEEDED", answer
    return dict(json.loads(answer["output"])["error"])


def test_a_failed_job_is_a_failed_task_with_the_job_as_its_cause(studio: Studio) -> None:
    error = caught(studio, task("sagemaker:createTrainingJob.sync", studio.training(FAIL)))
    assert error["Error"] == "States.TaskFailed"
    cause = json.loads(error["Cause"])
    assert cause["TrainingJobStatus"] == "Failed"
    assert cause["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError")
    assert "exit code: 1" in cause["FailureReason"]


def test_a_refused_request_is_named_after_the_service(studio: Studio) -> None:
    request = studio.processing(FAIL, RoleArn="arn:aws:iam::000000000000:role/nobody-at-all")
    error = caught(studio, task("sagemaker:createProcessingJob.sync", request))
    assert error["Error"] == "SageMaker.AmazonSageMakerException"
    assert "Could not assume role" in error["Cause"]
    assert (
        "(Service: AmazonSageMaker; Status Code: 400; Error Code: ValidationException; "
        in (error["Cause"])
    )


def test_a_taken_job_name_is_resource_in_use(studio: Studio) -> None:
    request = studio.processing("print('done')")
    studio.process(request)
    error = caught(studio, task("sagemaker:createProcessingJob", request))
    assert error["Error"] == "SageMaker.ResourceInUseException"


def test_a_retrier_tries_again_as_often_as_it_says(studio: Studio) -> None:
    request = studio.processing(FAIL, RoleArn="arn:aws:iam::000000000000:role/nobody-at-all")
    retry = {
        "ErrorEquals": ["SageMaker.AmazonSageMakerException"],
        "IntervalSeconds": 1,
        "MaxAttempts": 2,
        "BackoffRate": 1.0,
    }
    state = task("sagemaker:createProcessingJob.sync", request, Retry=[retry])
    answer = run(studio, {"Work": state}, "Work")
    assert (answer["status"], answer["error"]) == ("FAILED", "SageMaker.AmazonSageMakerException")
    history = studio.stepfunctions.get_execution_history(executionArn=answer["executionArn"])
    failures = [event for event in history["events"] if event["type"] == "TaskFailed"]
    assert len(failures) == 3


def test_a_parameter_of_the_wrong_type_fails_the_execution_uncaught(studio: Studio) -> None:
    request = studio.training("print('never')")
    request["HyperParameters"]["depth"] = 3
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    states = {
        "Work": task("sagemaker:createTrainingJob.sync", request, Catch=catch),
        "Caught": {"Type": "Succeed"},
    }
    answer = run(studio, states, "Work")
    assert (answer["status"], answer["error"]) == ("FAILED", "States.Runtime")
    assert "[The value for the field 'depth' must be a STRING]" in answer["cause"]


def test_a_failure_is_told_to_a_topic_and_ends_the_execution(studio: Studio, topic: str) -> None:
    queue = studio.sqs.create_queue(QueueName="workflow-failures")["QueueUrl"]
    attributes = studio.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    studio.sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=attributes["Attributes"]["QueueArn"]
    )
    states = {
        "Work": task(
            "sagemaker:createProcessingJob.sync",
            studio.processing(FAIL),
            Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Tell"}],
            Next="Done",
        ),
        "Done": {"Type": "Succeed"},
        "Tell": task(
            "sns:publish",
            {"TopicArn": topic, "Message.$": "$.error", "Subject": "failed"},
            ResultPath=None,
            Next="Failed",
        ),
        "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
    }
    answer = run(studio, states, "Work")
    assert (answer["status"], answer["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(answer["cause"])["ProcessingJobStatus"] == "Failed"
    received = until(lambda: studio.sqs.receive_message(QueueUrl=queue).get("Messages"))
    told = json.loads(json.loads(received[0]["Body"])["Message"])
    assert told["Error"] == "States.TaskFailed"


def test_stopping_the_execution_stops_its_job(studio: Studio) -> None:
    request = studio.processing("import time; time.sleep(60)")
    execution = begin(studio, {"Work": task("sagemaker:createProcessingJob.sync", request)}, "Work")
    name = request["ProcessingJobName"]
    until(lambda: running(studio, name))
    studio.stepfunctions.stop_execution(executionArn=execution, error="Enough", cause="by hand")
    assert studio.processed(name)["ProcessingJobStatus"] == "Stopped"


def test_a_task_that_times_out_stops_its_job(studio: Studio) -> None:
    request = studio.processing("import time; time.sleep(60)")
    state = task("sagemaker:createProcessingJob.sync", request, TimeoutSeconds=1)
    assert caught(studio, state)["Error"] == "States.Timeout"
    assert studio.processed(request["ProcessingJobName"])["ProcessingJobStatus"] == "Stopped"


def test_jobs_in_parallel_branches_are_caught_one_by_one(studio: Studio) -> None:
    good, bad = studio.processing("print('done')"), studio.processing(FAIL)
    catch = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"}]
    branches = [
        {
            "StartAt": "Work",
            "States": {
                "Work": task("sagemaker:createProcessingJob.sync", request, Catch=catch),
                "Caught": {"Type": "Succeed"},
            },
        }
        for request in (good, bad)
    ]
    answer = run(studio, {"Both": {"Type": "Parallel", "Branches": branches, "End": True}}, "Both")
    first, second = json.loads(answer["output"])
    assert first["ProcessingJobStatus"] == "Completed"
    assert second["error"]["Error"] == "States.TaskFailed"


def test_an_error_that_leaves_a_branch_is_caught_by_its_name(studio: Studio) -> None:
    work = task("sagemaker:createProcessingJob.sync", studio.processing(FAIL))
    parallel = {
        "Type": "Parallel",
        "Branches": [{"StartAt": "Work", "States": {"Work": work}}],
        "Catch": [
            {"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"}
        ],
        "End": True,
    }
    answer = run(studio, {"Both": parallel, "Caught": {"Type": "Succeed"}}, "Both")
    assert json.loads(answer["output"])["error"]["Error"] == "States.TaskFailed"


def test_a_missing_object_is_an_error_of_its_service(studio: Studio) -> None:
    error = caught(studio, task("aws-sdk:s3:getObject", {"Bucket": studio.bucket, "Key": "no"}))
    assert error["Error"] == "S3.NoSuchKeyException"


def test_an_error_that_the_api_does_not_declare_is_named_after_the_service(
    studio: Studio,
) -> None:
    parameters = {"ModelPackageGroupName": "nowhere"}
    error = caught(studio, task("aws-sdk:sagemaker:describeModelPackageGroup", parameters))
    assert error["Error"] == "SageMaker.SageMakerException"
    assert "model-package-group/nowhere does not exist" in error["Cause"]


def test_an_object_is_written_as_the_state_has_it(studio: Studio) -> None:
    parameters = {"Bucket": studio.bucket, "Key": "state.json", "Body.$": "$.settings"}
    answer = run(studio, {"Work": task("aws-sdk:s3:putObject", parameters)}, "Work")
    assert answer["status"] == "SUCCEEDED", answer
    assert json.loads(studio.get("state.json")) == {"threshold": 0.8}


def test_operations_that_nothing_here_does_are_refused_by_name(studio: Studio) -> None:
    client = studio.stepfunctions
    arn = "arn:aws:states:ap-northeast-2:000000000000:execution:any:one"
    with pytest.raises(ClientError, match=r"does not answer states\.RedriveExecution"):
        client.redrive_execution(executionArn=arn)
    machine = "arn:aws:states:ap-northeast-2:000000000000:stateMachine:any"
    with pytest.raises(ClientError, match=r"does not answer states\.PublishStateMachineVersion"):
        client.publish_state_machine_version(stateMachineArn=machine)


@pytest.mark.parametrize(
    "resource",
    ["sagemaker:createTransformJob.sync", "sagemaker:createTrainingJob.waitForTaskToken"],
)
def test_an_integration_that_is_not_there_is_refused_by_name(studio: Studio, resource: str) -> None:
    with pytest.raises(studio.stepfunctions.exceptions.InvalidDefinition, match=resource):
        begin(studio, {"Work": task(resource, {})}, "Work")


def running(studio: Studio, name: str) -> bool:
    """Whether the job's command runs; an execution makes its job a moment after it starts."""
    jobs = studio.sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    if not jobs:
        return False
    answer = studio.sagemaker.describe_processing_job(ProcessingJobName=name)
    return "ProcessingStartTime" in answer
