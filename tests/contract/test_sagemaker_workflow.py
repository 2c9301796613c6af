"""A state machine over SageMaker jobs and the registry, as the training workflow is one."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
        "assumed-role/contract-job/StepFunctions"
    )
    trained = output["trained"]
    assert trained["TrainingJobStatus"] == "Completed"
    assert isinstance(trained["CreationTime"], int)  # epoch milliseconds, as on AWS
    assert trained["TrainingJobName"].endswith("-job")
