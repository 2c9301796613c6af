"""Training jobs: script mode by the sagemaker-training toolkit, or a container entry point."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, ClassVar

from infra.local.sagemaker.container import HOST, Container, Input
from infra.local.sagemaker.kinds import (
    Document,
    End,
    Phase,
    read_text,
    refuse_named,
    require_one_instance,
    short,
)
from infra.local.sagemaker.storage import Storage

TOOLKIT = (sys.executable, "-m", "sagemaker_training.cli.train")

_REFUSED = {
    "AlgorithmSpecification.AlgorithmName": "has no algorithms of the marketplace",
    "CheckpointConfig": "keeps no checkpoints",
    "DebugRuleConfigurations": "runs no debugger rules",
    "InputDataConfig.DataSource.FileSystemDataSource": "has no file systems",
    "InputDataConfig.RecordWrapperType.RecordIO": "wraps no records",
    "InputDataConfig.ShuffleConfig": "does not shuffle",
    "ModelPackageConfig": "trains from scripts only",
    "ProfilerRuleConfigurations": "runs no profiler rules",
    "ResourceConfig.InstanceGroups": "runs a job on one instance",
    "ServerlessJobConfig": "trains from scripts only",
}
_SECONDARY = {"Running": "Training"}
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training job in progress",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class Training:
    """Training jobs."""

    word: ClassVar[str] = "Training"

    def describe(self, request: Document, arn: str, now: float) -> Document:
        asked = {key: value for key, value in request.items() if key != "Tags"}
        return {
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
            "StoppingCondition": {"MaxRuntimeInSeconds": 86_400},
            **asked,
            "TrainingJobArn": arn,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [_transition("Starting", now)],
            "CreationTime": now,
            "LastModifiedTime": now,
        }

    def refuse(self, request: Document) -> str | None:
        require_one_instance(request.get("ResourceConfig", {}).get("InstanceCount", 1))
        algorithm = request.get("AlgorithmSpecification", {})
        script = "sagemaker_program" in request.get("HyperParameters", {})
        if not script and not algorithm.get("ContainerEntrypoint"):
            return (
                "AlgorithmSpecification.TrainingImage: the local AWS pulls no image, so a training "
                "job needs script mode (hyperparameters sagemaker_program and "
                "sagemaker_submit_directory) or a ContainerEntrypoint"
            )
        modes = {algorithm.get("TrainingInputMode")} | {
            channel.get("InputMode") for channel in request.get("InputDataConfig", [])
        }
        if "Pipe" in modes:
            return "TrainingInputMode Pipe: the local AWS loads files; use File or FastFile"
        return (
            refuse_named(request, _REFUSED)
            or _refused_channel(request)
            or _refused_metric(request)
            or _refused_wait(request)
        )

    def sources(self, request: Document) -> list[str]:
        return [_source(channel)["S3Uri"] for channel in request.get("InputDataConfig", [])]

    def container(self, document: Document) -> Container:
        channels = document.get("InputDataConfig", [])
        config = "input/config"
        return Container(
            command=_command(document),
            environment={
                "TRAINING_JOB_NAME": document["TrainingJobName"],
                "TRAINING_JOB_ARN": document["TrainingJobArn"],
                **document.get("Environment", {}),
            },
            folders=("code", "model", "output/data", "input/data", config),
            files={
                f"{config}/hyperparameters.json": document.get("HyperParameters", {}),
                f"{config}/inputdataconfig.json": _channel_config(document),
                f"{config}/resourceconfig.json": _resource_config(document),
            },
            inputs=tuple(
                Input(_source(channel)["S3Uri"], f"input/data/{channel['ChannelName']}")
                for channel in channels
            ),
            code=("code",),
            workdir="code",
            seconds=document["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400),
            metrics={
                metric["Name"]: metric["Regex"]
                for metric in document["AlgorithmSpecification"].get("MetricDefinitions", [])
            },
        )

    def enter(self, document: Document, phase: Phase, now: float) -> None:
        _transit(document, _SECONDARY.get(phase, phase), now)
        if phase == "Stopping":
            document["TrainingJobStatus"] = "Stopping"
        elif phase == "Downloading":
            document["TrainingStartTime"] = now

    def store(self, document: Document, base: Path, storage: Storage, *, whole: bool) -> Document:
        if not whole:
            return {}
        prefix = document["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        folder = f"{prefix}/{document['TrainingJobName']}/output"
        model = f"{folder}/model.tar.gz"
        storage.upload_archive(base / "model", model, scratch=base)
        if any((base / "output/data").iterdir()):
            storage.upload_archive(base / "output/data", f"{folder}/output.tar.gz", scratch=base)
        return {"ModelArtifacts": {"S3ModelArtifacts": model}}

    def end(self, document: Document, end: End, now: float, reason: str | None) -> None:
        _transit(document, end, now, reason)
        document["TrainingJobStatus"] = "Stopped" if end == "MaxRuntimeExceeded" else end
        if reason:
            document["FailureReason"] = short(reason)
        document["TrainingEndTime"] = now
        seconds = max(1, round(now - document.get("TrainingStartTime", now)))
        document["TrainingTimeInSeconds"] = document["BillableTimeInSeconds"] = seconds

    def failure(self, base: Path, exit_code: int) -> str:
        said = read_text(base / "output/failure")
        return f"AlgorithmError: {short(said, 990)}, exit code: {exit_code}"


def _command(document: Document) -> tuple[str, ...]:
    algorithm = document["AlgorithmSpecification"]
    entry = algorithm.get("ContainerEntrypoint")
    return (*entry, *algorithm.get("ContainerArguments", [])) if entry else TOOLKIT


def _source(channel: Document) -> dict[str, str]:
    source: dict[str, str] = channel["DataSource"]["S3DataSource"]
    return source


def _refused_channel(request: Document) -> str | None:
    for channel in request.get("InputDataConfig", []):
        name = channel["ChannelName"]
        if channel.get("CompressionType", "None") != "None":
            return f"CompressionType of channel '{name}': the local AWS loads files as they are"
        if channel.get("DataSource", {}).get("S3DataSource", {}).get("S3DataType") != "S3Prefix":
            return f"S3DataType of channel '{name}': the local AWS knows S3Prefix only"
    return None


def _refused_wait(request: Document) -> str | None:
    """On AWS, spot instances must be told how long to wait for them, and only these may be."""
    stopping = request.get("StoppingCondition", {})
    wait, spot = stopping.get("MaxWaitTimeInSeconds"), request.get("EnableManagedSpotTraining")
    if wait is not None and not spot:
        return "MaxWaitTimeInSeconds can only be set when EnableManagedSpotTraining is true"
    if spot and (wait is None or wait < stopping.get("MaxRuntimeInSeconds", 86_400)):
        return (
            "EnableManagedSpotTraining needs MaxWaitTimeInSeconds, and at least as much as "
            "MaxRuntimeInSeconds"
        )
    return None


def _refused_metric(request: Document) -> str | None:
    for metric in request["AlgorithmSpecification"].get("MetricDefinitions", []):
        try:
            groups = re.compile(metric["Regex"]).groups
        except re.error as exc:
            return f"MetricDefinitions '{metric['Name']}': its Regex is not valid: {exc}"
        if not groups:
            return f"MetricDefinitions '{metric['Name']}': its Regex needs a group for the value"
    return None


def _channel_config(document: Document) -> dict[str, Any]:
    mode = document["AlgorithmSpecification"]["TrainingInputMode"]
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": channel.get("InputMode", mode),
            "S3DistributionType": _source(channel).get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
        for channel in document.get("InputDataConfig", [])
    }


def _resource_config(document: Document) -> dict[str, Any]:
    kind = document["ResourceConfig"].get("InstanceType", "local")
    group = "homogeneousCluster"
    return {
        "current_host": HOST,
        "current_instance_type": kind,
        "current_group_name": group,
        "hosts": [HOST],
        "instance_groups": [{"instance_group_name": group, "instance_type": kind, "hosts": [HOST]}],
        "network_interface_name": "lo",
    }


def _transit(document: Document, status: str, now: float, reason: str | None = None) -> None:
    transitions = document["SecondaryStatusTransitions"]
    if transitions[-1]["Status"] == status:
        return
    transitions[-1]["EndTime"] = now
    transitions.append(_transition(status, now, reason))
    document["SecondaryStatus"] = status
    document["LastModifiedTime"] = now


def _transition(status: str, now: float, reason: str | None = None) -> dict[str, Any]:
    message = _MESSAGES.get(status) or f"Training job failed: {short(reason or '', 200)}"
    return {"Status": status, "StartTime": now, "StatusMessage": message}
