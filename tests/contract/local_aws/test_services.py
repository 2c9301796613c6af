"""DynamoDB, SNS, SQS, secrets, parameters, logs and metrics, as the platform leans on them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local_aws import eventually, unique

if TYPE_CHECKING:
    from tests.conftest import Clients


@pytest.fixture(scope="module")
def records(aws: Clients) -> str:
    """A table keyed by model and sequence, as the approval record's is."""
    name = unique("records")
    aws("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "model", "KeyType": "HASH"},
            {"AttributeName": "sequence", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "model", "AttributeType": "S"},
            {"AttributeName": "sequence", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    aws("dynamodb").get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return name


def key(model: str, sequence: int) -> dict[str, dict[str, str]]:
    return {"model": {"S": model}, "sequence": {"N": str(sequence)}}


def test_of_many_that_append_one_wins(aws: Clients, records: str) -> None:
    client = aws("dynamodb")

    def append(writer: int) -> bool:
        try:
            client.put_item(
                TableName=records,
                Item={**key("race", 1), "writer": {"N": str(writer)}},
                ConditionExpression="attribute_not_exists(model)",
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(append, range(16))) == 1


def test_records_are_read_in_order(aws: Clients, records: str) -> None:
    client = aws("dynamodb")
    puts = [{"PutRequest": {"Item": key("order", n)}} for n in (10, 9, 2)]
    client.batch_write_item(RequestItems={records: puts})
    answer = client.query(
        TableName=records,
        KeyConditionExpression="model = :m AND #s >= :from",
        ExpressionAttributeNames={"#s": "sequence"},
        ExpressionAttributeValues={":m": {"S": "order"}, ":from": {"N": "3"}},
        ScanIndexForward=False,
        ConsistentRead=True,
    )
    assert [int(item["sequence"]["N"]) for item in answer["Items"]] == [10, 9]
    scanned = client.scan(TableName=records)["Items"]
    assert sum(item["model"]["S"] == "order" for item in scanned) == 3
    got = client.batch_get_item(RequestItems={records: {"Keys": [key("order", 2)]}})
    assert got["Responses"][records] == [key("order", 2)]


def test_items_change_and_go(aws: Clients, records: str) -> None:
    client, item = aws("dynamodb"), key("item", 1)
    client.put_item(TableName=records, Item=item)
    client.update_item(
        TableName=records,
        Key=item,
        UpdateExpression="ADD seen :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
    )
    assert client.get_item(TableName=records, Key=item)["Item"]["seen"] == {"N": "2"}
    client.delete_item(TableName=records, Key=item)
    assert "Item" not in client.get_item(TableName=records, Key=item)


def test_a_transaction_holds_whole_or_not_at_all(aws: Clients, records: str) -> None:
    client = aws("dynamodb")
    client.put_item(TableName=records, Item=key("both", 1))
    writes = [
        {
            "Put": {
                "TableName": records,
                "Item": key("both", n),
                "ConditionExpression": "attribute_not_exists(model)",
            }
        }
        for n in (2, 1)
    ]
    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.transact_write_items(TransactItems=writes)
    assert "Item" not in client.get_item(TableName=records, Key=key("both", 2))


def test_tables_are_listed_described_and_deleted(aws: Clients, records: str) -> None:
    client = aws("dynamodb")
    assert records in client.list_tables()["TableNames"]
    assert client.describe_table(TableName=records)["Table"]["TableStatus"] == "ACTIVE"
    name = unique("gone")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.delete_table(TableName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName=name)


def test_what_a_topic_is_told_arrives_in_its_queues(aws: Clients) -> None:
    sns, sqs = aws("sns"), aws("sqs")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    queue = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn["Attributes"]["QueueArn"],
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [entry["SubscriptionArn"] for entry in listed] == [subscription]
    sns.publish(TopicArn=topic, Subject="failed", Message="why")
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    body = json.loads(message["Body"])
    assert (body["TopicArn"], body["Subject"], body["Message"]) == (topic, "failed", "why")
    sns.unsubscribe(SubscriptionArn=subscription)
    assert topic in [entry["TopicArn"] for entry in sns.list_topics()["Topics"]]
    sns.delete_topic(TopicArn=topic)
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.publish(TopicArn=topic, Message="nobody")


def test_a_message_is_hidden_while_it_is_worked_on(aws: Clients) -> None:
    sqs, name = aws("sqs"), unique("queue")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == queue
    sqs.send_message(QueueUrl=queue, MessageBody="work")
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName=name)


def test_a_secret_is_replaced_and_deleted(aws: Clients) -> None:
    client, name = aws("secretsmanager"), unique("mlops/redis")
    client.create_secret(Name=name, SecretString="one")
    client.put_secret_value(SecretId=name, SecretString="two")
    assert client.get_secret_value(SecretId=name)["SecretString"] == "two"
    client.update_secret(SecretId=name, SecretString="three")
    assert client.get_secret_value(SecretId=name)["SecretString"] == "three"
    assert client.describe_secret(SecretId=name)["Name"] == name
    pages = client.get_paginator("list_secrets").paginate()
    assert name in [secret["Name"] for page in pages for secret in page["SecretList"]]
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_secret_value(SecretId=name)


def test_parameters_are_found_by_path(aws: Clients) -> None:
    client, root = aws("ssm"), f"/{unique('p')}"
    for name in ("a", "b"):
        client.put_parameter(Name=f"{root}/{name}", Value=name, Type="String")
    assert client.get_parameter(Name=f"{root}/a")["Parameter"]["Value"] == "a"
    found = client.get_parameters_by_path(Path=root)["Parameters"]
    assert sorted(p["Value"] for p in found) == ["a", "b"]
    client.delete_parameter(Name=f"{root}/a")
    with pytest.raises(client.exceptions.ParameterNotFound):
        client.get_parameter(Name=f"{root}/a")


def test_logs_are_kept_in_order(aws: Clients) -> None:
    client, group = aws("logs"), f"/{unique('group')}"
    client.create_log_group(logGroupName=group)
    client.put_retention_policy(logGroupName=group, retentionInDays=30)
    client.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + n, "message": f"line {n}"} for n in range(3)]
    client.put_log_events(logGroupName=group, logStreamName="s", logEvents=lines)
    got = client.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)
    assert [event["message"] for event in got["events"]] == ["line 0", "line 1", "line 2"]
    (found,) = client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["retentionInDays"] == 30
    streams = client.describe_log_streams(logGroupName=group)["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["s"]
    client.delete_log_stream(logGroupName=group, logStreamName="s")
    client.delete_log_group(logGroupName=group)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.describe_log_streams(logGroupName=group)


def test_metrics_are_summed_and_watched(aws: Clients) -> None:
    client, namespace = aws("cloudwatch"), unique("Mlops")
    client.put_metric_data(
        Namespace=namespace,
        MetricData=[{"MetricName": "Rows", "Value": value} for value in (1.0, 2.0)],
    )
    now = datetime.now(UTC)

    def total() -> float:
        points = client.get_metric_statistics(
            Namespace=namespace,
            MetricName="Rows",
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    assert eventually(total, what="the metric") == 3.0
    assert client.list_metrics(Namespace=namespace)["Metrics"][0]["MetricName"] == "Rows"
    alarm = unique("alarm")
    client.put_metric_alarm(
        AlarmName=alarm,
        Namespace=namespace,
        MetricName="Rows",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
    )
    assert client.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["AlarmName"] == alarm
    client.delete_alarms(AlarmNames=[alarm])
    assert not client.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
