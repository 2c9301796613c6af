"""What happens because something else did: notifications, rules and schedules."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_aws import (
    eventually,
    make_bucket,
    make_function,
    make_role,
    make_state_machine,
    unique,
)

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from tests.conftest import Clients

KEEPS_EVENTS = """
import boto3, json, os
def handler(event, context):
    key = context.aws_request_id + ".json"
    boto3.client("s3").put_object(Bucket=os.environ["KEEP"], Key=key, Body=json.dumps(event))
"""
ANY_STATE = {"Pass": {"Type": "Pass", "End": True}}


class Keeper:
    """A function that keeps the events which it gets in a bucket."""

    def __init__(self, aws: Clients) -> None:
        self._aws, self._bucket = aws, make_bucket(aws, name="keep")
        made = make_function(
            aws,
            KEEPS_EVENTS,
            role=make_role(aws),
            Environment={"Variables": {"KEEP": self._bucket}},
        )
        self.name, self.arn = made["FunctionName"], made["FunctionArn"]
        for principal in ("s3", "events", "sns"):
            aws("lambda").add_permission(
                FunctionName=self.name,
                StatementId=principal,
                Action="lambda:InvokeFunction",
                Principal=f"{principal}.amazonaws.com",
            )

    def events(self) -> list[Any]:
        s3 = self._aws("s3")
        found = s3.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        bodies = (s3.get_object(Bucket=self._bucket, Key=entry["Key"]) for entry in found)
        return [json.loads(body["Body"].read()) for body in bodies]

    def wait(self) -> Any:
        return eventually(self.events, what=f"an event for {self.name}")[0]


def put_rule(aws: Clients, pattern: dict[str, Any], *targets: dict[str, Any]) -> str:
    rule = unique("rule")
    aws("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
    answer = aws("events").put_targets(
        Rule=rule, Targets=[{"Id": str(n), **target} for n, target in enumerate(targets)]
    )
    assert answer["FailedEntryCount"] == 0
    return rule


def executions(aws: Clients, machine: str) -> list[dict[str, Any]]:
    client = aws("stepfunctions")
    listed = client.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")
    return [client.describe_execution(executionArn=e["executionArn"]) for e in listed["executions"]]


def test_an_upload_invokes_a_function(aws: Clients) -> None:
    keeper, bucket, s3 = Keeper(aws), make_bucket(aws), aws("s3")
    wanted = {"Key": {"FilterRules": [{"Name": "suffix", "Value": "definition.json"}]}}
    notification = {
        "LambdaFunctionArn": keeper.arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": wanted,
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"LambdaFunctionConfigurations": [notification]},
    )
    kept = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert kept["LambdaFunctionConfigurations"][0]["LambdaFunctionArn"] == keeper.arn
    s3.put_object(Bucket=bucket, Key="w/source.tar.gz", Body=b"x")
    s3.put_object(Bucket=bucket, Key="w/definition.json", Body=b"{}")
    (record,) = keeper.wait()["Records"]
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == bucket
    assert record["s3"]["object"]["key"] == "w/definition.json"


def test_a_matching_event_invokes_a_function(aws: Clients) -> None:
    keeper, source = Keeper(aws), unique("source")
    rule = put_rule(aws, {"source": [source], "detail": {"n": [2]}}, {"Arn": keeper.arn})
    events = aws("events")
    for n in (1, 2):
        entry = {"Source": source, "DetailType": "T", "Detail": json.dumps({"n": n})}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    event = keeper.wait()
    assert (event["source"], event["detail-type"], event["detail"]) == (source, "T", {"n": 2})
    assert len(keeper.events()) == 1
    assert events.describe_rule(Name=rule)["State"] == "ENABLED"
    assert events.list_targets_by_rule(Rule=rule)["Targets"][0]["Arn"] == keeper.arn
    assert rule in events.list_rule_names_by_target(TargetArn=keeper.arn)["RuleNames"]
    assert rule in [found["Name"] for found in events.list_rules(NamePrefix="rule")["Rules"]]


def test_a_rule_that_is_off_or_gone_does_nothing(aws: Clients) -> None:
    events, source, machine = aws("events"), unique("s"), make_state_machine(aws, ANY_STATE)
    on = put_rule(aws, {"source": [source]}, {"Arn": machine})
    off = put_rule(aws, {"source": [source]}, {"Arn": machine})
    gone = put_rule(aws, {"source": [source]}, {"Arn": machine})
    events.disable_rule(Name=off)
    events.remove_targets(Rule=gone, Ids=["0"])
    events.delete_rule(Name=gone)
    events.disable_rule(Name=on)
    events.enable_rule(Name=on)
    events.put_events(Entries=[{"Source": source, "DetailType": "T", "Detail": "{}"}])
    assert len(eventually(lambda: executions(aws, machine), what="an execution")) == 1


def test_a_rule_starts_a_state_machine_with_the_event(aws: Clients) -> None:
    source, machine = unique("source"), make_state_machine(aws, ANY_STATE)
    put_rule(aws, {"source": [source]}, {"Arn": machine, "RoleArn": make_role(aws)})
    aws("events").put_events(Entries=[{"Source": source, "DetailType": "T", "Detail": '{"a":1}'}])
    (run,) = eventually(lambda: executions(aws, machine), what="an execution")
    assert json.loads(run["input"])["detail"] == {"a": 1}


def test_the_end_of_an_execution_is_an_event(aws: Clients) -> None:
    nap = {"Nap": {"Type": "Wait", "Seconds": 60, "End": True}}
    napping, told, states = (
        make_state_machine(aws, nap),
        make_state_machine(aws, ANY_STATE),
        aws("stepfunctions"),
    )
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["ABORTED"], "stateMachineArn": [{"prefix": napping}]},
    }
    put_rule(aws, pattern, {"Arn": told})
    run = states.start_execution(stateMachineArn=napping, input='{"a": 1}')["executionArn"]
    states.stop_execution(executionArn=run, cause="because")
    (event,) = eventually(lambda: executions(aws, told), what="the event of the stop")
    detail = json.loads(event["input"])["detail"]
    assert (detail["executionArn"], detail["status"]) == (run, "ABORTED")
    assert json.loads(detail["input"]) == {"a": 1}


def test_a_schedule_starts_a_state_machine_with_its_input(aws: Clients) -> None:
    machine, name, scheduler = make_state_machine(aws, ANY_STATE), unique("s"), aws("scheduler")
    target = {"Arn": machine, "RoleArn": make_role(aws), "Input": '{"day": "2018-08-08"}'}
    soon = datetime.now(UTC) + timedelta(seconds=1)
    often = {
        "Name": name,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
        "State": "ENABLED",
    }
    scheduler.create_schedule(ScheduleExpression="rate(1 day)", **often)
    time.sleep(1.5)  # it was looked at, and not yet due
    scheduler.update_schedule(ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})", **often)
    assert scheduler.get_schedule(Name=name)["ScheduleExpression"].startswith("at(")
    assert name in [found["Name"] for found in scheduler.list_schedules()["Schedules"]]
    (run,) = eventually(lambda: executions(aws, machine), what="the scheduled start", seconds=90)
    assert json.loads(run["input"]) == {"day": "2018-08-08"}
    scheduler.delete_schedule(Name=name)
    with pytest.raises(scheduler.exceptions.ResourceNotFoundException):
        scheduler.get_schedule(Name=name)


def test_a_version_whose_state_changes_invokes_a_function(
    aws: Clients, local_aws: LocalAws
) -> None:
    keeper, group, sagemaker = Keeper(aws), unique("group"), aws("sagemaker")
    pattern = {"source": ["aws.sagemaker"], "detail": {"ModelPackageGroupName": [group]}}
    put_rule(aws, pattern, {"Arn": keeper.arn})
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    made = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/k/model.tar.gz"}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    sagemaker.update_model_package(
        ModelPackageArn=made["ModelPackageArn"], ModelApprovalStatus="Approved"
    )

    def approved() -> list[Any]:
        found = keeper.events()
        return [e for e in found if e["detail"]["ModelApprovalStatus"] == "Approved"]

    (event,) = eventually(approved, what="the event of the approval")
    assert event["detail-type"] == "SageMaker Model Package State Change"
    assert event["detail"]["ModelPackageArn"] == made["ModelPackageArn"]
