"""Who acts: roles, their sessions, and the record of what they did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.settings import ACCOUNT, REGION
from tests.local_aws import TRUST, make_role, unique

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from tests.conftest import Clients


def as_role(local_aws: LocalAws, arn: str, *, session: str = "someone") -> boto3.Session:
    keys = local_aws.client("sts").assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
    return boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=REGION
    )


def test_without_a_role_the_account_acts(aws: Clients) -> None:
    identity = aws("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert identity["Account"] == ACCOUNT


def test_a_session_is_the_role_and_who_took_it(aws: Clients, local_aws: LocalAws) -> None:
    arn = make_role(aws)
    client = as_role(local_aws, arn, session="kim").client("sts", endpoint_url=local_aws.endpoint)
    name = arn.rpartition("/")[2]
    assert client.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/kim"


def test_a_role_made_by_cloudformation_can_be_assumed(aws: Clients, local_aws: LocalAws) -> None:
    name = unique("made")
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {"RoleName": name, "AssumeRolePolicyDocument": json.loads(TRUST)},
    }
    stack = unique("stack")
    cloudformation = aws("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=json.dumps({"Resources": {"Role": role}}),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1}
    )
    session = as_role(local_aws, f"arn:aws:iam::{ACCOUNT}:role/{name}")
    client = session.client("sts", endpoint_url=local_aws.endpoint)
    assert f":assumed-role/{name}/" in client.get_caller_identity()["Arn"]


def test_every_call_is_recorded_with_its_caller(aws: Clients, local_aws: LocalAws) -> None:
    arn = make_role(aws)
    session = as_role(local_aws, arn, session="recorded")
    session.client("s3", endpoint_url=local_aws.endpoint).list_buckets()
    session.client("dynamodb", endpoint_url=local_aws.endpoint).list_tables()
    lines = map(json.loads, local_aws.state.calls.read_text().splitlines())
    made = [line for line in lines if line["caller"].endswith("/recorded")]
    assert [(line["service"], line["operation"]) for line in made] == [
        ("s3", "ListBuckets"),
        ("dynamodb", "ListTables"),
    ]
    assert {line["caller"].split("/")[1] for line in made} == {arn.rpartition("/")[2]}
    assert all(line["time"].endswith("+00:00") for line in made)


def test_a_role_keeps_its_policies(aws: Clients) -> None:
    iam, name = aws("iam"), unique("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
    }
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=TRUST)
    assert iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"] == policy
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["p"]
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == json.loads(TRUST)
    pages = iam.get_paginator("list_roles").paginate()
    assert name in [role["RoleName"] for page in pages for role in page["Roles"]]
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=name)
