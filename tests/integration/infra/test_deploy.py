"""Deploying to the local AWS: complete, repeatable, and never at the expense of data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.cloudformation import Event, Plan
from infra.deploy import Deployer
from infra.packaging import Package, package_lambdas
from infra.synth import Stack, synthesize
from mlops.aws import Aws
from mlops.errors import JobFailed, Refused
from mlops.names import Names, Role
from tests.local_aws import eventually

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.xdist_group("infra-deploy")
PROD = Names(project="mlops", env="prod", account="000000000000", region="ap-northeast-2")
LEFT_OUT = ("mlflow-data", "scaling", "flows", "budget")
"""Stacks of types that the local AWS does not know (test_templates.py holds them to that)."""
PREVIOUS = Path(__file__).parent / "previous"
"""Templates of an earlier version, as 'mlops infra synth --env prod' wrote them."""


def prod_stacks(project: str = "mlops") -> list[Stack]:
    """What the local AWS can deploy of prod, under another project's name where one is given."""
    left_out = {f"{PROD.prefix}-{purpose}" for purpose in LEFT_OUT}
    stacks = [stack for stack in synthesize(PROD) if stack.name not in left_out]
    return [renamed(stack, project) for stack in stacks]


def renamed(stack: Stack, project: str) -> Stack:
    body = stack.body.replace("mlops-prod", f"{project}-prod")
    body = body.replace("mlops_prod", f"{project}_prod")
    name = stack.name.replace("mlops-", f"{project}-")
    return replace(stack, name=name, template=json.loads(body))


@dataclass
class Watched:
    """Keeps what it is told."""

    plans: list[Plan] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def planned(self, plan: Plan) -> None:
        self.plans.append(plan)

    def happened(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def deployer(platform: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Deployer:
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    name_certificate(platform, PROD)
    return Deployer(Aws(), PROD)


def name_certificate(platform: LocalAws, names: Names) -> None:
    """As an administrator does once; and the domain."""
    arn = f"arn:aws:acm:{names.region}:{names.account}:certificate/of-tests"
    told = {names.certificate_parameter: arn, names.domain_parameter: "example.com"}
    for name, value in told.items():
        platform.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


@pytest.fixture(scope="module")
def package() -> Package:
    return package_lambdas(env="local")


def mlops(platform: LocalAws, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("mlops"), "infra", *arguments],
        env=os.environ | platform.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def bucket(name: str, **properties: Any) -> Mapping[str, Any]:
    return {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name, **properties}}


def test_every_role_can_be_assumed(platform: LocalAws) -> None:
    for role in Role:
        arn = platform.client("sts", role).get_caller_identity()["Arn"]
        assert f":assumed-role/{platform.names.role_name(role)}/" in arn


def test_a_second_deployment_changes_nothing(platform: LocalAws) -> None:
    done = mlops(platform, "deploy", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"] == []
    assert "mlops-local-storage: unchanged" in done.stderr


def test_the_stream_is_there_and_takes_records(platform: LocalAws) -> None:
    stream = platform.names.downsync_stream
    kinesis = platform.client("kinesis")
    found = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert (found["OpenShardCount"], found["EncryptionType"]) == (2, "KMS")
    assert found["StreamARN"] == platform.names.downsync_stream_arn


def test_a_diff_of_what_is_deployed_is_empty(platform: LocalAws) -> None:
    done = mlops(platform, "diff", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_what_is_not_part_of_an_environment_is_told(platform: LocalAws) -> None:
    assert "mlops-local-cache: not part of 'local'" in mlops(platform, "diff").stderr


def test_a_dry_run_deploys_nothing(platform: LocalAws) -> None:
    describe = platform.client("cloudformation").describe_stacks
    before = {stack["StackName"] for stack in describe()["Stacks"]}
    done = mlops(platform, "deploy", "--env", "prod", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert {stack["StackName"] for stack in describe()["Stacks"]} == before
    assert "mlops-prod-cache: 3 to add\n" in done.stdout
    assert "  + AWS::ElastiCache::ReplicationGroup OnlineStore\n" in done.stdout


def test_the_settings_of_an_environment_can_be_evaluated(platform: LocalAws) -> None:
    done = mlops(platform, "env")
    assert "export MLOPS_ENV=local\n" in done.stdout
    assert "export MLOPS_ACCOUNT=000000000000\n" in done.stdout


def test_the_uploads_of_the_artifact_bucket_reach_the_deployer(platform: LocalAws) -> None:
    names = platform.names
    answer = platform.client("s3").get_bucket_notification_configuration(
        Bucket=names.artifact_bucket
    )
    (call,) = answer["LambdaFunctionConfigurations"]
    assert call["LambdaFunctionArn"] == names.function_arn("workflow-deployer")


def test_a_feature_job_reaches_the_online_store_as_its_role(platform: LocalAws) -> None:
    names, batch = platform.names, platform.client("batch")
    code = (
        "import boto3, redis; secrets = boto3.client('secretsmanager')\n"
        f"password = secrets.get_secret_value(SecretId='{names.redis_secret}')['SecretString']\n"
        f"print(redis.Redis(port={platform.redis_port}, password=password).ping())"
    )
    job_id = batch.submit_job(
        jobName="ping",
        jobQueue=names.feature_jobs,
        jobDefinition=names.feature_jobs,
        containerOverrides={"command": ["python3", "-c", code]},
    )["jobId"]

    def ended() -> dict[str, Any] | None:
        (found,) = batch.describe_jobs(jobs=[job_id])["jobs"]
        return dict(found) if found["status"] in {"SUCCEEDED", "FAILED"} else None

    job = eventually(ended, what="the job's end", seconds=60)
    stream = job["container"]["logStreamName"]
    events = platform.client("logs").get_log_events(
        logGroupName=names.feature_job_logs, logStreamName=stream
    )["events"]
    assert [event["message"] for event in events] == ["True"], job


def test_prod_deploys_whole_and_its_stacks_are_protected(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    watched = Watched()
    deployed = deployer.deploy(prod_stacks(), package, watcher=watched)
    stacks = {
        s["StackName"]: s for s in platform.client("cloudformation").describe_stacks()["Stacks"]
    }
    for plan in watched.plans:
        stack = stacks[plan.stack.name]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert stack["EnableTerminationProtection"] is plan.stack.protected
    assert deployed.outputs["RedisUrl"].startswith("rediss://")
    assert {change.action for change in deployed.changes} == {"add"}


def test_an_update_keeps_what_was_stored(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    stacks = prod_stacks()
    deployer.deploy(stacks, package, watcher=Watched())
    s3, dynamodb = platform.client("s3"), platform.client("dynamodb")
    s3.put_object(Bucket=PROD.data_bucket, Key="raw/payment", Body=b"kept")
    item = {"model": {"S": "fraud"}, "sequence": {"N": "1"}}
    dynamodb.put_item(TableName=PROD.records_table, Item=item)

    changed = [_tagged(stack) for stack in stacks]
    deployed = deployer.deploy(changed, package, watcher=Watched())

    assert deployed.changes
    assert not [change for change in deployed.changes if change.loses_data]
    body = s3.get_object(Bucket=PROD.data_bucket, Key="raw/payment")["Body"].read()
    assert body == b"kept"
    assert dynamodb.get_item(TableName=PROD.records_table, Key=item)["Item"] == item


def _tagged(stack: Stack) -> Stack:
    """The same stack with a tag on its buckets and tables."""
    template = deepcopy(dict(stack.template))
    for resource in template["Resources"].values():
        if resource["Type"] in {"AWS::S3::Bucket", "AWS::DynamoDB::Table"}:
            resource["Properties"]["Tags"] = [{"Key": "owner", "Value": "payments"}]
    return replace(stack, template=template)


def test_an_earlier_version_is_updated_and_keeps_its_data(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    names = replace(PROD, project="past")
    name_certificate(platform, names)
    past = Deployer(Aws(), names)
    kept = {path.stem: json.loads(path.read_text()) for path in PREVIOUS.glob("*.json")}
    stacks = [stack for stack in synthesize(PROD) if stack.name in kept]
    before = [renamed(replace(stack, template=kept[stack.name]), "past") for stack in stacks]
    past.deploy(before, package, watcher=Watched())
    s3, dynamodb = platform.client("s3"), platform.client("dynamodb")
    secrets, kinesis = platform.client("secretsmanager"), platform.client("kinesis")
    s3.put_object(Bucket=names.data_bucket, Key="raw/payment", Body=b"kept")
    item = {"model": {"S": "fraud"}, "sequence": {"N": "1"}}
    dynamodb.put_item(TableName=names.records_table, Item=item)
    password = secrets.get_secret_value(SecretId=names.redis_secret)["SecretString"]
    kinesis.put_record(StreamName=names.downsync_stream, Data=b"kept", PartitionKey="1")

    after = [renamed(stack, "past") for stack in stacks]
    deployed = past.deploy(after, package, watcher=Watched())

    assert len(after) == len(kept)
    assert deployed.changes
    assert not [change for change in deployed.changes if change.loses_data]
    body = s3.get_object(Bucket=names.data_bucket, Key="raw/payment")["Body"].read()
    assert body == b"kept"
    assert dynamodb.get_item(TableName=names.records_table, Key=item)["Item"] == item
    assert secrets.get_secret_value(SecretId=names.redis_secret)["SecretString"] == password
    shards = kinesis.list_shards(StreamName=names.downsync_stream)["Shards"]
    assert shards


def test_a_removed_environment_leaves_nothing_behind(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    names = replace(PROD, project="gone")
    name_certificate(platform, names)
    gone = Deployer(Aws(), names)
    stacks = [replace(_disposable(stack), protected=False) for stack in prod_stacks("gone")]
    gone.deploy(stacks, package, watcher=Watched())
    assert traces(platform, names)
    s3 = platform.client("s3")
    for entry in s3.list_objects_v2(Bucket=names.assets_bucket).get("Contents", ()):
        s3.delete_object(Bucket=names.assets_bucket, Key=entry["Key"])
    cloudformation = platform.client("cloudformation")
    for stack in reversed(stacks):
        cloudformation.delete_stack(StackName=stack.name)
        eventually(partial(_is_gone, platform, stack.name), what=f"the end of {stack.name}")
    assert traces(platform, names) == []


def _disposable(stack: Stack) -> Stack:
    """What an environment that keeps no data has: nothing is retained or protected."""
    template = deepcopy(dict(stack.template))
    for resource in template["Resources"].values():
        resource.pop("DeletionPolicy", None)
        resource.pop("UpdateReplacePolicy", None)
        if resource["Type"] == "AWS::DynamoDB::Table":
            resource["Properties"]["DeletionProtectionEnabled"] = False
        if resource["Type"] == "AWS::ElasticLoadBalancingV2::LoadBalancer":
            resource["Properties"]["LoadBalancerAttributes"] = []
    return replace(stack, template=template)


def _is_gone(platform: LocalAws, name: str) -> bool:
    stacks = platform.client("cloudformation").describe_stacks()["Stacks"]
    return name not in {s["StackName"] for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"}


def traces(platform: LocalAws, names: Names) -> list[str]:
    """Everything that bears the environment's name."""
    client = platform.client
    found = [b["Name"] for b in client("s3").list_buckets()["Buckets"]]
    found += client("dynamodb").list_tables()["TableNames"]
    found += [r["RoleName"] for r in client("iam").list_roles()["Roles"]]
    found += [g["logGroupName"] for g in client("logs").describe_log_groups()["logGroups"]]
    found += [f["FunctionName"] for f in client("lambda").list_functions()["Functions"]]
    found += [r["Name"] for r in client("events").list_rules()["Rules"]]
    found += [t["TopicArn"] for t in client("sns").list_topics()["Topics"]]
    found += [s["Name"] for s in client("secretsmanager").list_secrets()["SecretList"]]
    found += client("kinesis").list_streams()["StreamNames"]
    found += [d["Name"] for d in client("glue").get_databases()["DatabaseList"]]
    found += [w["Name"] for w in client("athena").list_work_groups()["WorkGroups"]]
    found += [a["AlarmName"] for a in client("cloudwatch").describe_alarms()["MetricAlarms"]]
    found += [q["jobQueueName"] for q in client("batch").describe_job_queues()["jobQueues"]]
    return [name for name in found if names.prefix in name or names.database in name]


def test_a_stack_that_fails_names_the_resource_and_is_rolled_back(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    taken = platform.names.data_bucket
    stack = Stack(
        "mlops-prod-broken",
        {"Resources": {"Fine": bucket("mlops-prod-fine"), "Taken": bucket(taken)}},
    )
    with pytest.raises(JobFailed, match=r"mlops-prod-broken.*Taken.*already exists"):
        deployer.deploy([stack], package, watcher=Watched())
    buckets = [b["Name"] for b in platform.client("s3").list_buckets()["Buckets"]]
    assert taken in buckets
    assert "mlops-prod-fine" not in buckets


def test_a_stack_that_failed_deploys_once_its_cause_is_gone(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    missing = "{{resolve:secretsmanager:mlops-prod/missing}}"
    copy = {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": missing}}
    stack = Stack("mlops-prod-repaired", {"Resources": {"Copy": copy}})
    with pytest.raises(JobFailed, match=r"mlops-prod-repaired was rolled back\. Copy \(AWS::Sec"):
        deployer.deploy([stack], package, watcher=Watched())
    repaired = Stack("mlops-prod-repaired", {"Resources": {"Fine": bucket("mlops-prod-repaired")}})
    deployed = deployer.deploy([repaired], package, watcher=Watched())
    assert [change.resource for change in deployed.changes] == ["Fine"]


def test_a_template_too_large_to_send_goes_by_way_of_the_code_bucket(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    deployer.deploy(prod_stacks(), package, watcher=Watched())
    template = {
        "Metadata": {"Notes": "x" * 60_000},
        "Resources": {"One": bucket("mlops-prod-large")},
    }
    deployer.deploy([Stack("mlops-prod-large", template)], package, watcher=Watched())
    assert "mlops-prod-large" in [
        b["Name"] for b in platform.client("s3").list_buckets()["Buckets"]
    ]
    listed = platform.client("s3").list_objects_v2(Bucket=PROD.assets_bucket, Prefix="templates/")
    assert listed["KeyCount"] == 1


def test_removing_a_bucket_needs_a_flag(
    platform: LocalAws, deployer: Deployer, package: Package
) -> None:
    both = {"One": bucket("mlops-prod-one"), "Two": bucket("mlops-prod-two")}
    deployer.deploy([Stack("mlops-prod-shrinks", {"Resources": both})], package, watcher=Watched())
    fewer = [Stack("mlops-prod-shrinks", {"Resources": {"One": both["One"]}})]
    with pytest.raises(Refused, match=r"AWS::S3::Bucket mlops-prod-two \(remove\)"):
        deployer.deploy(fewer, package, watcher=Watched())
    names = [b["Name"] for b in platform.client("s3").list_buckets()["Buckets"]]
    assert "mlops-prod-two" in names
    deployer.deploy(fewer, package, watcher=Watched(), allow_delete=True)
    names = [b["Name"] for b in platform.client("s3").list_buckets()["Buckets"]]
    assert "mlops-prod-two" not in names


def test_another_accounts_environment_is_refused(platform: LocalAws) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("mlops"), "infra", "deploy", "--dry-run"],
        env=os.environ | platform.environment() | {"MLOPS_ACCOUNT": "123456789012"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Refused.exit_code
    assert "belongs to account 123456789012" in done.stderr
