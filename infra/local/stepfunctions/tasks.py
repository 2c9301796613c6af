"""Step Functions' tasks that moto lacks or has otherwise, inside its interpreter.

- `sagemaker:create…Job` (`infra.local.sagemaker.tasks`), `batch:submitJob`
  (`infra.local.batch.tasks`).
- `aws-sdk:*` tasks raise `<Service>.<Code>Exception` with AWS's spelling of the service
  (`S3.NoSuchKeyException`), and their answers are plain JSON (`$.Body` is text).
- `aws-sdk:*` tasks name parameters and answers in PascalCase, also where the API does not.
- A `Body` that is an object (S3's PutObject) is stored as its JSON.
- Every task acts as the state machine's role.
"""

from __future__ import annotations

import json
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (  # noqa: E501 - the module's name
    StateTaskServiceAwsSdk,
)

from infra.local.batch.tasks import BatchTask
from infra.local.jobs.identity import Clients
from infra.local.jobs.validation import service_model
from infra.local.sagemaker.tasks import SageMakerTask
from infra.local.settings import REGION
from infra.local.stepfunctions.answers import from_api, plain_json, to_api, upper_first
from infra.local.stepfunctions.interpreter import handle_errors_as_aws
from infra.local.stepfunctions.roles import RoleClients, act_as_role

POLL = 0.2

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
    ours = {"sagemaker": SageMakerTask, "batch": BatchTask, "aws-sdk": AwsSdkTask}

    def task_for(service_name: str) -> Any:
        return ours[service_name]() if service_name in ours else theirs(service_name)

    state_task_factory.state_task_service_for = task_for


class AwsSdkTask(StateTaskServiceAwsSdk):  # type: ignore[misc]  # moto is untyped
    """`aws-sdk:service:operation`, with an answer that is JSON."""

    def _normalise_parameters(self, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
        """Names in PascalCase become the API's; a body that is no text is sent as its JSON."""
        shape = self._operation.input_shape
        members = shape.members if shape else {}
        spelled = to_api(shape, parameters) if shape else dict(parameters)
        parameters.clear()
        parameters.update(spelled)
        for name, value in parameters.items():
            member = members.get(name)
            if member is not None and member.type_name == "blob" and not isinstance(value, str):
                parameters[name] = json.dumps(value, separators=(",", ":")).encode()

    @property
    def _operation(self) -> Any:
        name = upper_first(self.resource.api_action)
        return service_model(self._get_boto_service_name()).operation_model(name)

    def _eval_service_task(self, env: Any, **others: Any) -> None:
        """The answer's names are in PascalCase, whatever the API's are."""
        super()._eval_service_task(env=env, **others)
        answer, shape = plain_json(env.stack.pop(), epoch=False), self._operation.output_shape
        env.stack.append(from_api(shape, answer) if shape else answer)
