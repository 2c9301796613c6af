"""`mlops infra`: what it prints, and what it refuses to start without."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra import deploy, packaging, synth
from infra.changes import Change
from infra.cli import infra
from infra.cloudformation import Plan
from infra.synth import Stack
from mlops import aws
from mlops.errors import Refused, SettingsError
from mlops.names import Names

STACK = Stack("mlops-dev-storage", {"Resources": {"Data": {"Type": "AWS::S3::Bucket"}}})
LOST = Change(
    stack=STACK.name, action="remove", resource="Records", type="AWS::DynamoDB::Table", name="old"
)
CHANGED = Change(
    stack=STACK.name,
    action="change",
    resource="Data",
    type="AWS::S3::Bucket",
    name="data",
    properties=("Tags",),
)
DEV = {
    "MLOPS_ENV": "dev",
    "MLOPS_ACCOUNT": "123456789012",
    "AWS_REGION": "ap-northeast-2",
}


@dataclass
class FakeDeployer:
    """Plans what it was told to."""

    aws: object
    names: object
    changes: tuple[Change, ...] = (CHANGED, LOST)

    def preview(self, _stacks: object, _package: object) -> list[Plan]:
        return [Plan(STACK, self.changes)]

    def settings(self, _stacks: object) -> dict[str, str]:
        return {"MLOPS_REDIS_URL": "rediss://cache:6379/0"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MLOPS_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(synth, "synthesize", lambda _names: [STACK])
    monkeypatch.setattr(packaging, "package_lambdas", lambda **_: object())
    monkeypatch.setattr(deploy, "Deployer", FakeDeployer)


def run(*arguments: str, env: dict[str, Any] = DEV) -> Result:
    return CliRunner().invoke(infra, arguments, env=env)


@pytest.mark.usefixtures("environment")
def test_a_diff_names_every_change_and_what_loses_data() -> None:
    printed = run("diff").output
    assert "mlops-dev-storage: 1 to change, 1 to remove\n" in printed
    assert "  ~ AWS::S3::Bucket data (Tags)\n" in printed
    assert "  - AWS::DynamoDB::Table old  LOSES ITS DATA\n" in printed


@pytest.mark.usefixtures("environment")
def test_a_dry_run_prints_the_diff() -> None:
    assert run("deploy", "--dry-run").output == run("diff").output


@pytest.mark.usefixtures("environment")
def test_the_environment_is_printed_for_a_shell() -> None:
    printed = run("env").stdout.splitlines()
    assert "export MLOPS_REDIS_URL=rediss://cache:6379/0" in printed
    assert "export MLOPS_ENV=dev" in printed


@pytest.mark.usefixtures("environment")
def test_the_option_goes_before_the_variable() -> None:
    assert "export MLOPS_ENV=stage" in run("env", "--env", "stage").stdout


class Someone:
    """Whose credentials are of an account that no setting names."""

    identity = "arn:aws:sts::999999999999:assumed-role/mlops-dev-jenkins/build-7"
    session = SimpleNamespace(region_name="ap-northeast-2")

    def __init__(self, **_: str) -> None:
        pass


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", ["diff", "deploy", "env"])
@pytest.mark.parametrize("env", ["stage", "prod"])
def test_nobodys_credentials_say_which_account_stage_and_prod_belong_to(
    command: str, env: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "Aws", Someone)
    refused = run(command, env={"MLOPS_ENV": env}).exception
    assert isinstance(refused, Refused)
    assert f"which account '{env}' belongs to" in str(refused)
    assert "Set MLOPS_ACCOUNT" in str(refused)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("env", ["local", "dev"])
def test_where_anybody_tries_things_the_account_is_that_of_the_credentials(
    env: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "Aws", Someone)
    assert "export MLOPS_ACCOUNT=999999999999" in run("env", env={"MLOPS_ENV": env}).stdout


def test_the_wrong_account_is_refused_where_its_own_is_named() -> None:
    names = Names(project="mlops", env="prod", account="1" * 12, region="eu-west-1")
    someone: Any = Someone()
    with pytest.raises(Refused, match="'prod' belongs to account 111111111111"):
        deploy.Deployer(someone, names)


@pytest.mark.usefixtures("environment")
def test_synthesising_needs_names_but_no_aws() -> None:
    missing = run("synth", env={"MLOPS_ENV": "dev"}).exception
    assert isinstance(missing, SettingsError)
    assert "MLOPS_ACCOUNT" in str(missing)
    assert "MLOPS_REGION" in str(missing)


@pytest.mark.parametrize("command", ["synth", "diff", "deploy", "env"])
def test_every_command_shows_an_example(command: str) -> None:
    printed = run(command, "--help").output
    assert "Example" in printed
    assert f"mlops infra {command}" in printed
