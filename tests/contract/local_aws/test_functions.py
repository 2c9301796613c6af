"""Lambda: Python in processes of its own, as its role, with logs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra.local.settings import ACCOUNT
from tests.local_aws import eventually, make_bucket, make_function, make_role, unique, zipped

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from tests.conftest import Clients

WHERE_AND_WHO = """
import boto3, os, sys
def handler(event, context):
    return {
        "python": sys.executable,
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "arn": boto3.client("sts").get_caller_identity()["Arn"],
        "setting": os.environ.get("MLOPS_ENV"),
        "name": context.function_name,
        "event": event,
    }
"""
FAILS = """
def handler(event, context):
    print("before the end")
    raise ValueError(f"cannot do {event['what']}")
"""


def invoke(aws: Clients, name: str, event: Any) -> Any:
    answer = aws("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    assert "FunctionError" not in answer
    return json.loads(answer["Payload"].read())


def test_a_function_runs_here_as_its_role(aws: Clients, local_aws: LocalAws) -> None:
    role = make_role(aws)
    name = make_function(
        aws, WHERE_AND_WHO, role=role, Environment={"Variables": {"MLOPS_ENV": "local"}}
    )["FunctionName"]
    found = invoke(aws, name, {"a": 1})
    assert found == {
        "python": sys.executable,
        "endpoint": local_aws.endpoint,
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/{name}",
        "setting": "local",
        "name": name,
        "event": {"a": 1},
    }


def test_new_code_and_settings_take_effect(aws: Clients) -> None:
    role, client = make_role(aws), aws("lambda")
    name = make_function(aws, "def handler(e, c): return 1", role=role)["FunctionName"]
    assert invoke(aws, name, {}) == 1
    code = "import os\ndef handler(e, c): return os.environ['X']"
    client.update_function_code(FunctionName=name, ZipFile=zipped(code))
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"X": "2"}})
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(aws, name, {}) == "2"


def test_code_may_come_from_a_bucket(aws: Clients) -> None:
    bucket, role = make_bucket(aws), make_role(aws)
    code = zipped("def handler(e, c): return 'from s3'")
    aws("s3").put_object(Bucket=bucket, Key="code.zip", Body=code)
    name = unique("function")
    aws("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role,
        Handler="code_of.handler",
        Code={"S3Bucket": bucket, "S3Key": "code.zip"},
    )
    aws("lambda").get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 1}
    )
    assert invoke(aws, name, {}) == "from s3"


def test_a_failure_is_answered_and_its_traceback_logged(aws: Clients) -> None:
    name = make_function(aws, FAILS, role=make_role(aws))["FunctionName"]
    answer = aws("lambda").invoke(FunctionName=name, Payload=b'{"what": "that"}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorMessage"] == "cannot do that"

    def logged() -> str | None:
        pages = aws("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")
        text = "\n".join(event["message"] for event in pages["events"])
        return text if "ValueError: cannot do that" in text else None

    text = eventually(logged, what="the log of the failure")
    assert "before the end" in text
    assert "Traceback" in text


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_there\ndef handler(e, c): pass", "No module named 'nothing_there'"),
        ("import time\ndef handler(e, c): time.sleep(9)", "timed out"),
        ("import os\ndef handler(e, c): os._exit(3)", "died"),
    ],
    ids=["import", "timeout", "exit"],
)
def test_a_function_that_never_answers_says_why_in_its_log(
    aws: Clients, code: str, told: str
) -> None:
    name = make_function(aws, code, role=make_role(aws), Timeout=1)["FunctionName"]
    assert aws("lambda").invoke(FunctionName=name, Payload=b"{}")["FunctionError"] == "Unhandled"
    events = aws("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"] for event in events if told in event["message"]]


def test_a_failing_event_is_tried_twice_more(aws: Clients) -> None:
    name = make_function(aws, FAILS, role=make_role(aws))["FunctionName"]
    aws("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'{"what": "it"}')

    def thrice() -> bool:
        pages = aws("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")
        return sum("before the end" in event["message"] for event in pages["events"]) == 3

    def safely() -> bool:
        try:
            return thrice()
        except ClientError:  # the log group comes with the first line
            return False

    assert eventually(safely, what="the third try")


def test_functions_are_listed_described_and_deleted(aws: Clients) -> None:
    client = aws("lambda")
    name = make_function(aws, "def handler(e, c): pass", role=make_role(aws))["FunctionName"]
    pages = client.get_paginator("list_functions").paginate()
    assert name in [f["FunctionName"] for page in pages for f in page["Functions"]]
    assert client.get_function(FunctionName=name)["Configuration"]["Runtime"] == "python3.11"
    assert client.get_function_configuration(FunctionName=name)["Timeout"] == 30
    client.add_permission(
        FunctionName=name,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )
    (statement,) = json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    client.delete_function(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)
