"""CloudFormation of the local AWS, as the deployment leans on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

KINDS = {
    "AWS::S3::Bucket": ("BucketName", "contract-cloudformation-{}"),
    "AWS::SecretsManager::Secret": ("Name", "contract/cloudformation-{}"),
    "AWS::Kinesis::Stream": ("Name", "contract-cloudformation-{}"),
}


def change_of(local_aws: LocalAws, stack: str, before: Any, after: Any) -> dict[str, Any]:
    """What a change set from one resource to another says of it."""
    client = local_aws.client("cloudformation")
    client.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": {"It": before}}))
    client.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    made = client.create_change_set(
        StackName=stack,
        ChangeSetName="change",
        TemplateBody=json.dumps({"Resources": {"It": after}}),
    )
    described = client.describe_change_set(ChangeSetName=made["Id"])
    client.delete_stack(StackName=stack)
    (change,) = described["Changes"]
    found: dict[str, Any] = change["ResourceChange"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_tag_does_not_replace_what_holds_data(local_aws: LocalAws, kind: str) -> None:
    name, pattern = KINDS[kind]
    properties = {name: pattern.format("tagged")}
    before = {"Type": kind, "Properties": properties}
    tags = [{"Key": "owner", "Value": "payments"}]
    after = {"Type": kind, "Properties": {**properties, "Tags": tags}}
    change = change_of(local_aws, f"tagged-{kind.split('::')[1].lower()}", before, after)
    assert (change["Action"], change["Replacement"]) == ("Modify", "False")


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_name_replaces_it(local_aws: LocalAws, kind: str) -> None:
    name, pattern = KINDS[kind]
    before, after = (
        {"Type": kind, "Properties": {name: pattern.format(word)}} for word in ("old", "new")
    )
    change = change_of(local_aws, f"renamed-{kind.split('::')[1].lower()}", before, after)
    assert (change["Action"], change["Replacement"]) == ("Modify", "True")


def test_a_secret_that_the_template_gives_no_value_has_none(local_aws: LocalAws) -> None:
    client, secrets = local_aws.client("cloudformation"), local_aws.client("secretsmanager")
    empty = {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "contract/empty"}}
    client.create_stack(
        StackName="empty-secret", TemplateBody=json.dumps({"Resources": {"It": empty}})
    )
    client.get_waiter("stack_create_complete").wait(
        StackName="empty-secret", WaiterConfig={"Delay": 1}
    )
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId="contract/empty")
    secrets.update_secret(SecretId="contract/empty", SecretString="kept")
    assert secrets.get_secret_value(SecretId="contract/empty")["SecretString"] == "kept"
