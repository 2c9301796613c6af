"""CloudFormation's life of a stack: made, changed, refused, deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws import unique

if TYPE_CHECKING:
    from tests.conftest import Clients


def template(**topics: str) -> str:
    """One topic for each logical id."""
    resources = {
        logical: {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}}
        for logical, name in topics.items()
    }
    outputs = {logical: {"Value": {"Ref": logical}} for logical in topics}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def wait(aws: Clients, state: str, stack: str) -> None:
    aws("cloudformation").get_waiter(state).wait(StackName=stack, WaiterConfig={"Delay": 1})


def test_a_stack_lives_and_ends(aws: Clients) -> None:
    client, stack, first, second = (aws("cloudformation"), *map(unique, ("s", "one", "two")))
    client.validate_template(TemplateBody=template(A=first))
    client.create_stack(StackName=stack, TemplateBody=template(A=first))
    wait(aws, "stack_create_complete", stack)
    client.update_stack(StackName=stack, TemplateBody=template(A=first, B=second))
    wait(aws, "stack_update_complete", stack)
    (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]}
    assert outputs["B"].endswith(f":{second}")
    resources = client.describe_stack_resources(StackName=stack)["StackResources"]
    assert {r["LogicalResourceId"] for r in resources} == {"A", "B"}
    one = client.describe_stack_resource(StackName=stack, LogicalResourceId="A")
    assert one["StackResourceDetail"]["PhysicalResourceId"].endswith(f":{first}")
    listed = client.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    assert len(listed) == 2
    assert "A" in json.dumps(client.get_template(StackName=stack)["TemplateBody"])
    statuses = {s["StackName"]: s["StackStatus"] for s in client.list_stacks()["StackSummaries"]}
    assert statuses[stack] == "UPDATE_COMPLETE"
    client.delete_stack(StackName=stack)
    wait(aws, "stack_delete_complete", stack)
    topics = {t["TopicArn"] for t in aws("sns").list_topics()["Topics"]}
    assert not {t for t in topics if t.endswith((f":{first}", f":{second}"))}


def test_a_change_set_is_looked_at_before_it_is_done(aws: Clients) -> None:
    client, stack, name = aws("cloudformation"), unique("s"), unique("topic")
    made = client.create_change_set(
        StackName=stack,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=template(A=name),
    )
    client.get_waiter("change_set_create_complete").wait(
        ChangeSetName=made["Id"], WaiterConfig={"Delay": 1}
    )
    (change,) = client.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    assert change["ResourceChange"]["Action"] == "Add"
    sets = client.list_change_sets(StackName=stack)["Summaries"]
    assert [s["ChangeSetName"] for s in sets] == ["first"]
    client.execute_change_set(ChangeSetName=made["Id"])
    wait(aws, "stack_create_complete", stack)
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    assert events[0]["ResourceStatus"] == "CREATE_COMPLETE"
    of_change = client.describe_events(ChangeSetName=made["Id"])["OperationEvents"]
    assert isinstance(of_change, list)
    again = client.create_change_set(
        StackName=stack, ChangeSetName="other", TemplateBody=template(B=name)
    )
    client.delete_change_set(ChangeSetName=again["Id"])
    client.delete_stack(StackName=stack)


def test_an_unknown_type_refuses_the_whole_stack(aws: Clients) -> None:
    client, stack, name = aws("cloudformation"), unique("s"), unique("topic")
    body: dict[str, Any] = json.loads(template(A=name))
    body["Resources"]["B"] = {"Type": "AWS::SageMaker::Model", "Properties": {}}
    with pytest.raises(ClientError, match="AWS::SageMaker::Model"):
        client.create_stack(StackName=stack, TemplateBody=json.dumps(body))
    assert not [t for t in aws("sns").list_topics()["Topics"] if t["TopicArn"].endswith(name)]


def test_protection_keeps_a_stack(aws: Clients) -> None:
    client, stack = aws("cloudformation"), unique("s")
    client.create_stack(StackName=stack, TemplateBody=template(A=unique("topic")))
    wait(aws, "stack_create_complete", stack)
    client.update_termination_protection(StackName=stack, EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection"):
        client.delete_stack(StackName=stack)
    client.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
    client.delete_stack(StackName=stack)
    wait(aws, "stack_delete_complete", stack)
