"""Where moto's interpreter handles errors otherwise than AWS; each has a contract test."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import AWSError
from moto.stepfunctions.parser import api
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
    ErrorEqualsDecl,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.fail import state_fail

_TERMINAL = [
    StatesErrorName(typ=kind)
    for kind in (
        StatesErrorNameType.StatesRuntime,
        StatesErrorNameType.StatesStatesDataLimitExceeded,
    )
]


def handle_errors_as_aws() -> None:
    """Put the patches in, once."""
    _let_terminal_errors_pass()
    _let_states_errors_travel()
    _name_refusals()


def _let_terminal_errors_pass() -> None:
    """`States.ALL` catches neither `States.Runtime` nor `States.DataLimitExceeded`."""
    theirs = ErrorEqualsDecl._eval_body

    def eval_body(self: Any, env: Any) -> None:
        error_name = env.stack[-1]
        theirs(self, env)
        if error_name in _TERMINAL and error_name not in self.error_names:
            env.stack[-1] = False

    ErrorEqualsDecl._eval_body = eval_body


def _let_states_errors_travel() -> None:
    """A branch, an iteration or a Fail state may end with an error such as `States.TaskFailed`.

    moto takes the name for a custom one there and stumbles over its prefix.
    """
    for module in (branches_decl, iteration_worker, state_fail):
        module.CustomErrorName = _error_name


def _error_name(error_name: str | None) -> Any:
    try:
        return StatesErrorName.from_name(error_name)
    except ValueError:
        return CustomErrorName(error_name=error_name)


def _name_refusals() -> None:
    """Give an error answer its code, for example 'InvalidDefinition'; moto leaves it empty."""
    exceptions: list[Any] = [value for value in vars(api).values() if isinstance(value, type)]
    for exception in exceptions:
        if issubclass(exception, AWSError) and exception.TYPE is None:
            exception.TYPE = vars(exception).get("code")
