"""What outlives the local AWS's end, whether it was asked to end or killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.local import lifecycle
from infra.local.lifecycle import LocalAws
from infra.local.settings import ACCOUNT, HOST, REGION
from mlops.errors import Conflict
from mlops.names import Role
from tests.local_aws import (
    TRUST,
    make_bucket,
    make_function,
    make_role,
    make_state_machine,
    run_state_machine,
)

pytestmark = pytest.mark.xdist_group("local-aws-survival")

WAITS = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}
PASSES = {"Pass": {"Type": "Pass", "Result": {"n": 1}, "End": True}}


@dataclass(frozen=True)
class Made:
    """What was in it, and the local AWS that was started again on it."""

    again: LocalAws
    bucket: str
    function: str
    finished: str
    running: str
    package: str
    queue: str
    session: dict[str, str]


def fill(local_aws: LocalAws) -> dict[str, Any]:
    """Something of everything that must survive."""
    aws = local_aws.client
    bucket, role = make_bucket(aws), make_role(aws)
    aws("iam").create_role(
        RoleName=local_aws.names.role_name(Role.APPROVER), AssumeRolePolicyDocument=TRUST
    )
    aws("s3").put_object(Bucket=bucket, Key="k", Body=b"kept", Metadata={"a": "b"})
    aws("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    aws("glue").create_database(DatabaseInput={"Name": "kept"})
    aws("secretsmanager").create_secret(Name="kept", SecretString="secret")
    aws("ssm").put_parameter(Name="/kept", Value="parameter", Type="String")
    aws("events").put_rule(Name="kept", EventPattern='{"source": ["x"]}')
    aws("scheduler").create_schedule(
        Name="kept",
        ScheduleExpression="rate(30 days)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:kept", "RoleArn": role},
    )
    aws("sns").create_topic(Name="kept")
    queue = aws("sqs").create_queue(QueueName="kept")["QueueUrl"]
    aws("sqs").send_message(QueueUrl=queue, MessageBody="message")
    aws("dynamodb").create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws("kinesis").create_stream(StreamName="kept", ShardCount=1)
    aws("kinesis").put_record(StreamName="kept", Data=b"before", PartitionKey="k")
    aws("kinesis").split_shard(
        StreamName="kept", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127)
    )
    aws("kinesis").put_record(
        StreamName="kept", Data=b"after", PartitionKey="k", ExplicitHashKey="0"
    )
    aws("dynamodb").put_item(TableName="kept", Item={"k": {"S": "item"}})
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "of-stack"}}
    aws("cloudformation").create_stack(
        StackName="kept", TemplateBody=json.dumps({"Resources": {"Topic": topic}})
    )
    function = make_function(aws, "def handler(e, c): return 'runs'", role=role)["FunctionName"]
    package = make_package(local_aws)
    client = redis.Redis.from_url(
        f"redis://{HOST}:{local_aws.redis_port}",
        password=local_aws.environment()["MLOPS_REDIS_PASSWORD"],
    )
    client.set("kept", "value")
    client.close()
    passes = make_state_machine(aws, PASSES)
    finished = run_state_machine(aws, passes, input='{"in": 1}')["executionArn"]
    aws("stepfunctions").tag_resource(resourceArn=passes, tags=[{"key": "code", "value": "sha"}])
    running = aws("stepfunctions").start_execution(stateMachineArn=make_state_machine(aws, WAITS))[
        "executionArn"
    ]
    return {
        "bucket": bucket,
        "function": function,
        "finished": finished,
        "running": running,
        "package": package,
        "queue": queue,
        "session": local_aws.environment(Role.APPROVER),
    }


def make_package(local_aws: LocalAws) -> str:
    sagemaker = local_aws.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="kept")
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="kept",
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties={"metric_auc_roc": "0.9"},
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/k/model.tar.gz"}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    return str(arn)


def end_well(local_aws: LocalAws) -> None:
    local_aws.stop()


def kill(local_aws: LocalAws) -> None:
    time.sleep(4)  # what is younger than a round or two of writing may be lost
    os.kill(local_aws.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(local_aws.pid)], timeout=10)


@pytest.fixture(scope="module", params=[end_well, kill], ids=lambda end: end.__name__)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    state = tmp_path_factory.mktemp("survival")
    first = lifecycle.start(state)
    try:
        filled = fill(first)
        request.param(first)
        with lifecycle.start(state) as again:
            yield Made(again=again, **filled)
    finally:
        lifecycle.stop(state)


def test_objects_and_their_bucket_survive(made: Made) -> None:
    s3 = made.again.client("s3")
    got = s3.get_object(Bucket=made.bucket, Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (b"kept", {"a": "b"})
    assert s3.get_bucket_versioning(Bucket=made.bucket)["Status"] == "Enabled"


def test_what_services_hold_survives(made: Made) -> None:
    aws = made.again.client
    assert aws("glue").get_database(Name="kept")
    assert aws("secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "secret"
    assert aws("ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "parameter"
    assert aws("events").describe_rule(Name="kept")["EventPattern"] == '{"source": ["x"]}'
    assert aws("scheduler").get_schedule(Name="kept")["ScheduleExpression"] == "rate(30 days)"
    assert aws("dynamodb").scan(TableName="kept")["Items"] == [{"k": {"S": "item"}}]
    topics = {topic["TopicArn"].rpartition(":")[2] for topic in aws("sns").list_topics()["Topics"]}
    assert topics == {"kept", "of-stack"}
    queue = aws("sqs").get_queue_url(QueueName="kept")["QueueUrl"]
    (message,) = aws("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == "message"
    (stack,) = aws("cloudformation").describe_stacks(StackName="kept")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_streams_keep_their_shards_and_records_and_count_on(made: Made) -> None:
    kinesis = made.again.client("kinesis")
    shards = [shard["ShardId"] for shard in kinesis.list_shards(StreamName="kept")["Shards"]]
    kinesis.put_record(StreamName="kept", Data=b"more", PartitionKey="k", ExplicitHashKey="0")
    read = []
    for shard in shards:
        token = kinesis.get_shard_iterator(
            StreamName="kept", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        read.append(kinesis.get_records(ShardIterator=token)["Records"])
    assert [[record["Data"] for record in records] for records in read] == [
        [b"before"],
        [b"after", b"more"],
        [],
    ]
    numbers = [int(record["SequenceNumber"]) for records in read for record in records]
    assert numbers == sorted(set(numbers))


def test_functions_still_run(made: Made) -> None:
    answer = made.again.client("lambda").invoke(FunctionName=made.function, Payload=b"{}")
    assert json.loads(answer["Payload"].read()) == "runs"


def test_sessions_are_still_who_they_were(made: Made) -> None:
    session = boto3.Session(
        made.session["AWS_ACCESS_KEY_ID"],
        made.session["AWS_SECRET_ACCESS_KEY"],
        made.session["AWS_SESSION_TOKEN"],
        region_name=REGION,
    )
    client = session.client("sts", endpoint_url=made.again.endpoint)
    name = made.again.names.role_name(Role.APPROVER)
    assert f":assumed-role/{name}/" in client.get_caller_identity()["Arn"]


def test_a_finished_execution_keeps_its_output_and_history(made: Made) -> None:
    client = made.again.client("stepfunctions")
    found = client.describe_execution(executionArn=made.finished)
    assert (found["status"], found["output"], found["input"]) == (
        "SUCCEEDED",
        '{"n": 1}',
        '{"in": 1}',
    )
    history = client.get_execution_history(executionArn=made.finished)["events"]
    assert [event["type"] for event in history] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    machine = found["stateMachineArn"]
    listed = client.list_executions(stateMachineArn=machine)["executions"]
    assert [entry["executionArn"] for entry in listed] == [made.finished]
    tags = client.list_tags_for_resource(resourceArn=machine)["tags"]
    assert tags == [{"key": "code", "value": "sha"}]


def test_an_execution_that_ran_then_is_aborted_and_says_why(made: Made) -> None:
    client = made.again.client("stepfunctions")
    found = client.describe_execution(executionArn=made.running)
    assert (found["status"], found["error"]) == ("ABORTED", "LocalAws.Restarted")
    assert "stopped while this execution ran" in found["cause"]
    history = client.get_execution_history(executionArn=made.running)["events"]
    assert history[-1]["type"] == "ExecutionAborted"
    assert run_state_machine(made.again.client, make_state_machine(made.again.client, PASSES))


def test_versions_keep_metrics_and_approval(made: Made) -> None:
    found = made.again.client("sagemaker").describe_model_package(ModelPackageName=made.package)
    assert found["ModelApprovalStatus"] == "Approved"
    assert found["CustomerMetadataProperties"] == {"metric_auc_roc": "0.9"}


def test_redis_keeps_its_values_and_password(made: Made) -> None:
    password = made.again.environment()["MLOPS_REDIS_PASSWORD"]
    with redis.Redis(HOST, made.again.redis_port, password=password) as client:
        assert client.get("kept") == b"value"
    with (
        redis.Redis(HOST, made.again.redis_port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    secret = made.again.state.redis / "password"
    assert secret.stat().st_mode & 0o077 == 0


def test_starting_what_runs_gives_what_runs(made: Made) -> None:
    assert lifecycle.start(made.again.state.root) == made.again


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {port} .* --port"):
            lifecycle.start(tmp_path, port=port)


def test_nothing_listens_beyond_this_machine(made: Made) -> None:
    processes = [psutil.Process(made.again.pid)]
    processes += processes[0].children(recursive=True)
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {HOST}
