"""Where moto's Step Functions differ from AWS's in what we lean on; each has a contract test."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from infra.local.events import emit

_STRING_OR_EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|(?<=[0-9])[eE][+-]?0+(?=[0-9])')


def install(endpoint: str) -> None:
    """Put every patch in; once, before the first execution."""
    from infra.local.stepfunctions import tasks

    _name_executions()
    _keep_reason_of_stop()
    _read_exponents()
    _write_start_times()
    tasks.install(endpoint)


def _name_executions() -> None:
    """An execution started without a name is called 'None', and the second one is refused."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    start = StepFunctionsParserBackend.start_execution

    def start_execution(
        self: Any, state_machine_arn: str, name: str | None = None, *rest: Any, **others: Any
    ) -> Any:
        return start(self, state_machine_arn, name or str(uuid4()), *rest, **others)

    StepFunctionsParserBackend.start_execution = start_execution


def _keep_reason_of_stop() -> None:
    """The error and cause that StopExecution gives are lost."""
    from moto.core.responses import ActionResult
    from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
    from moto.stepfunctions.responses import StepFunctionResponse

    def stop_execution(self: Any) -> Any:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        now = datetime.now(UTC)
        execution.stop(
            stop_date=now, error=self._get_param("error"), cause=self._get_param("cause")
        )
        return ActionResult({"stopDate": now})

    reflect = BaseExecutionWorkerCommunication._reflect_execution_status

    def reflect_execution_status(self: Any) -> None:
        reflect(self)
        state = self.execution.exec_worker.env.program_state()
        if isinstance(state, ProgramStopped):
            self.execution.error, self.execution.cause = state.error, state.cause
        _tell_end(self.execution)

    StepFunctionResponse.stop_execution = stop_execution
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_execution_status


def _tell_end(execution: Any) -> None:
    """moto puts no events; AWS puts one for each status, of which ends are what rules wait for."""
    started, stopped = execution.start_date, execution.stop_date
    detail = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": execution.exec_status,
        "startDate": round(started.timestamp() * 1000),
        "stopDate": round(stopped.timestamp() * 1000),
        "input": json.dumps(execution.input_data),
        "output": json.dumps(execution.output) if execution.exec_status == "SUCCEEDED" else None,
    }
    emit(
        "aws.states",
        "Step Functions Execution Status Change",
        detail,
        resources=[execution.exec_arn],
    )


def _read_exponents() -> None:
    """A number such as 1e-05, which is JSON and what Python writes, is refused."""
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    parse = AmazonStateLanguageParser.parse

    def parse_definition(definition: str) -> Any:
        return parse(_STRING_OR_EXPONENT.sub(_without_zeros, definition))

    AmazonStateLanguageParser.parse = parse_definition


def _write_start_times() -> None:
    """`$$.Execution.StartTime` is a datetime that no state can write; it is ISO 8601 text."""
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

    environment = ExecutionWorker._get_evaluation_environment

    def get_evaluation_environment(self: Any) -> Any:
        made = environment(self)
        data = made.states.context_object.context_object_data["Execution"]
        started = data["StartTime"].astimezone(UTC)
        data["StartTime"] = f"{started:%Y-%m-%dT%H:%M:%S}.{started.microsecond // 1000:03d}Z"
        return made

    ExecutionWorker._get_evaluation_environment = get_evaluation_environment


def _without_zeros(token: re.Match[str]) -> str:
    """'e-0' as 'e-'; strings as they are."""
    return token[0] if token[0].startswith('"') else token[0].rstrip("0")
