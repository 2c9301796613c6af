"""Reading what a deployment would do, and refusing what would lose data."""

from __future__ import annotations

from typing import Any

import pytest

from infra.changes import Change, changes_of_new, changes_of_set
from infra.cloudformation import Plan
from infra.deploy import refuse_losses
from infra.synth import Stack
from mlops.errors import Refused

STACK = Stack("mlops-dev-storage", {"Resources": {"Data": {"Type": "AWS::S3::Bucket"}}})


def listed(action: str, *, type_: str = "AWS::S3::Bucket", **more: Any) -> list[dict[str, Any]]:
    change = {"Action": action, "LogicalResourceId": "Data", "ResourceType": type_, **more}
    return [{"Type": "Resource", "ResourceChange": change}]


def test_a_new_stack_adds_all_its_resources() -> None:
    assert changes_of_new(STACK) == (
        Change(stack=STACK.name, action="add", resource="Data", type="AWS::S3::Bucket"),
    )


@pytest.mark.parametrize(
    ("action", "replacement", "expected"),
    [
        ("Add", None, "add"),
        ("Remove", None, "remove"),
        ("Modify", "False", "change"),
        ("Modify", "Conditional", "may_replace"),
        ("Modify", "True", "replace"),
    ],
)
def test_a_change_sets_actions_are_told_apart(
    action: str, replacement: str | None, expected: str
) -> None:
    more = {"Replacement": replacement} if replacement else {}
    (change,) = changes_of_set(STACK.name, listed(action, **more))
    assert change.action == expected


def test_a_change_names_its_properties_once() -> None:
    details = [
        {"Target": {"Attribute": "Properties", "Name": "Tags"}},
        {"Target": {"Attribute": "Properties", "Name": "Tags"}},
        {"Target": {"Attribute": "DeletionPolicy"}},
    ]
    (change,) = changes_of_set(STACK.name, listed("Modify", Replacement="False", Details=details))
    assert change.properties == ("DeletionPolicy", "Tags")


@pytest.mark.parametrize("replacement", ["True", "Conditional"])
def test_replacing_what_holds_data_is_refused_by_name(replacement: str) -> None:
    changes = changes_of_set(
        STACK.name, listed("Modify", Replacement=replacement, PhysicalResourceId="mlops-dev-data")
    )
    with pytest.raises(Refused, match=r"AWS::S3::Bucket mlops-dev-data.*--allow-delete"):
        refuse_losses([Plan(STACK, changes)])


def test_removing_what_holds_no_data_is_allowed() -> None:
    changes = changes_of_set(STACK.name, listed("Remove", type_="AWS::Lambda::Permission"))
    refuse_losses([Plan(STACK, changes)])
