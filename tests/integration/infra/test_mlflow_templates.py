"""The templates of an environment whose versions are in MLflow: it is heard, and nobody else is.

No profile has it so; SOAK_TEMPLATES=1 ('make soak') makes them, which takes half a minute.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops.names import Names, Role

pytestmark = pytest.mark.skipif(
    not os.environ.get("SOAK_TEMPLATES"),
    reason="makes every template of another profile; SOAK_TEMPLATES=1 runs it",
)
PROD = Names(project="mlops", env="prod", account="000000000000", region="ap-northeast-2")
SYNTH = """
import dataclasses
from infra import app
from infra.stacks.profile import PROFILES

PROFILES["prod"] = dataclasses.replace(PROFILES["prod"], registry="mlflow")
app.main()
"""
Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mlflow-templates")
    given = dataclasses.asdict(PROD) | {"out": str(out)}
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    subprocess.run([sys.executable, "-W", "ignore", "-c", SYNTH, *options], check=True)
    return out


def _of_type(folder: Path, stack: str, kind: str) -> list[dict[str, Any]]:
    template = json.loads((folder / f"mlops-prod-{stack}.template.json").read_text())
    resources: Resources = template["Resources"]
    return [one["Properties"] for one in resources.values() if one["Type"] == kind]


def test_they_pass_cfn_lint(folder: Path) -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [linter, *folder.glob("*.template.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_balancer_alone_calls_the_receiver_for_what_is_posted_to_one_path(
    folder: Path,
) -> None:
    rules = _of_type(folder, "mlflow", "AWS::ElasticLoadBalancingV2::ListenerRule")
    first = min(rules, key=lambda rule: int(rule["Priority"]))
    fields = {condition["Field"] for condition in first["Conditions"]}
    assert fields == {"host-header", "path-pattern", "http-request-method"}
    groups = _of_type(folder, "mlflow", "AWS::ElasticLoadBalancingV2::TargetGroup")
    (group,) = (group for group in groups if group["TargetType"] == "lambda")
    assert group["Targets"] == [{"Id": PROD.function_arn("webhook-receiver")}]
    permissions = _of_type(folder, "functions", "AWS::Lambda::Permission")
    (balancer,) = (p for p in permissions if p["Principal"].startswith("elasticloadbalancing"))
    assert balancer["SourceArn"].endswith(f":targetgroup/{group['Name']}/*")


def test_the_receiver_acts_as_its_own_role_outside_the_network(folder: Path) -> None:
    functions = _of_type(folder, "functions", "AWS::Lambda::Function")
    name = PROD.function("webhook-receiver")
    (receiver,) = (f for f in functions if f["FunctionName"] == name)
    assert receiver["Role"] == PROD.role_arn(Role.WEBHOOK_RECEIVER)
    assert "VpcConfig" not in receiver
    assert not [value for value in receiver["Environment"]["Variables"] if "SECRET" in value]


def test_the_server_keeps_keys_by_a_secret_of_its_own(folder: Path) -> None:
    made = {s["Name"] for s in _of_type(folder, "mlflow-data", "AWS::SecretsManager::Secret")}
    assert {PROD.mlflow_secret("webhook"), PROD.mlflow_secret("encryption")} <= made
    (task,) = _of_type(folder, "mlflow", "AWS::ECS::TaskDefinition")
    given = {v["Name"]: v["Value"] for v in task["ContainerDefinitions"][0]["Environment"]}
    assert given["MLOPS_MLFLOW_ENCRYPTION_SECRET"] == PROD.mlflow_secret("encryption")
    assert PROD.mlflow_secret("webhook") not in given.values()


def test_what_was_delivered_is_forgotten_and_a_failing_receiver_is_told(folder: Path) -> None:
    buckets = _of_type(folder, "storage", "AWS::S3::Bucket")
    rules = [rule for bucket in buckets for rule in bucket["LifecycleConfiguration"]["Rules"]]
    (daily,) = (rule for rule in rules if rule.get("Prefix") == "webhooks/")
    assert (daily["ExpirationInDays"], daily["Status"]) == (1, "Enabled")
    alarms = {a["AlarmName"] for a in _of_type(folder, "watch", "AWS::CloudWatch::Alarm")}
    assert "mlops-prod-webhook-receiver-failed" in alarms
