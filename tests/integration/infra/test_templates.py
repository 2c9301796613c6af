"""The synthesised templates: encrypted, private, least privilege, and valid."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.cloudformation import INLINE_LIMIT
from infra.cost.components import ALARMS, SECRETS
from infra.stacks.permissions import grants_of
from infra.synth import Stack, synthesize
from mlops.names import Names, Role

Resources = Mapping[str, Mapping[str, Any]]
ALARM = "AWS::CloudWatch::Alarm"
PROD = Names(project="mlops", env="prod", account="000000000000", region="ap-northeast-2")
LOCAL = Names(project="mlops", env="local", account="000000000000", region="ap-northeast-2")


@pytest.fixture(scope="module")
def prod() -> list[Stack]:
    return synthesize(PROD)


@pytest.fixture(scope="module")
def local() -> list[Stack]:
    return synthesize(LOCAL)


def of_type(stacks: list[Stack], kind: str) -> list[Mapping[str, Any]]:
    found = [r for stack in stacks for r in stack.resources.values() if r["Type"] == kind]
    assert found, f"no {kind}"
    return found


def the(stacks: list[Stack], kind: str) -> Mapping[str, Any]:
    (resource,) = of_type(stacks, kind)
    properties: Mapping[str, Any] = resource["Properties"]
    return properties


def denies(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [s for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]


def test_templates_pass_cfn_lint(prod: list[Stack], local: list[Stack], tmp_path: Path) -> None:
    for stack in [*prod, *local]:
        (tmp_path / f"{stack.name}.json").write_text(stack.body)
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), *tmp_path.glob("*.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_what_the_local_aws_does_not_know_stands_in_stacks_of_its_own(prod: list[Stack]) -> None:
    unknown = {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::Budgets::Budget",
        "AWS::EC2::FlowLog",
        # It would answer for a database that never runs.
        "AWS::RDS::DBInstance",
    }
    found = {
        stack.name.removeprefix("mlops-prod-")
        for stack in prod
        for resource in stack.resources.values()
        if resource["Type"] in unknown
    }
    assert found == {"scaling", "flows", "budget", "mlflow-data"}


def test_services_run_behind_tls_and_cannot_be_written_to(prod: list[Stack]) -> None:
    listener = the(prod, "AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert "TLS13" in listener["SslPolicy"]
    assert the(prod, "AWS::ElasticLoadBalancingV2::LoadBalancer")["Scheme"] == "internal"
    for task in of_type(prod, "AWS::ECS::TaskDefinition"):
        (container,) = task["Properties"]["ContainerDefinitions"]
        assert container["ReadonlyRootFilesystem"] is True
        assert container["User"] == "10001:10001"
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}


def test_services_that_do_not_come_up_are_taken_back(prod: list[Stack]) -> None:
    services = [s["Properties"] for s in of_type(prod, "AWS::ECS::Service")]
    assert {s["ServiceName"] for s in services} == {
        "mlops-prod-proxy",
        "mlops-prod-inference",
        "mlops-prod-downsync",
        "mlops-prod-mlflow",
    }
    for service in services:
        breaker = service["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
        assert breaker == {"Enable": True, "Rollback": True}
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"


def test_tasks_follow_what_limits_them(prod: list[Stack]) -> None:
    policies = [
        p["Properties"] for p in of_type(prod, "AWS::ApplicationAutoScaling::ScalingPolicy")
    ]
    followed = {
        p["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"][
            "PredefinedMetricType"
        ]
        for p in policies
    }
    assert followed == {"ECSServiceAverageCPUUtilization", "ALBRequestCountPerTarget"}


def test_every_alarm_tells_somebody(prod: list[Stack]) -> None:
    alarms = [a["Properties"] for a in of_type(prod, "AWS::CloudWatch::Alarm")]
    assert all(a["AlarmActions"] and a["OKActions"] for a in alarms)
    names = {a["AlarmName"].removeprefix("mlops-prod-") for a in alarms}
    assert {"errors", "slow", "proxy-gone", "redis-full", "downsync-late", "upsync-failed"} <= names


def test_a_budget_tells_before_it_is_spent(prod: list[Stack]) -> None:
    budget = the(prod, "AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 7000, "Unit": "USD"}
    told = [n["Notification"] for n in budget["NotificationsWithSubscribers"]]
    assert [(n["NotificationType"], n["Threshold"]) for n in told] == [
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    ]


def test_the_network_says_who_spoke_to_whom(prod: list[Stack]) -> None:
    assert the(prod, "AWS::EC2::FlowLog")["TrafficType"] == "ALL"


def test_a_laptop_has_no_services_in_its_stacks(local: list[Stack]) -> None:
    types = {r["Type"] for stack in local for r in stack.resources.values()}
    assert not [kind for kind in types if kind.startswith(("AWS::ECS::", "AWS::ElasticLoad"))]


def test_stacks_are_deployed_in_the_order_of_their_needs(prod: list[Stack]) -> None:
    assert [stack.name.removeprefix("mlops-prod-") for stack in prod] == [
        *("identity", "service-identity", "foundation", "network", "images"),
        *("cache", "functions", "jobs", "storage"),
        *("services", "mlflow-data", "mlflow", "scaling", "watch", "flows", "budget"),
    ]


def test_what_is_deployed_before_the_bucket_of_templates_needs_none(
    prod: list[Stack], local: list[Stack]
) -> None:
    for stacks in (prod, local):
        for stack in stacks:
            assert len(stack.body.encode()) <= INLINE_LIMIT, stack.name
            if stack.name.endswith("-foundation"):
                break


def test_the_local_online_store_is_no_part_of_the_local_stacks(local: list[Stack]) -> None:
    types = {resource["Type"] for stack in local for resource in stack.resources.values()}
    assert not [kind for kind in types if "ElastiCache" in kind]


def test_no_template_needs_a_resource_that_edits_behind_cloudformation(prod: list[Stack]) -> None:
    types = {resource["Type"] for stack in prod for resource in stack.resources.values()}
    assert not [kind for kind in types if "Custom" in kind]
    assert sum(1 for _ in of_type(prod, "AWS::Lambda::Function")) == 4


def test_every_bucket_is_encrypted_private_and_owned(prod: list[Stack]) -> None:
    for bucket in of_type(prod, "AWS::S3::Bucket"):
        properties = bucket["Properties"]
        assert all(properties["PublicAccessBlockConfiguration"].values())
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        (ownership,) = properties["OwnershipControls"]["Rules"]
        assert ownership["ObjectOwnership"] == "BucketOwnerEnforced"


def test_every_bucket_refuses_plain_http_and_old_tls(prod: list[Stack]) -> None:
    policies = of_type(prod, "AWS::S3::BucketPolicy")
    assert len(policies) == len(of_type(prod, "AWS::S3::Bucket"))
    for policy in policies:
        conditions = [statement["Condition"] for statement in denies(policy)]
        assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
        assert {"NumericLessThan": {"s3:TlsVersion": "1.2"}} in conditions or (
            {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions
        )


def test_data_is_versioned_and_staging_expires(prod: list[Stack]) -> None:
    buckets = {
        b["Properties"]["BucketName"]: b["Properties"] for b in of_type(prod, "AWS::S3::Bucket")
    }
    for name in (PROD.data_bucket, PROD.artifact_bucket, PROD.assets_bucket):
        assert buckets[name]["VersioningConfiguration"]["Status"] == "Enabled"
        rules = buckets[name]["LifecycleConfiguration"]["Rules"]
        assert any("NoncurrentVersionExpiration" in rule for rule in rules)
        assert not any("ExpirationInDays" in rule for rule in rules)
    staging = buckets[PROD.staging_bucket]
    assert any("ExpirationInDays" in r for r in staging["LifecycleConfiguration"]["Rules"])
    assert "VersioningConfiguration" not in staging


@pytest.mark.parametrize(
    "kind",
    [
        "AWS::S3::Bucket",
        "AWS::DynamoDB::Table",
        "AWS::Kinesis::Stream",
        "AWS::SecretsManager::Secret",
    ],
)
def test_prod_keeps_data_and_local_does_not(
    prod: list[Stack], local: list[Stack], kind: str
) -> None:
    assert {r["DeletionPolicy"] for r in of_type(prod, kind)} == {"RetainExceptOnCreate"}
    assert {r["UpdateReplacePolicy"] for r in of_type(prod, kind)} == {"Retain"}
    assert {r["DeletionPolicy"] for r in of_type(local, kind)} == {"Delete"}


def test_prods_stacks_with_data_refuse_to_be_deleted(prod: list[Stack], local: list[Stack]) -> None:
    protected = {stack.name.removeprefix("mlops-prod-") for stack in prod if stack.protected}
    assert protected == {"foundation", "network", "images", "cache", "storage", "mlflow-data"}
    assert not [stack for stack in local if stack.protected]


def test_the_record_is_restorable_and_refuses_to_be_rewritten(prod: list[Stack]) -> None:
    table = the(prod, "AWS::DynamoDB::Table")
    assert table["TableName"] == PROD.records_table
    assert table["KeySchema"] == [
        {"AttributeName": "model", "KeyType": "HASH"},
        {"AttributeName": "sequence", "KeyType": "RANGE"},
    ]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["DeletionProtectionEnabled"] is True
    (statement,) = table["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert {"dynamodb:UpdateItem", "dynamodb:DeleteItem"} <= set(statement["Action"])
    assert "dynamodb:PutItem" not in statement["Action"]


def test_the_stream_is_encrypted_and_keeps_what_a_week_end_brings(prod: list[Stack]) -> None:
    stream = the(prod, "AWS::Kinesis::Stream")
    assert stream["Name"] == PROD.downsync_stream
    assert stream["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    assert stream["RetentionPeriodHours"] == 7 * 24
    assert stream["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}


def test_an_uploaded_definition_calls_the_workflow_deployer(prod: list[Stack]) -> None:
    buckets = {
        b["Properties"]["BucketName"]: b["Properties"] for b in of_type(prod, "AWS::S3::Bucket")
    }
    (call,) = buckets[PROD.artifact_bucket]["NotificationConfiguration"]["LambdaConfigurations"]
    assert call["Function"] == PROD.function_arn("workflow-deployer")
    assert call["Event"] == "s3:ObjectCreated:*"
    assert call["Filter"]["S3Key"]["Rules"] == [
        {"Name": "prefix", "Value": "workflows/"},
        {"Name": "suffix", "Value": "definition.json"},
    ]


def test_only_the_artifact_bucket_the_rules_and_the_topics_may_call_the_functions(
    prod: list[Stack],
) -> None:
    permissions = [p["Properties"] for p in of_type(prod, "AWS::Lambda::Permission")]
    callers = {permission["Principal"]: permission for permission in permissions}
    assert set(callers) == {"s3.amazonaws.com", "events.amazonaws.com", "sns.amazonaws.com"}
    told = {p["SourceArn"] for p in permissions if p["Principal"] == "sns.amazonaws.com"}
    assert told == {PROD.topic_arn, PROD.alarms_topic_arn}
    assert callers["s3.amazonaws.com"]["SourceAccount"] == PROD.account
    assert callers["s3.amazonaws.com"]["SourceArn"] == f"arn:aws:s3:::{PROD.artifact_bucket}"
    assert "SourceArn" in callers["events.amazonaws.com"]


def test_decisions_on_our_models_and_ends_of_our_runs_call_their_functions(
    prod: list[Stack],
) -> None:
    rules = [rule["Properties"] for rule in of_type(prod, "AWS::Events::Rule")]
    decisions, ends = (rule for rule in rules if "EventPattern" in rule)
    assert {decisions["State"], ends["State"]} == {"ENABLED"}
    assert decisions["EventPattern"] == {
        "source": ["aws.sagemaker", "mlops.registry"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [{"prefix": "mlops-prod-"}]},
    }
    machines = PROD.state_machine_arn("")
    assert ends["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "status": ["ABORTED", "FAILED", "TIMED_OUT"],
            "stateMachineArn": [{"prefix": machines}],
        },
    }


def test_rollouts_are_driven_each_minute(prod: list[Stack]) -> None:
    rules = [rule["Properties"] for rule in of_type(prod, "AWS::Events::Rule")]
    (rule,) = (rule for rule in rules if "ScheduleExpression" in rule)
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    (target,) = rule["Targets"]
    assert "ModelDeployer" in json.dumps(target["Arn"])


def test_who_tells_slack_is_told_of_everything_but_its_own_failures(prod: list[Stack]) -> None:
    subscriptions = [s["Properties"] for s in of_type(prod, "AWS::SNS::Subscription")]
    events, alarms = subscriptions
    assert events["TopicArn"] == PROD.topic_arn
    assert "Notifier" in json.dumps(events["Endpoint"])
    assert alarms["TopicArn"] == {"Ref": "Alarms"}
    assert alarms["Endpoint"] == PROD.function_arn("notifier")
    configs = of_type(prod, "AWS::Lambda::EventInvokeConfig")
    assert not [c for c in configs if "Notifier" in json.dumps(c["Properties"]["FunctionName"])]


def test_a_deployer_that_fails_is_told_to_the_topic(prod: list[Stack]) -> None:
    configs = of_type(prod, "AWS::Lambda::EventInvokeConfig")
    assert len(configs) == 3
    for config in configs:
        failure = config["Properties"]["DestinationConfig"]["OnFailure"]
        assert failure["Destination"] == PROD.topic_arn


def test_the_topic_is_encrypted_and_refuses_plain_http(prod: list[Stack]) -> None:
    topics = {t["Properties"]["TopicName"]: t for t in of_type(prod, "AWS::SNS::Topic")}
    assert "KmsMasterKeyId" in topics["mlops-prod-events"]["Properties"]
    (policy, _) = of_type(prod, "AWS::SNS::TopicPolicy")
    assert denies(policy)[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_query_has_a_limit_and_its_results_are_encrypted(prod: list[Stack]) -> None:
    settings = the(prod, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert settings["BytesScannedCutoffPerQuery"] == 5 * 1024**4
    results = settings["ResultConfiguration"]
    assert results["OutputLocation"] == f"s3://{PROD.staging_bucket}/athena/"
    assert results["EncryptionConfiguration"]["EncryptionOption"] == "SSE_S3"


def test_redis_wants_tls_and_a_password_from_the_secret(prod: list[Stack]) -> None:
    store = the(prod, "AWS::ElastiCache::ReplicationGroup")
    assert store["TransitEncryptionEnabled"] is True
    assert store["TransitEncryptionMode"] == "required"
    assert store["AtRestEncryptionEnabled"] is True
    assert store["AutomaticFailoverEnabled"] is True
    assert store["AuthToken"].startswith(f"{{{{resolve:secretsmanager:{PROD.redis_secret}:")


def test_an_update_cannot_bring_back_a_value_of_the_api_keys(prod: list[Stack]) -> None:
    secrets = {s["Properties"]["Name"]: s for s in of_type(prod, "AWS::SecretsManager::Secret")}
    assert not set(secrets[PROD.api_keys_secret]["Properties"]) & {
        "SecretString",
        "GenerateSecretString",
    }


def test_redis_is_reached_by_its_clients_only(prod: list[Stack]) -> None:
    groups = {
        g["Properties"]["GroupName"]: g["Properties"]
        for g in of_type(prod, "AWS::EC2::SecurityGroup")
    }
    (ingress,) = groups["mlops-prod-online-store"]["SecurityGroupIngress"]
    assert "CidrIp" not in ingress
    assert "SourceSecurityGroupId" in ingress
    assert (ingress["FromPort"], ingress["ToPort"]) == (6379, 6379)
    assert "SecurityGroupIngress" not in groups["mlops-prod-online-store-clients"]


def test_no_route_leads_out_of_the_network(prod: list[Stack]) -> None:
    types = {resource["Type"] for stack in prod for resource in stack.resources.values()}
    assert not types & {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
    }
    assert {s["Properties"]["MapPublicIpOnLaunch"] for s in of_type(prod, "AWS::EC2::Subnet")} == {
        False
    }


def test_jobs_run_in_the_private_subnets_as_their_role(prod: list[Stack]) -> None:
    resources = the(prod, "AWS::Batch::ComputeEnvironment")["ComputeResources"]
    assert resources["Type"] == "FARGATE"
    assert len(resources["Subnets"]) == 2
    jobs = [job["Properties"] for job in of_type(prod, "AWS::Batch::JobDefinition")]
    containers = {job["JobDefinitionName"]: job["ContainerProperties"] for job in jobs}
    assert {name: container["JobRoleArn"] for name, container in containers.items()} == {
        PROD.feature_jobs: PROD.role_arn(Role.FEATURE_JOB),
        PROD.drift_jobs: PROD.role_arn(Role.DRIFT_JOB),
    }
    for container in containers.values():
        assert container["NetworkConfiguration"] == {"AssignPublicIp": "DISABLED"}
        assert "Secrets" not in container


INSIDE = (
    *(Role.SERVING, Role.DOWNSYNC, Role.MLFLOW, Role.FEATURE_JOB, Role.DRIFT_JOB),
    *(Role.TRAINING_JOB, Role.MODEL_DEPLOYER),
)
"""Roles of what runs in the private subnets, or has jobs there."""
ENDPOINT_OF = {
    "cloudwatch": "monitoring",
    "ecr": "ecr.api",
    "kinesis": "kinesis-streams",
    "sagemaker": "sagemaker.api",
}
NOT_CALLED = {"ec2", "iam"}
"""Lambda and SageMaker make the addresses, from their own networks; passing a role is no call."""


def test_whatever_runs_inside_reaches_each_service_that_it_may_ask(prod: list[Stack]) -> None:
    start = f"com.amazonaws.{PROD.region}."
    inside = {
        e["Properties"]["ServiceName"].removeprefix(start)
        for e in of_type(prod, "AWS::EC2::VPCEndpoint")
    }
    asked = {
        action.partition(":")[0]
        for role in INSIDE
        for grant in grants_of(role, PROD)
        for action in grant.actions
    }
    asked = {ENDPOINT_OF.get(service, service) for service in asked - NOT_CALLED}
    assert inside == asked | {"ecr.dkr", "sts"}


def test_an_endpoint_is_reached_by_everyone_inside_and_nobody_else(prod: list[Stack]) -> None:
    groups = {
        g["Properties"]["GroupName"].removeprefix("mlops-prod-"): g["Properties"]
        for g in of_type(prod, "AWS::EC2::SecurityGroup")
    }
    callers = groups["endpoints"]["SecurityGroupIngress"]
    assert len(callers) == len(["clients", "inference", "mlflow", "workers"])
    assert all("CidrIp" not in caller and caller["ToPort"] == 443 for caller in callers)


def test_the_model_deployer_is_told_what_holds_versions_and_record(
    prod: list[Stack], local: list[Stack]
) -> None:
    given = environment(prod, PROD, "model-deployer")
    assert (given["MLOPS_REGISTRY"], given["MLOPS_RECORDS"]) == ("sagemaker", "dynamodb")
    assert given["MLOPS_MLFLOW_TRACKING_URI"] == (
        "https://mlflow.{{resolve:ssm:/mlops-prod/domain}}"
    )
    assert given["MLOPS_MLFLOW_SECRET"] == PROD.mlflow_secret("reader")
    assert "MLOPS_MLFLOW_SECRET" not in environment(local, LOCAL, "model-deployer")
    assert "MLOPS_MLFLOW_SECRET" not in environment(prod, PROD, "notifier")


def environment(stacks: list[Stack], names: Names, function: str) -> Mapping[str, str]:
    functions = {
        f["Properties"]["FunctionName"]: f["Properties"]
        for f in of_type(stacks, "AWS::Lambda::Function")
    }
    given: Mapping[str, str] = functions[names.function(function)]["Environment"]["Variables"]
    return given


def test_only_the_lambda_that_asks_mlflow_is_inside(prod: list[Stack]) -> None:
    inside = [
        f["Properties"]["FunctionName"]
        for f in of_type(prod, "AWS::Lambda::Function")
        if "VpcConfig" in f["Properties"]
    ]
    assert inside == ["mlops-prod-model-deployer"]


def test_mlflow_is_asked_by_its_name_through_the_balancer_alone(prod: list[Stack]) -> None:
    rule = the(prod, "AWS::ElasticLoadBalancingV2::ListenerRule")
    (condition,) = rule["Conditions"]
    host = "mlflow.{{resolve:ssm:/mlops-prod/domain}}"
    assert condition == {"Field": "host-header", "HostHeaderConfig": {"Values": [host]}}
    assert the(prod, "AWS::Route53::RecordSet")["Name"] == host
    groups = {
        g["Properties"]["GroupName"]: g["Properties"]
        for g in of_type(prod, "AWS::EC2::SecurityGroup")
    }
    (ingress,) = groups["mlops-prod-mlflow"]["SecurityGroupIngress"]
    assert ingress["SourceSecurityGroupId"] == {"Fn::GetAtt": ["Balancer", "GroupId"]}


def test_mlflow_s_database_is_private_encrypted_and_kept(prod: list[Stack]) -> None:
    (database,) = of_type(prod, "AWS::RDS::DBInstance")
    told = database["Properties"]
    assert (told["PubliclyAccessible"], told["StorageEncrypted"]) == (False, True)
    assert (told["MultiAZ"], told["DeletionProtection"]) == (True, True)
    assert told["BackupRetentionPeriod"] == 7
    assert the(prod, "AWS::RDS::DBParameterGroup")["Parameters"]["rds.force_ssl"] == "1"
    assert "{{resolve:secretsmanager:" in json.dumps(told["MasterUserPassword"])
    assert (database["DeletionPolicy"], database["UpdateReplacePolicy"]) == (
        "Snapshot",
        "Snapshot",
    )


def test_the_price_counts_the_alarms_and_secrets_that_there_are(prod: list[Stack]) -> None:
    assert len(of_type(prod, "AWS::CloudWatch::Alarm")) == ALARMS
    assert len(of_type(prod, "AWS::SecretsManager::Secret")) == SECRETS


def test_features_are_loaded_on_schedule_but_not_on_a_laptop(
    prod: list[Stack], local: list[Stack]
) -> None:
    schedule, _ = (s["Properties"] for s in of_type(prod, "AWS::Scheduler::Schedule"))
    assert schedule["Target"]["Arn"] == PROD.state_machine_arn("upsync")
    assert (schedule["State"], schedule["ScheduleExpression"]) == ("ENABLED", "rate(15 minutes)")
    (laptop, _) = (s["Properties"] for s in of_type(local, "AWS::Scheduler::Schedule"))
    assert laptop["State"] == "DISABLED"


def test_drift_is_looked_for_each_night_wherever_models_are_served(
    prod: list[Stack], local: list[Stack]
) -> None:
    for stacks, names in ((prod, PROD), (local, LOCAL)):
        _, schedule = (s["Properties"] for s in of_type(stacks, "AWS::Scheduler::Schedule"))
        assert schedule["Target"]["Arn"] == names.state_machine_arn("drift")
        assert schedule["Target"]["RoleArn"] == names.role_arn(Role.SCHEDULER)
        assert (schedule["State"], schedule["ScheduleExpression"]) == (
            "ENABLED",
            "cron(30 2 * * ? *)",
        )


@pytest.mark.parametrize(("workflow", "seconds"), [("upsync", 3 * 15 * 60), ("drift", 26 * 3600)])
def test_a_workflow_that_did_not_succeed_in_time_alarms_also_where_none_started(
    prod: list[Stack], workflow: str, seconds: int
) -> None:
    alarms = {a["Properties"]["AlarmName"]: a["Properties"] for a in of_type(prod, ALARM)}
    late = alarms[f"mlops-prod-{workflow}-late"]
    assert late["Dimensions"] == [
        {"Name": "StateMachineArn", "Value": PROD.state_machine_arn(workflow)}
    ]
    assert (late["MetricName"], late["Statistic"]) == ("ExecutionsSucceeded", "Sum")
    assert (late["ComparisonOperator"], late["Threshold"]) == ("LessThanThreshold", 1)
    assert late["TreatMissingData"] == "breaching"
    assert late["Period"] * late["EvaluationPeriods"] == seconds
    assert late["DatapointsToAlarm"] == late["EvaluationPeriods"]


def test_every_role_is_there_with_inline_grants_only(prod: list[Stack]) -> None:
    roles = {r["Properties"]["RoleName"]: r["Properties"] for r in of_type(prod, "AWS::IAM::Role")}
    assert set(roles) == {PROD.role_name(role) for role in Role}
    for role in roles.values():
        assert "ManagedPolicyArns" not in role
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"


def test_the_scheduler_is_assumed_by_schedules_and_rules_of_the_account(prod: list[Stack]) -> None:
    roles = {r["Properties"]["RoleName"]: r["Properties"] for r in of_type(prod, "AWS::IAM::Role")}
    trusts = roles[PROD.role_name(Role.SCHEDULER)]["AssumeRolePolicyDocument"]["Statement"]
    services = {trust["Principal"]["Service"] for trust in trusts}
    assert services == {"scheduler.amazonaws.com", "events.amazonaws.com"}
    own_account = {"StringEquals": {"aws:SourceAccount": PROD.account}}
    assert [trust["Condition"] for trust in trusts] == [own_account, own_account]


@pytest.mark.parametrize(
    ("role", "principal"),
    [
        (Role.TRAINING_JOB, {"Service": "sagemaker.amazonaws.com"}),
        (Role.WORKFLOW, {"Service": "states.amazonaws.com"}),
        (Role.WORKFLOW_DEPLOYER, {"Service": "lambda.amazonaws.com"}),
        (Role.MODEL_DEPLOYER, {"Service": "lambda.amazonaws.com"}),
        (Role.NOTIFIER, {"Service": "lambda.amazonaws.com"}),
        (Role.WEBHOOK_RECEIVER, {"Service": "lambda.amazonaws.com"}),
        (Role.SERVING, {"Service": "ecs-tasks.amazonaws.com"}),
        (Role.HOSTING, {"Service": "sagemaker.amazonaws.com"}),
        (Role.INGESTION, {"Service": "sagemaker.amazonaws.com"}),
        (Role.MLFLOW, {"Service": "ecs-tasks.amazonaws.com"}),
        (Role.FEATURE_JOB, {"Service": "ecs-tasks.amazonaws.com"}),
        (Role.DRIFT_JOB, {"Service": "ecs-tasks.amazonaws.com"}),
        (Role.RUN_REPORTER, {"Service": "lambda.amazonaws.com"}),
        (Role.INFRASTRUCTURE, {"Service": "cloudformation.amazonaws.com"}),
        (Role.SERVICE_INFRASTRUCTURE, {"Service": "cloudformation.amazonaws.com"}),
    ],
)
def test_a_service_role_is_assumed_by_its_service_alone(
    prod: list[Stack], role: Role, principal: Mapping[str, str]
) -> None:
    roles = {r["Properties"]["RoleName"]: r["Properties"] for r in of_type(prod, "AWS::IAM::Role")}
    (trust,) = roles[PROD.role_name(role)]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == principal
