"""Numbers in state machines are read as the JSON that they are."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mlops.names import Role
from tests.approvals import NAMES

if TYPE_CHECKING:
    from tests.conftest import Clients


def _result(states: Any, definition: str, name: str) -> Any:
    machine = states.create_state_machine(
        name=name, definition=definition, roleArn=NAMES.role_arn(Role.WORKFLOW)
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    for _ in range(100):
        answer = states.describe_execution(executionArn=execution)
        if answer["status"] != "RUNNING":
            break
        time.sleep(0.05)
    return json.loads(answer["output"])


@pytest.mark.parametrize("number", ["1e-05", "1E+05", "2.5e007", "1e-10", "0.00001"])
def test_a_number_with_an_exponent_is_a_number(aws: Clients, number: str) -> None:
    definition = (
        '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true, '
        f'"Result": {{"number": {number}, "text": "4e-05 \\\\"}}}}}}}}'
    )

    name = f"numbers-{number.replace('+', 'p').replace('.', 'd')}"
    result = _result(aws("stepfunctions"), definition, name)

    assert result == {"number": float(number), "text": "4e-05 \\"}
