"""Executions on the local AWS tell of themselves as Step Functions does."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta

from tests.conftest import Clients


def test_the_start_time_of_an_execution_is_iso_8601_text_in_its_states(aws: Clients) -> None:
    states = aws("stepfunctions")
    role = aws("iam").create_role(
        RoleName="start-time",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "states.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            }
        ),
    )["Role"]["Arn"]
    tell = {"Type": "Pass", "Parameters": {"at.$": "$$.Execution.StartTime"}, "End": True}
    machine = states.create_state_machine(
        name="start-time",
        definition=json.dumps({"StartAt": "Tell", "States": {"Tell": tell}}),
        roleArn=role,
    )["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    while (found := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    told = json.loads(found["output"])["at"]
    assert told.endswith("Z")
    assert abs(datetime.fromisoformat(told) - found["startDate"]) < timedelta(seconds=1)
