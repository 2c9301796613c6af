"""Least privilege: what each role may do, and what it never may."""

from __future__ import annotations

import json
import re
from typing import Literal

import pytest

from infra.stacks.permissions import UNSCOPED, grants_of
from mlops.names import Names, Role

NAMES = Names(project="mlops", env="prod", account="123456789012", region="ap-northeast-2")
EVERY_GRANT = [(role, grant) for role in Role for grant in grants_of(role, NAMES)]
Secret = Literal["database", "admin", "writer", "reader", "webhook", "encryption"]
INLINE_POLICY_LIMIT = 10_240


def actions(role: Role) -> set[str]:
    return {action for grant in grants_of(role, NAMES) for action in grant.actions}


def holders(action: str) -> set[Role]:
    return {role for role in Role if action in actions(role)}


@pytest.mark.parametrize("role", Role)
def test_a_roles_grants_name_their_actions_and_resources(role: Role) -> None:
    for grant in grants_of(role, NAMES):
        assert not [action for action in grant.actions if "*" in action], grant
        if "*" in grant.resources:
            assert grant.resources == ("*",), grant
            assert set(grant.actions) <= set(UNSCOPED), grant


@pytest.mark.parametrize("role", Role)
def test_a_role_reaches_its_own_environment_only(role: Role) -> None:
    shared = (
        *("/aws/sagemaker/", "StepFunctionsGetEvents", ":catalog", "datacatalog/AwsDataCatalog"),
        *("aws-service-role/elasticache.amazonaws.com", "aws-service-role/batch.amazonaws.com"),
        *(":hyper-parameter-tuning-job/*", ":processing-job/*", ":training-job/*"),
        *(
            ":scalable-target/*",
            ":event-bus/default",
            f"batch:{NAMES.region}:{NAMES.account}:job/*",
        ),
    )
    ours = (NAMES.prefix, f"/{NAMES.database}")
    for resource in {resource for grant in grants_of(role, NAMES) for resource in grant.resources}:
        assert resource == "*" or any(part in resource for part in (*ours, *shared)), resource


def test_every_unscoped_action_is_used() -> None:
    used = {
        action for _, grant in EVERY_GRANT if grant.resources == ("*",) for action in grant.actions
    }
    assert used == set(UNSCOPED)


@pytest.mark.parametrize("role", Role)
def test_statement_names_are_unique_in_a_role(role: Role) -> None:
    names = [grant.sid for grant in grants_of(role, NAMES)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("role", Role)
def test_a_roles_policy_fits_into_iams_limit(role: Role) -> None:
    statements = [
        {"Sid": g.sid, "Effect": "Allow", "Action": g.actions, "Resource": g.resources}
        | ({"Condition": g.conditions} if g.conditions else {})
        for g in grants_of(role, NAMES)
    ]
    assert len(json.dumps(statements, separators=(",", ":"))) < INLINE_POLICY_LIMIT


def test_only_the_approver_decides_on_models() -> None:
    assert holders("sagemaker:UpdateModelPackage") == {Role.APPROVER}
    assert holders("dynamodb:PutItem") == {Role.APPROVER}


def test_the_approver_can_neither_train_nor_deploy() -> None:
    assert not actions(Role.APPROVER) & {
        "s3:PutObject",
        "sagemaker:CreateModelPackage",
        "states:StartExecution",
        "states:UpdateStateMachine",
    }


def test_only_the_workflow_registers_models() -> None:
    assert holders("sagemaker:CreateModelPackage") == {Role.WORKFLOW}


def test_nobody_rewrites_the_record() -> None:
    for action in ("dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"):
        assert holders(action) == set()


def test_secrets_are_read_where_they_are_used() -> None:
    assert holders("secretsmanager:GetSecretValue") == {
        Role.JENKINS,
        Role.FEATURE_JOB,
        Role.DRIFT_JOB,
        Role.SERVING,
        Role.NOTIFIER,
        Role.INFRASTRUCTURE,
        Role.TRAINING_JOB,
        Role.MODEL_DEPLOYER,
        Role.MLFLOW,
        Role.WEBHOOK_RECEIVER,
    }


def test_jobs_write_to_mlflow_and_what_looks_at_versions_reads() -> None:
    def enterers(of: Secret) -> set[Role]:
        place = f"arn:aws:secretsmanager:{NAMES.region}:{NAMES.account}:secret:"
        place += f"{NAMES.mlflow_secret(of)}-??????"
        return {role for role, grant in EVERY_GRANT if place in grant.resources}

    assert enterers("database") == enterers("admin") == {Role.MLFLOW}
    assert enterers("writer") == {Role.MLFLOW, Role.TRAINING_JOB}
    assert enterers("reader") == {
        *(Role.MLFLOW, Role.MODEL_DEPLOYER, Role.JENKINS, Role.DRIFT_JOB),
    }
    assert enterers("webhook") == {Role.WEBHOOK_RECEIVER}
    assert enterers("encryption") == {Role.MLFLOW}


def test_what_hears_mlflow_reads_no_model_and_no_record_and_overwrites_nothing() -> None:
    assert actions(Role.WEBHOOK_RECEIVER) == {
        *("events:PutEvents", "secretsmanager:GetSecretValue"),
        *("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:PutObject"),
        *("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
    }
    (write,) = (g for g in grants_of(Role.WEBHOOK_RECEIVER, NAMES) if "s3:PutObject" in g.actions)
    assert write.resources == (f"arn:aws:s3:::{NAMES.artifact_bucket}/webhooks/*",)
    assert write.conditions == {"Null": {"s3:if-none-match": "false"}}


def test_the_stream_is_filled_by_serving_and_emptied_by_downsync() -> None:
    assert holders("kinesis:PutRecords") == {Role.SERVING}
    assert holders("kinesis:GetRecords") == {Role.DOWNSYNC}


def test_downsync_writes_nothing_of_anyone_elses() -> None:
    places = {
        resource
        for role, grant in EVERY_GRANT
        if role is Role.DOWNSYNC and "s3:PutObject" in grant.actions
        for resource in grant.resources
    }
    assert places == {f"arn:aws:s3:::{NAMES.data_bucket}/downsync/*"}


def test_the_job_that_looks_for_drift_tells_nobody_and_changes_nothing() -> None:
    telling = {"events:PutEvents", "sns:Publish", "states:StartExecution"}
    assert not actions(Role.DRIFT_JOB) & telling
    places = {
        resource
        for grant in grants_of(Role.DRIFT_JOB, NAMES)
        if "s3:PutObject" in grant.actions
        for resource in grant.resources
    }
    artifacts, staging = (
        f"arn:aws:s3:::{bucket}" for bucket in (NAMES.artifact_bucket, NAMES.staging_bucket)
    )
    assert places == {f"{artifacts}/drift/.executions/*", f"{staging}/*"}


def test_the_ingestion_writes_payments_and_reads_what_is_handed_over() -> None:
    data, staging = (f"arn:aws:s3:::{b}" for b in (NAMES.data_bucket, NAMES.staging_bucket))
    places = {
        action: {
            r for g in grants_of(Role.INGESTION, NAMES) if action in g.actions for r in g.resources
        }
        for action in ("s3:GetObject", "s3:PutObject")
    }
    kept = {f"{data}/{prefix}/*" for prefix in ("raw", "imports", "quarantine")}
    assert places["s3:PutObject"] == kept | {f"{staging}/*"}
    assert places["s3:GetObject"] == kept | {f"{staging}/*", f"{data}/landing/*"}


def test_a_training_job_adds_datasets_and_replaces_or_removes_none() -> None:
    record = f"arn:aws:s3:::{NAMES.data_bucket}/datasets/records/*"
    (write,) = (
        grant
        for role, grant in EVERY_GRANT
        if role is Role.TRAINING_JOB
        and record in grant.resources
        and "s3:PutObject" in grant.actions
    )
    assert write.conditions == {"Null": {"s3:if-none-match": "false"}}
    deleting = {
        resource
        for role, grant in EVERY_GRANT
        if role is Role.TRAINING_JOB and "s3:DeleteObject" in grant.actions
        for resource in grant.resources
    }
    assert deleting == {f"arn:aws:s3:::{NAMES.staging_bucket}/*"}


def test_nobody_can_change_roles_or_the_network() -> None:
    changing = {
        action
        for role in Role
        for action in actions(role)
        if action.startswith(("iam:", "ec2:"))
        and not re.search("Describe|NetworkInterface", action)
    }
    assert changing == {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    made = [g.conditions for _, g in EVERY_GRANT if "iam:CreateServiceLinkedRole" in g.actions]
    assert made == [
        {"StringEquals": {"iam:AWSServiceName": f"{service}.amazonaws.com"}}
        for service in ("batch", "elasticache")
    ]


def test_only_what_asks_mlflow_gets_an_address_in_the_network() -> None:
    joining = {Role.TRAINING_JOB, Role.MODEL_DEPLOYER}
    assert holders("ec2:CreateNetworkInterface") == joining


def test_passing_a_role_names_the_role_and_the_service() -> None:
    passing = [grant for _, grant in EVERY_GRANT if "iam:PassRole" in grant.actions]
    for grant in passing:
        assert grant.conditions is not None
        assert "iam:PassedToService" in grant.conditions["StringEquals"]
        assert set(grant.resources) <= {NAMES.role_arn(role) for role in Role}


@pytest.mark.parametrize("prefix", ["deployments", "rollouts"])
def test_deployments_are_changed_by_the_model_deployer_and_operators_only(prefix: str) -> None:
    place = f"arn:aws:s3:::{NAMES.artifact_bucket}/{prefix}/*"
    writing = [
        (role, g) for role, g in EVERY_GRANT if "s3:PutObject" in g.actions and place in g.resources
    ]
    assert {role for role, _ in writing} == {Role.MODEL_DEPLOYER, Role.OPERATOR}
    if prefix == "rollouts":
        assert all(g.conditions == {"Null": {"s3:if-none-match": "false"}} for _, g in writing)


def test_who_operates_endpoints_approves_nothing() -> None:
    assert not actions(Role.OPERATOR) & {"sagemaker:UpdateModelPackage", "dynamodb:PutItem"}
