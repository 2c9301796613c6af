"""Step Functions' SageMaker tasks, inside moto's interpreter.

What works, with AWS's names and shapes (tests/contract/test_sagemaker_workflow.py):

- `arn:aws:states:::sagemaker:createTrainingJob`, `…createProcessingJob` and
  `…createHyperParameterTuningJob`, plain and `.sync`.
  `.sync` answers the Describe document, times in epoch milliseconds. A job that ends as Failed or
  Stopped raises `States.TaskFailed` with that document as the cause.
- A refused request raises `SageMaker.AmazonSageMakerException` (ValidationException,
  ThrottlingException, …), or `SageMaker.ResourceInUseException`,
  `SageMaker.ResourceLimitExceededException`, `SageMaker.ResourceNotFoundException`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)

from infra.local.stepfunctions.answers import plain_json, service_error
from infra.local.stepfunctions.job_task import JobTask

_log = logging.getLogger(__name__)

_JOBS = {
    "createTrainingJob": "Training",
    "createProcessingJob": "Processing",
    "createHyperParameterTuningJob": "HyperParameterTuning",
}
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_MODELLED = {"ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "ConflictException"}
"""Errors that the SageMaker API declares; Step Functions names all others after the service."""


class _JobWatch:
    """Looks after one job, for the loop that moto waits in."""

    def __init__(
        self, client: Any, word: str, name: str, failed: Callable[[str], Exception]
    ) -> None:
        self._client = client
        self._word = word
        self._name = {f"{word}JobName": name}
        self._operation = f"{_CAPITAL.sub('_', word).lower()}_job"
        self._failed = failed

    def __call__(self) -> dict[str, Any] | None:
        """The job's document once it is completed. Raises when it ended otherwise."""
        describe = getattr(self._client, f"describe_{self._operation}")
        answer: dict[str, Any] = plain_json(describe(**self._name), epoch=True)
        answer.pop("ResponseMetadata", None)
        status = answer[f"{self._word}JobStatus"]
        if status in {"InProgress", "Stopping"}:
            return None
        if status != "Completed":
            raise self._failed(json.dumps(answer, separators=(",", ":")))
        return answer

    def stop(self) -> None:
        try:
            getattr(self._client, f"stop_{self._operation}")(**self._name)
        except ClientError as exc:
            _log.info("%s ended meanwhile: %s", self._name, exc)


class SageMakerTask(JobTask):
    """`sagemaker:create…Job`, plain and `.sync`."""

    def __init__(self) -> None:
        # Without WaitForTaskToken moto makes no callback endpoint, and then trips over its absence.
        super().__init__({ResourceCondition.Sync, ResourceCondition.WaitForTaskToken})

    def _get_supported_parameters(self) -> set[str] | None:
        """None refuses the state machine, by the resource's name."""
        return {"*"} if self.resource.api_action in _JOBS else None

    def _eval_service_task(
        self,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: Any,
        state_credentials: Any,
    ) -> None:
        self._check_parameters(env, normalised_parameters)
        client = self._client(resource_runtime_part, state_credentials)
        answer = getattr(client, self._get_boto_service_action())(**normalised_parameters)
        answer.pop("ResponseMetadata", None)
        env.stack.append(answer)

    def _build_sync_resolver(
        self,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: Any,
        state_credentials: Any,
    ) -> _JobWatch:
        env.stack.pop()
        word = _JOBS[self.resource.api_action]
        client = self._client(resource_runtime_part, state_credentials)
        name = normalised_parameters[f"{word}JobName"]
        return _JobWatch(client, word, name, lambda cause: self._task_failed(env, cause))

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, ClientError):
            name, cause = error_of(ex)
            return self._failure(env, CustomErrorName(error_name=name), name, cause)
        return super()._from_error(env=env, ex=ex)


def error_of(error: ClientError) -> tuple[str, str]:
    """Name and cause that Step Functions gives to an error of the SageMaker API."""
    code = error.response["Error"]["Code"]
    name = code if code.endswith("Exception") else f"{code}Exception"
    name = f"SageMaker.{name if code in _MODELLED else 'AmazonSageMakerException'}"
    return name, service_error(error, service="AmazonSageMaker")
