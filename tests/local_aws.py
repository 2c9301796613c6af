"""What the tests of the local AWS share: names of their own, functions, waiting."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from infra.local.settings import ACCOUNT, REGION

if TYPE_CHECKING:
    from tests.conftest import Clients

Value = TypeVar("Value")

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "AWS": f"arn:aws:iam::{ACCOUNT}:root",
                    "Service": ["lambda.amazonaws.com", "states.amazonaws.com"],
                },
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def unique(name: str) -> str:
    """A name that no other test has."""
    return f"{name}-{uuid4().hex[:12]}"


def eventually(look: Callable[[], Value | None], *, what: str, seconds: float = 60) -> Value:
    """The first value that is not None or empty; fails the test when none comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def make_bucket(aws: Clients, *, name: str = "bucket") -> str:
    bucket = unique(name)
    aws("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return bucket


def make_role(aws: Clients) -> str:
    """A role's ARN."""
    role = aws("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument=TRUST)
    return str(role["Role"]["Arn"])


def make_function(aws: Clients, code: str, *, role: str, **settings: Any) -> dict[str, Any]:
    """A Python function whose module 'code' has a `handler`; its configuration."""
    configuration: dict[str, Any] = aws("lambda").create_function(
        FunctionName=unique("function"),
        Runtime="python3.11",
        Role=role,
        Handler="code_of.handler",
        Code={"ZipFile": zipped(code)},
        **{"Timeout": 30, **settings},
    )
    aws("lambda").get_waiter("function_active_v2").wait(
        FunctionName=configuration["FunctionName"], WaiterConfig={"Delay": 1}
    )
    return configuration


def zipped(code: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("code_of.py", code)
    return body.getvalue()


def make_state_machine(aws: Clients, states: dict[str, Any]) -> str:
    """A state machine that starts with the first of the states; its ARN."""
    answer = aws("stepfunctions").create_state_machine(
        name=unique("machine"),
        definition=json.dumps({"StartAt": next(iter(states)), "States": states}),
        roleArn=make_role(aws),
    )
    return str(answer["stateMachineArn"])


def run_state_machine(aws: Clients, arn: str, **settings: Any) -> dict[str, Any]:
    """An execution, when it has ended."""
    client = aws("stepfunctions")
    run = client.start_execution(stateMachineArn=arn, **settings)["executionArn"]

    def ended() -> dict[str, Any] | None:
        described: dict[str, Any] = client.describe_execution(executionArn=run)
        return described if described["status"] != "RUNNING" else None

    return eventually(ended, what=f"the end of {run}")
