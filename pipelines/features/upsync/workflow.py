"""The upsync workflow as a state machine: plan, load in an array of jobs, record.

It is compiled, checked and deployed as the training workflows are, and runs on schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.names import Role
from pipelines.features.upsync.jobs import EXECUTION, FINISHED, PLANNED, SETTINGS, documents_key
from pipelines.features.upsync.settings import DEFAULTS
from pipelines.training import asl, layout
from pipelines.training.asl import EXECUTION as NAME
from pipelines.training.asl import Path, State, formatted, json_text
from pipelines.training.machine import Site

WORKFLOW = "upsync"
_FETCH = (
    "set -e; python3 -c 'import boto3, sys; "
    'bucket, _, key = sys.argv[1].removeprefix("s3://").partition("/"); '
    'boto3.client("s3").download_file(bucket, key, "source.tar.gz")\' "$1"; '
    "mkdir -p code; tar -xzf source.tar.gz -C code; cd code; shift; "
    'module=$1; shift; exec python3 -m "$module" "$@"'
)
"""A Batch job has no inputs: it fetches its code itself."""


def build(site: Site) -> dict[str, Any]:
    """The state machine, in the Amazon States Language.

    Raises SettingsError where the online store's address is not known.
    """
    site.settings.require_redis_url()
    return _Machine(site).definition()


class _Machine:
    """Builds the states. They carry `run` (what it was started with), `planned`, `finished`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._names = site.names

    def definition(self) -> dict[str, Any]:
        failed = asl.fail("Failed", error_path="$.error.Error", cause_path="$.error.Cause")
        told, back = self._tell_failure(), self._job("Give back", "give-back")
        plan, read_plan = self._job("Plan", "plan"), self._read("Read plan", PLANNED, "planned")
        load = self._job("Load", "load", array_size=Path("$.planned.document.array_size"))
        finish, read_end = self._job("Finish", "finish"), self._read("Read end", FINISHED, "end")
        done = asl.succeed("Done")
        again = asl.choose(
            "Again", [asl.is_true("$.end.document.again")], then=plan, otherwise=done
        )
        any_part = asl.positive("$.planned.document.parts_count")
        choice = asl.choose("Anything new", [any_part], then=load, otherwise=finish)
        working = [plan, read_plan, load, finish, read_end]
        asl.catch_all(working, then=back)
        asl.catch_all([back], then=told, result_path="$.not_given_back")
        asl.catch_all([told], then=failed, result_path="$.not_told")
        asl.retry_throttled([*working, back, told])
        asl.chain([back, told, failed])
        asl.chain([load, finish, read_end, again])
        return asl.definition(
            [*self._read_input(), plan, read_plan, choice],
            comment="Loads features from the offline store into the online store.",
            region=self._names.region,
        )

    def _read_input(self) -> Sequence[State]:
        defaults = {
            "settings": DEFAULTS.model_dump(mode="json"),
            "input": {"settings": {}, "submitted_by": self._names.role_arn(Role.SCHEDULER)},
        }
        merged = {"input.$": "States.JsonMerge($.defaults.input, $$.Execution.Input, false)"}
        run = {
            "submitted_by.$": "$.merged.input.submitted_by",
            "settings.$": "States.JsonMerge($.defaults.settings, $.merged.input.settings, false)",
        }
        return [
            asl.constant("Defaults", defaults, result_path="$.defaults"),
            asl.assemble("Read input", merged, result_path="$.merged"),
            asl.assemble("Settle run", run, result_path="$.run"),
        ]

    def _job(self, name: str, does: str, *, array_size: Path | None = None) -> State:
        array = {"ArrayProperties": {"Size": array_size}} if array_size else {}
        source = layout.source_key(WORKFLOW, self._site.code_sha256)
        code = f"s3://{self._names.artifact_bucket}/{source}"
        module = "pipelines.features.upsync.jobs"
        settings = sorted(self._site.job_environment.items())
        given: list[dict[str, Any]] = [{"Name": key, "Value": text} for key, text in settings]
        given += [
            {"Name": EXECUTION, "Value": Path(NAME)},
            {"Name": SETTINGS, "Value": Path(json_text("$.run.settings"))},
        ]
        parameters = {
            "JobName": formatted(f"{WORKFLOW}-{does}-{{}}", NAME),
            "JobQueue": self._names.feature_jobs,
            "JobDefinition": self._names.feature_jobs,
            "ContainerOverrides": {
                "Command": ["sh", "-c", _FETCH, "job", code, module, does],
                "Environment": given,
            },
            "Tags": {"workflow": WORKFLOW},
            **array,
        }
        return asl.call(name, "batch:submitJob.sync", parameters, result_path=None)

    def _read(self, name: str, document: str, into: str) -> State:
        key = formatted(documents_key("{}", document), NAME)
        return asl.call(
            name,
            "aws-sdk:s3:getObject",
            {"Bucket": self._names.artifact_bucket, "Key": key},
            result_selector={"document.$": "States.StringToJson($.Body)"},
            result_path=f"$.{into}",
        )

    def _tell_failure(self) -> State:
        facts = {
            "event": "run_failed",
            "workflow": WORKFLOW,
            "execution.$": "$$.Execution.Id",
            "error.$": "$.error.Error",
            "cause.$": "$.error.Cause",
        }
        parameters = {
            "TopicArn": self._names.topic_arn,
            "Subject": "upsync: a run failed",
            "Message": facts,
        }
        return asl.call("Tell failure", "sns:publish", parameters, result_path=None)
