"""Step Functions' SageMaker tasks, inside moto's interpreter.

What works, with AWS's names and shapes (tests/contract/test_sagemaker_workflow.py):

- `arn:aws:states:::sagemaker:createTrainingJob`, `…createProcessingJob`, plain and `.sync`.
  `.sync` answers the Describe document, times in epoch milliseconds. A job that ends as Failed or
  Stopped raises `States.TaskFailed` with that document as the cause. A task that times out, or
  whose execution is stopped, stops its job.
- A refused request raises `SageMaker.AmazonSageMakerException` (ValidationException,
  ThrottlingException, …), or `SageMaker.ResourceInUseException`,
  `SageMaker.ResourceLimitExceededException`, `SageMaker.ResourceNotFoundException`.
- Parameters of the wrong type or missing raise `States.Runtime`, which no Catch catches.
- `aws-sdk:*` tasks raise `<Service>.<Code>Exception` with AWS's spelling of the service
  (`S3.NoSuchKeyException`), and their answers are plain JSON (`$.Body` is text).
- A `Body` that is an object (S3's PutObject) is stored as its JSON.
- Every task acts as the state machine's role.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (  # noqa: E501 - the module's name
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (  # noqa: E501 - the module's name
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from infra.local.sagemaker.identity import Clients
from infra.local.sagemaker.interpreter import handle_errors_as_aws
from infra.local.sagemaker.parameters import parameter_problems
from infra.local.sagemaker.roles import RoleClients, act_as_role
from infra.local.sagemaker.validation import service_model
from infra.local.settings import REGION

_log = logging.getLogger(__name__)

POLL = 0.2
_JOBS = {"createTrainingJob": "Training", "createProcessingJob": "Processing"}
_MODELLED = {"ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "ConflictException"}
"""Errors that the SageMaker API declares; Step Functions names all others after the service."""

_SDK_NAMES = {
    "s3": "S3",
    "sagemaker": "SageMaker",
    "sns": "Sns",
    "sqs": "Sqs",
    "athena": "Athena",
    "glue": "Glue",
    "lambda": "Lambda",
    "eventbridge": "EventBridge",
    "secretsmanager": "SecretsManager",
    "ssm": "Ssm",
    "sts": "Sts",
}


def install(endpoint: str) -> None:
    """Put the tasks into moto's task factory; once, before the first state machine is made."""
    act_as_role(RoleClients(Clients(endpoint, REGION)))
    handle_errors_as_aws()
    state_task_service_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = POLL
    state_task_service_aws_sdk._SERVICE_ERROR_NAMES.update(_SDK_NAMES)
    theirs = state_task_factory.state_task_service_for
    ours = {"sagemaker": SageMakerTask, "aws-sdk": AwsSdkTask}

    def task_for(service_name: str) -> Any:
        return ours[service_name]() if service_name in ours else theirs(service_name)

    state_task_factory.state_task_service_for = task_for


class _JobWatch:
    """Looks after one job, for the loop that moto waits in."""

    def __init__(
        self, client: Any, word: str, name: str, failed: Callable[[str], Exception]
    ) -> None:
        self._client = client
        self._word = word
        self._name = {f"{word}JobName": name}
        self._failed = failed

    def __call__(self) -> dict[str, Any] | None:
        """The job's document once it is completed. Raises when it ended otherwise."""
        describe = getattr(self._client, f"describe_{self._word.lower()}_job")
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
            getattr(self._client, f"stop_{self._word.lower()}_job")(**self._name)
        except ClientError as exc:
            _log.info("%s ended meanwhile: %s", self._name, exc)


class SageMakerTask(StateTaskServiceCallback):  # type: ignore[misc]  # moto is untyped
    """`sagemaker:create…Job`, plain and `.sync`."""

    def __init__(self) -> None:
        # Without WaitForTaskToken moto makes no callback endpoint, and then trips over its absence.
        super().__init__({ResourceCondition.Sync, ResourceCondition.WaitForTaskToken})

    def _validate_service_integration_is_supported(self) -> None:
        if self.resource.condition not in (None, ResourceCondition.Sync):
            raise ValueError(f"The resource {self.resource.resource_arn} is not available")
        super()._validate_service_integration_is_supported()

    def _get_supported_parameters(self) -> set[str] | None:
        """None refuses the state machine, by the resource's name."""
        return {"*"} if self.resource.api_action in _JOBS else None

    def _eval_parameters(self, env: Any) -> dict[str, Any]:
        # moto drops what it does not know; AWS refuses it.
        if self.parargs is None:
            return {}
        self.parargs.eval(env=env)
        parameters: dict[str, Any] = env.stack.pop()
        return parameters

    def _eval_service_task(
        self,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: Any,
        state_credentials: Any,
    ) -> None:
        operation = self.resource.api_action[0].upper() + self.resource.api_action[1:]
        shape = service_model().operation_model(operation).input_shape
        problems = list(parameter_problems(shape, normalised_parameters))
        if problems:
            raise self._runtime_error(env, normalised_parameters, problems)
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

    def _eval_sync(self, env: Any, *, sync_resolver: _JobWatch, **others: Any) -> Any:
        outcome = super()._eval_sync(env=env, sync_resolver=sync_resolver, **others)
        if not isinstance(outcome, dict):
            # The execution was stopped, or the task timed out, while the job ran.
            sync_resolver.stop()
        if outcome is None:
            raise TimeoutError(f"{self.resource.resource_arn} was left")
        return outcome

    def _client(self, resource_runtime_part: Any, state_credentials: Any) -> Any:
        return state_task_service_aws_sdk.boto_client_for(
            region=resource_runtime_part.region,
            service="sagemaker",
            state_credentials=state_credentials,
        )

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, ClientError):
            name, cause = error_of(ex)
            return self._failure(env, CustomErrorName(error_name=name), name, cause)
        return super()._from_error(env=env, ex=ex)

    def _task_failed(self, env: Any, cause: str) -> FailureEventException:
        kind = StatesErrorNameType.StatesTaskFailed
        return FailureEventException(
            self._failure(env, StatesErrorName(typ=kind), kind.to_name(), cause)
        )

    def _runtime_error(
        self, env: Any, parameters: Mapping[str, Any], problems: list[str]
    ) -> FailureEventException:
        kind = StatesErrorNameType.StatesRuntime
        cause = (
            f"The Parameters '{json.dumps(parameters)}' could not be used to start the Task: "
            f"[{', '.join(problems)}]"
        )
        return FailureEventException(
            self._failure(env, StatesErrorName(typ=kind), kind.to_name(), cause)
        )

    def _failure(self, env: Any, error_name: Any, error: str, cause: str) -> FailureEvent:
        return FailureEvent(
            env=env,
            error_name=error_name,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(
                taskFailedEventDetails=TaskFailedEventDetails(
                    resource=self._get_sfn_resource(),
                    resourceType=self._get_sfn_resource_type(),
                    error=error,
                    cause=cause,
                )
            ),
        )


class AwsSdkTask(StateTaskServiceAwsSdk):  # type: ignore[misc]  # moto is untyped
    """`aws-sdk:service:operation`, with an answer that is JSON."""

    def _normalise_parameters(self, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
        """A body that is no text, as S3's PutObject may have, is sent as its JSON."""
        operation = self.resource.api_action[0].upper() + self.resource.api_action[1:]
        shape = service_model(self._get_boto_service_name()).operation_model(operation).input_shape
        members = shape.members if shape else {}
        for name, value in parameters.items():
            member = members.get(name)
            if member is not None and member.type_name == "blob" and not isinstance(value, str):
                parameters[name] = json.dumps(value, separators=(",", ":")).encode()

    def _eval_service_task(self, env: Any, **others: Any) -> None:
        super()._eval_service_task(env=env, **others)
        env.stack.append(plain_json(env.stack.pop(), epoch=False))


def error_of(error: ClientError) -> tuple[str, str]:
    """Name and cause that Step Functions gives to an error of the SageMaker API."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    about = error.response["ResponseMetadata"]
    name = code if code.endswith("Exception") else f"{code}Exception"
    name = f"SageMaker.{name if code in _MODELLED else 'AmazonSageMakerException'}"
    cause = (
        f"{message} (Service: AmazonSageMaker; Status Code: {about['HTTPStatusCode']}; "
        f"Error Code: {code}; Request ID: {about.get('RequestId', '')}; Proxy: null)"
    )
    return name, cause


def plain_json(value: Any, *, epoch: bool) -> Any:
    """An SDK's answer as Step Functions passes it on.

    epoch: times as epoch milliseconds (service tasks), else as ISO 8601 (aws-sdk tasks).
    """
    if isinstance(value, Mapping):
        return {key: plain_json(member, epoch=epoch) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(member, epoch=epoch) for member in value]
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000) if epoch else _iso(value)
    if isinstance(value, StreamingBody):
        return value.read().decode("utf-8")
    return copy.copy(value)


def _iso(moment: datetime) -> str:
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
