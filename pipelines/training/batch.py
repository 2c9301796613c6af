"""What workflows of Batch jobs have in common: their input, their jobs, and how failures are told.

`upsync` and `drift` are such workflows. A Batch job has no inputs: it fetches its code itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mlops.names import Role
from pipelines.training import asl, layout
from pipelines.training.asl import EXECUTION as NAME
from pipelines.training.asl import Path, State, formatted, json_text
from pipelines.training.machine import Site

_FETCH = (
    "set -e; python3 -c 'import boto3, sys; "
    'bucket, _, key = sys.argv[1].removeprefix("s3://").partition("/"); '
    'boto3.client("s3").download_file(bucket, key, "source.tar.gz")\' "$1"; '
    "mkdir -p code; tar -xzf source.tar.gz -C code; cd code; shift; "
    'module=$1; shift; exec python3 -m "$module" "$@"'
)


@dataclass(frozen=True)
class BatchWorkflow:
    """The states of one workflow. They carry `run`: what it was started with."""

    site: Site
    workflow: str
    module: str
    """What its jobs run."""
    definition: str
    """The job definition's name, which says as which role they run."""
    execution: str
    """The variable that tells a job the execution's name."""
    settings: str
    """The variable that tells it the settings, as JSON."""

    def read_input(self, defaults: BaseModel) -> list[State]:
        """The compiled defaults, with what the execution's input says differently."""
        given = {
            "settings": defaults.model_dump(mode="json"),
            "input": {
                "settings": {},
                "submitted_by": self.site.names.role_arn(Role.SCHEDULER),
            },
        }
        merged = {"input.$": "States.JsonMerge($.defaults.input, $$.Execution.Input, false)"}
        run = {
            "submitted_by.$": "$.merged.input.submitted_by",
            "settings.$": "States.JsonMerge($.defaults.settings, $.merged.input.settings, false)",
        }
        return [
            asl.constant("Defaults", given, result_path="$.defaults"),
            asl.assemble("Read input", merged, result_path="$.merged"),
            asl.assemble("Settle run", run, result_path="$.run"),
        ]

    def job(
        self,
        name: str,
        does: str,
        *,
        array_size: Path | None = None,
        replaced: dict[str, str] | None = None,
    ) -> State:
        """A job, or an array of them. replaced: settings that this workflow has otherwise."""
        names = self.site.names
        array = {"ArrayProperties": {"Size": array_size}} if array_size else {}
        source = layout.source_key(self.workflow, self.site.code_sha256)
        code = f"s3://{names.artifact_bucket}/{source}"
        settings = sorted((self.site.job_environment | (replaced or {})).items())
        given: list[dict[str, Any]] = [{"Name": key, "Value": text} for key, text in settings]
        given += [
            {"Name": self.execution, "Value": Path(NAME)},
            {"Name": self.settings, "Value": Path(json_text("$.run.settings"))},
        ]
        parameters = {
            "JobName": formatted(f"{self.workflow}-{does}-{{}}", NAME),
            "JobQueue": names.feature_jobs,
            "JobDefinition": self.definition,
            "ContainerOverrides": {
                "Command": ["sh", "-c", _FETCH, "job", code, self.module, does],
                "Environment": given,
            },
            "Tags": {"workflow": self.workflow},
            **array,
        }
        return asl.call(name, "batch:submitJob.sync", parameters, result_path=None)

    def read(self, name: str, key: str, into: str) -> State:
        """A job's JSON document, at $.<into>.document. key: with {} for the execution's name."""
        return asl.call(
            name,
            "aws-sdk:s3:getObject",
            {"Bucket": self.site.names.artifact_bucket, "Key": formatted(key, NAME)},
            result_selector={"document.$": "States.StringToJson($.Body)"},
            result_path=f"$.{into}",
        )

    def tell(self, name: str, subject: str | Path, facts: dict[str, Any]) -> State:
        facts = {"workflow": self.workflow, "execution.$": "$$.Execution.Id"} | facts
        parameters = {"TopicArn": self.site.names.topic_arn, "Subject": subject, "Message": facts}
        return asl.call(name, "sns:publish", parameters, result_path=None)

    def tell_failure(self) -> State:
        facts = {"event": "run_failed", "error.$": "$.error.Error", "cause.$": "$.error.Cause"}
        return self.tell("Tell failure", f"{self.workflow}: a run failed", facts)
