"""From a click in MLflow to the rollout, or to people: a real server and the deployed Lambdas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.aws import Aws
from mlops.clock import SystemClock
from mlops.deployment import Deployment, load_deployment
from mlops.errors import NotFound
from mlops.names import Role
from mlops.objects import S3Documents
from mlops.registry.approval import Approvals, Ask
from mlops.registry.delivery import deliver
from mlops.registry.dynamodb import DynamoRecords
from mlops.registry.mlflow import APPROVAL, MlflowRegistry
from mlops.registry.webhooks.desk import WebhookDesk
from mlops.registry.webhooks.receiver import PREFIX
from mlops.registry.webhooks.registration import webhook_of
from tests.approvals import metadata_of, model_version, upload_model
from tests.local_aws import eventually
from tests.mlflow_webhooks import KEY, balancer

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from mlops.registry.mlflow_rest import MlflowServer

MODEL = "clicked"


@dataclass
class Hearing:
    """The deployed platform with its versions in MLflow, whose webhooks it receives."""

    local: LocalAws
    server: MlflowServer
    url: str
    topic: str
    """URL of a queue that is told what people are."""

    @property
    def registry(self) -> MlflowRegistry:
        return MlflowRegistry(self.server, self.local.names)

    @property
    def documents(self) -> S3Documents:
        return S3Documents(Aws(self.local.session(None)), self.local.names.artifact_bucket)

    def tell(self) -> dict[str, Any]:
        """`mlops models webhook`, as an administrator."""
        settings = {"MLOPS_REGISTRY": "mlflow", "MLOPS_MLFLOW_TRACKING_URI": self.server.url}
        mlops = Path(sys.executable).with_name("mlops")
        done = subprocess.run(
            [mlops, "models", "webhook", "--url", self.url, "--json"],
            env=os.environ | self.local.environment(None) | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def register(self, number: int) -> None:
        written = upload_model(self.documents, number, model=MODEL)
        self.registry.register(MODEL, metadata_of(model_version(number, model=MODEL, **written)))

    def approve(self, number: int) -> None:
        """As the command does it, with the event that the command sends."""
        names, aws = self.local.names, Aws(self.local.session(Role.APPROVER))
        records, documents = DynamoRecords(aws, names.records_table), self.documents
        desk = Approvals(self.registry, records, documents, documents, names, SystemClock())
        desk.decide(Ask(MODEL, number, "approve", "measured", aws.identity))
        deliver(aws, names, [self.registry.get(MODEL, number)])

    @property
    def deployment(self) -> Deployment | None:
        try:
            return load_deployment(self.documents, MODEL)[0]
        except NotFound:
            return None

    def told(self) -> dict[str, Any] | None:
        """A notice of a bypass, once there is one."""
        answer = self.local.client("sqs").receive_message(
            QueueUrl=self.topic, MaxNumberOfMessages=10
        )
        notices = [json.loads(json.loads(m["Body"])["Message"]) for m in answer.get("Messages", [])]
        return next((notice for notice in notices if notice.get("event") == "bypassed"), None)


@pytest.fixture
def hearing(
    platform: LocalAws, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hearing]:
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    names, functions = platform.names, platform.client("lambda")
    deployer, receiver = names.function("model-deployer"), names.function("webhook-receiver")
    variables = functions.get_function_configuration(FunctionName=deployer)["Environment"]
    own = variables["Variables"]
    mlflow = {"MLOPS_REGISTRY": "mlflow", "MLOPS_MLFLOW_TRACKING_URI": mlflow_server.url}
    platform.client("secretsmanager").create_secret(
        Name=names.mlflow_secret("webhook"), SecretString=KEY
    )
    functions.create_function(
        FunctionName=receiver,
        Runtime="python3.11",
        Role=names.role_arn(Role.WEBHOOK_RECEIVER),
        Handler="infra.lambdas.receive_webhook.handler",
        Code={"S3Bucket": names.assets_bucket, "S3Key": _code(platform)},
        Timeout=60,
        Environment=variables,
    )
    functions.update_function_configuration(
        FunctionName=deployer, Environment={"Variables": own | mlflow}
    )
    topic = platform.client("sqs").create_queue(QueueName="people")["QueueUrl"]
    arn = f"arn:aws:sqs:{names.region}:{names.account}:people"
    platform.client("sns").subscribe(TopicArn=names.topic_arn, Protocol="sqs", Endpoint=arn)

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        answer = functions.invoke(FunctionName=receiver, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        return payload if "FunctionError" not in answer else {"statusCode": 502, "body": ""}

    with balancer(invoke) as url:
        hearing = Hearing(platform, mlflow_server, url, topic)
        yield hearing
        WebhookDesk(mlflow_server, webhook_of(names, url, KEY)).remove(dry_run=False)
    functions.update_function_configuration(FunctionName=deployer, Environment={"Variables": own})
    functions.delete_function(FunctionName=receiver)


def _code(platform: LocalAws) -> str:
    """The package that the platform's own functions run."""
    objects = platform.client("s3").list_objects_v2(
        Bucket=platform.names.assets_bucket, Prefix="lambdas/"
    )
    return str(objects["Contents"][0]["Key"])


def test_mlflow_tells_of_a_decision_that_is_rolled_out_once_and_of_one_around_the_record(
    hearing: Hearing,
) -> None:
    told = hearing.tell()
    assert (told["steps"], told["answered"]) == (["create"], 200)
    hearing.register(1)
    hearing.approve(1)
    deployed = eventually(lambda: hearing.deployment, what="the deployment", seconds=30)
    assert deployed.stable is not None
    assert (deployed.revision, deployed.stable.version) == (1, 1)

    hearing.register(2)
    place = {"name": hearing.local.names.model_group(MODEL), "version": "2"}
    decided = {"key": APPROVAL, "value": '{"status": "Approved"}'}
    hearing.server.post("model-versions/set-tag", place | decided)

    notice = eventually(hearing.told, what="the notice", seconds=30)
    assert notice["why"] == ["version 2: the registry says Approved, the record holds no decision"]
    # Made, alias and tag; made, and the tag by hand: each was taken once.
    eventually(lambda: len(list(hearing.documents.keys(PREFIX))) == 5, what="five deliveries")
    assert hearing.deployment == deployed
