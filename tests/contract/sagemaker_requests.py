"""What the SageMaker contract tests start: roles, code and requests."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

_NUMBERS = count(1)


def archive(files: Mapping[str, str]) -> bytes:
    """A tar.gz of texts by name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


def archived(body: bytes) -> dict[str, bytes]:
    """The files of a tar.gz by name."""
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar.getmembers())
        return {name: stream.read() for name, stream in files if stream}


def until(found: Callable[[], Any], *, seconds: float = 60) -> Any:
    """The first answer that is true. Raises AssertionError when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {seconds} s")


@dataclass
class Studio:
    """A bucket, a role and clients, for starting jobs."""

    client: Callable[..., Any]
    bucket: str = "sagemaker-contract"
    role_arn: str = ""
    clients: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, service: str) -> Any:
        return self.clients.setdefault(service, self.client(service))

    def prepare(self) -> Studio:
        self.s3.create_bucket(
            Bucket=self.bucket,
            CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"},
        )
        self.role_arn = self.make_role(f"{self.bucket}-job", "sagemaker", "states")
        return self

    def make_role(self, name: str, *services: str) -> str:
        principal = {"Service": [f"{service}.amazonaws.com" for service in services]}
        statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        answer = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy)
        return str(answer["Role"]["Arn"])

    def put(self, key: str, body: bytes | str) -> str:
        """Store an object; its address."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> set[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return {entry["Key"].removeprefix(prefix) for entry in listed.get("Contents", [])}

    def training(self, script: str, **changes: Any) -> dict[str, Any]:
        """A training job of a script, as script mode asks for it."""
        name = f"train-{next(_NUMBERS)}"
        source = self.put(f"code/{name}/source.tar.gz", archive({"train.py": script}))
        return {
            "TrainingJobName": name,
            "RoleArn": self.role_arn,
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": source,
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models"},
            "ResourceConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        } | changes

    def processing(self, script: str, **changes: Any) -> dict[str, Any]:
        """A processing job of a script; what it writes to …/processing/output is stored."""
        name = f"process-{next(_NUMBERS)}"
        self.put(f"code/{name}/run.py", script)
        return {
            "ProcessingJobName": name,
            "RoleArn": self.role_arn,
            "AppSpecification": {
                "ImageUri": "image",
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/run.py"],
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 10,
                }
            },
            "ProcessingInputs": [self.processing_input("code", f"code/{name}/")],
            "ProcessingOutputConfig": {"Outputs": [self.processing_output("out", name)]},
        } | changes

    def processing_input(self, name: str, prefix: str) -> dict[str, Any]:
        return {
            "InputName": name,
            "S3Input": {
                "S3Uri": f"s3://{self.bucket}/{prefix}",
                "LocalPath": f"/opt/ml/processing/input/{name}",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }

    def processing_output(self, name: str, job: str, mode: str = "EndOfJob") -> dict[str, Any]:
        return {
            "OutputName": name,
            "S3Output": {
                "S3Uri": f"s3://{self.bucket}/runs/{job}/{name}",
                "LocalPath": "/opt/ml/processing/output",
                "S3UploadMode": mode,
            },
        }

    def channel(self, name: str, prefix: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/{prefix}"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    def train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a training job to its end."""
        self.sagemaker.create_training_job(**request)
        return self.trained(request["TrainingJobName"])

    def trained(self, name: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            answer: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
            return None if answer["TrainingJobStatus"] in {"InProgress", "Stopping"} else answer

        return dict(until(ended))

    def process(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a processing job to its end."""
        self.sagemaker.create_processing_job(**request)
        return self.processed(request["ProcessingJobName"])

    def processed(self, name: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            answer: dict[str, Any] = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return None if answer["ProcessingJobStatus"] in {"InProgress", "Stopping"} else answer

        return dict(until(ended))

    def log_lines(self, group: str, job: str) -> list[str]:
        """Everything that a job's log streams hold."""
        streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")[
            "logStreams"
        ]
        return [
            event["message"]
            for stream in streams
            for event in self.logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]
