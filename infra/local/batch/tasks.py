"""Step Functions' Batch tasks, inside moto's interpreter.

`arn:aws:states:::batch:submitJob`, plain and `.sync`, arrays included; names in PascalCase, as the
Amazon States Language has them. `.sync` answers the job as DescribeJobs describes it; a job that
ends as FAILED raises `States.TaskFailed` with that document as the cause. A refused request raises
`Batch.ClientException`.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)

from infra.local.jobs.validation import service_model
from infra.local.stepfunctions.answers import from_api, service_error, to_api, upper_first
from infra.local.stepfunctions.job_task import JobTask

_log = logging.getLogger(__name__)
_MANAGED = {"Name": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
_MODELLED = {"ClientException", "ServerException"}


class _BatchWatch:
    """Looks after one job, for the loop that moto waits in."""

    def __init__(self, client: Any, job_id: str, task: BatchTask, env: Any) -> None:
        self._client = client
        self._id = job_id
        self._task = task
        self._env = env

    def __call__(self) -> dict[str, Any] | None:
        answer = self._client.describe_jobs(jobs=[self._id])
        job = answer["jobs"][0]
        if job["status"] not in {"SUCCEEDED", "FAILED"}:
            return None
        shape = service_model("batch").operation_model("DescribeJobs").output_shape
        document: dict[str, Any] = from_api(shape.members["jobs"].member, job)
        if job["status"] == "FAILED":
            raise self._task.failed(self._env, document)
        return document

    def stop(self) -> None:
        try:
            self._client.terminate_job(jobId=self._id, reason="Stopped by Step Functions")
        except ClientError as exc:
            _log.info("job %s ended meanwhile: %s", self._id, exc)


class BatchTask(JobTask):
    """`batch:submitJob`, plain and `.sync`."""

    def __init__(self) -> None:
        # Without WaitForTaskToken moto makes no callback endpoint, and then trips over its absence.
        super().__init__({ResourceCondition.Sync, ResourceCondition.WaitForTaskToken})

    def _get_supported_parameters(self) -> set[str] | None:
        """None refuses the state machine, by the resource's name."""
        return {"*"} if self.resource.api_action == "submitJob" else None

    def _eval_parameters(self, env: Any) -> dict[str, Any]:
        """What waits for the job says so in its environment."""
        parameters = super()._eval_parameters(env)
        overrides = parameters.get("ContainerOverrides", {})
        if self.resource.condition == ResourceCondition.Sync and isinstance(overrides, dict):
            environment = [*overrides.get("Environment", ()), _MANAGED]
            parameters["ContainerOverrides"] = overrides | {"Environment": environment}
        return parameters

    def _eval_service_task(
        self,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: Any,
        state_credentials: Any,
    ) -> None:
        self._check_parameters(env, normalised_parameters, spelled=upper_first)
        operation = service_model("batch").operation_model("SubmitJob")
        client = self._client(resource_runtime_part, state_credentials)
        answer = client.submit_job(**to_api(operation.input_shape, normalised_parameters))
        answer.pop("ResponseMetadata", None)
        env.stack.append(from_api(operation.output_shape, answer))

    def _build_sync_resolver(
        self,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: Any,
        state_credentials: Any,
    ) -> _BatchWatch:
        job_id = env.stack.pop()["JobId"]
        client = self._client(resource_runtime_part, state_credentials)
        return _BatchWatch(client, job_id, self, env)

    def failed(self, env: Any, job: dict[str, Any]) -> Exception:
        error: Exception = self._task_failed(env, json.dumps(job, separators=(",", ":")))
        return error

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, ClientError):
            code = ex.response["Error"]["Code"]
            name = f"Batch.{code if code in _MODELLED else 'AWSBatchException'}"
            cause = service_error(ex, service="AWSBatch")
            return self._failure(env, CustomErrorName(error_name=name), name, cause)
        return super()._from_error(env=env, ex=ex)
