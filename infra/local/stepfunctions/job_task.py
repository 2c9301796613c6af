"""What a task that starts a job needs, whichever service runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
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
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (  # noqa: E501 - the module's name
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from infra.local.jobs.validation import service_model
from infra.local.stepfunctions.parameters import parameter_problems


class JobWatch(Protocol):
    """Looks after one job, for the loop that moto waits in."""

    def __call__(self) -> dict[str, Any] | None:
        """The job's document once it is completed. Raises when it ended otherwise."""

    def stop(self) -> None:
        """End the job; one that has ended is no error."""


class JobTask(StateTaskServiceCallback):  # type: ignore[misc]  # moto is untyped
    """A task that starts a job, plain and `.sync`.

    A task that times out, or whose execution is stopped, stops its job. Parameters of the wrong
    type, missing or unknown raise `States.Runtime`, which no Catch catches.
    """

    def _validate_service_integration_is_supported(self) -> None:
        if self.resource.condition not in (None, ResourceCondition.Sync):
            raise ValueError(f"The resource {self.resource.resource_arn} is not available")
        super()._validate_service_integration_is_supported()

    def _eval_parameters(self, env: Any) -> dict[str, Any]:
        # moto drops what it does not know; AWS refuses it.
        if self.parargs is None:
            return {}
        self.parargs.eval(env=env)
        parameters: dict[str, Any] = env.stack.pop()
        return parameters

    def _check_parameters(
        self,
        env: Any,
        parameters: Mapping[str, Any],
        *,
        spelled: Callable[[str], str] = str,
    ) -> None:
        """spelled: how the states language spells a name of the API."""
        operation = self.resource.api_action[0].upper() + self.resource.api_action[1:]
        shape = service_model(self._get_boto_service_name()).operation_model(operation).input_shape
        problems = list(parameter_problems(shape, parameters, spelled=spelled))
        if problems:
            raise self._runtime_error(env, parameters, problems)

    def _eval_sync(self, env: Any, *, sync_resolver: JobWatch, **others: Any) -> Any:
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
            service=self._get_boto_service_name(),
            state_credentials=state_credentials,
        )

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
