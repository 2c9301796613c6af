"""Processing jobs: an entry point, inputs from S3 and outputs to S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from infra.local.sagemaker.container import HOST, Container, Input, Output, below_root
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

_REFUSED = {
    "ProcessingInputs.DatasetDefinition": "defines no data sets; the job reads them itself",
    "ProcessingOutputConfig.Outputs.FeatureStoreOutput": "has no SageMaker Feature Store",
    "ProcessingOutputConfig.Outputs.AppManaged": "stores outputs by S3Output only",
}
_INTERPRETERS = {".py": "python3", ".sh": "bash"}


class Processing:
    """Processing jobs."""

    word: ClassVar[str] = "Processing"

    def describe(self, request: Document, arn: str, now: float) -> Document:
        asked = {key: value for key, value in request.items() if key != "Tags"}
        return {
            "StoppingCondition": {"MaxRuntimeInSeconds": 86_400},
            **asked,
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }

    def refuse(self, request: Document) -> str | None:
        require_one_instance(request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])
        if not request["AppSpecification"].get("ContainerEntrypoint"):
            return (
                "AppSpecification.ImageUri: the local AWS pulls no image, so a processing job "
                "needs a ContainerEntrypoint"
            )
        return refuse_named(request, _REFUSED) or _refused_input(request)

    def sources(self, request: Document) -> list[str]:
        return []  # SageMaker looks when the job runs.

    def container(self, document: Document) -> Container:
        inputs = tuple(_input(item) for item in document.get("ProcessingInputs", []))
        outputs = tuple(_output(item) for item in _outputs(document))
        return Container(
            command=_command(document),
            environment={
                "PROCESSING_JOB_ARN": document["ProcessingJobArn"],
                **document.get("Environment", {}),
            },
            folders=(
                "config",
                "output",
                "work",
                *(i.path for i in inputs),
                *(o.path for o in outputs),
            ),
            files={
                "config/processingjobconfig.json": _job_config(document),
                "config/resourceconfig.json": {"current_host": HOST, "hosts": [HOST]},
            },
            inputs=inputs,
            outputs=outputs,
            code=_code(document, inputs),
            workdir="work",
            seconds=document["StoppingCondition"]["MaxRuntimeInSeconds"],
        )

    def enter(self, document: Document, phase: Phase, now: float) -> None:
        document["LastModifiedTime"] = now
        if phase == "Stopping":
            document["ProcessingJobStatus"] = "Stopping"
        elif phase == "Running":
            document["ProcessingStartTime"] = now

    def store(self, document: Document, base: Path, storage: Storage, *, whole: bool) -> Document:
        for output in self.container(document).outputs:
            if whole or output.continuous:
                storage.upload(base / output.path, output.uri)
        message = read_text(base / "output/message")
        return {"ExitMessage": short(message)} if message else {}

    def end(self, document: Document, end: End, now: float, reason: str | None) -> None:
        document["ProcessingJobStatus"] = "Stopped" if end == "MaxRuntimeExceeded" else end
        document["ProcessingEndTime"] = document["LastModifiedTime"] = now
        if reason:
            document["FailureReason"] = short(reason)

    def failure(self, base: Path, exit_code: int) -> str:
        said = read_text(base / "output/message") or "See job logs for more information"
        return f"AlgorithmError: {short(said, 990)}, exit code: {exit_code}"


def _command(document: Document) -> tuple[str, ...]:
    """The entry point; a bare script gets its interpreter, as ScriptProcessor gives it one."""
    application = document["AppSpecification"]
    entry: list[str] = application["ContainerEntrypoint"]
    interpreter = _INTERPRETERS.get(Path(entry[0]).suffix)
    first = (interpreter,) if interpreter else ()
    return (*first, *entry, *application.get("ContainerArguments", []))


def _outputs(document: Document) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return found


def _input(item: Document) -> Input:
    source = item["S3Input"]
    return Input(source["S3Uri"], below_root(source["LocalPath"]))


def _output(item: Document) -> Output:
    target = item["S3Output"]
    continuous = target["S3UploadMode"] == "Continuous"
    return Output(below_root(target["LocalPath"]), target["S3Uri"], continuous)


def _code(document: Document, inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """The inputs that the command mentions: its modules come from there."""
    words = " ".join(_command(document))
    return tuple(i.path for i in inputs if f"/opt/ml/{i.path}" in words)


def _refused_input(request: Document) -> str | None:
    for item in request.get("ProcessingInputs", []):
        source, name = item.get("S3Input"), item["InputName"]
        if not source or "LocalPath" not in source:
            return f"ProcessingInputs '{name}': the local AWS needs an S3Input with a LocalPath"
        if source.get("S3DataType") != "S3Prefix" or source.get("S3InputMode", "File") != "File":
            return f"ProcessingInputs '{name}': the local AWS knows S3Prefix in File mode only"
        if source.get("S3CompressionType", "None") != "None":
            return f"S3CompressionType of input '{name}': the local AWS loads files as they are"
    for item in [*_paths(request)]:
        try:
            below_root(item)
        except ValueError as exc:
            return f"LocalPath: {exc}"
    return None


def _paths(request: Document) -> list[str]:
    inputs = [item["S3Input"]["LocalPath"] for item in request.get("ProcessingInputs", [])]
    outputs = [
        o["S3Output"]["LocalPath"]
        for o in _outputs(request)
        if "LocalPath" in o.get("S3Output", {})
    ]
    return inputs + outputs


def _job_config(document: Document) -> dict[str, Any]:
    names = (
        "ProcessingJobArn",
        "ProcessingJobName",
        "AppSpecification",
        "Environment",
        "ProcessingInputs",
        "ProcessingOutputConfig",
        "ProcessingResources",
        "RoleArn",
        "StoppingCondition",
    )
    return {name: document.get(name) for name in names}
