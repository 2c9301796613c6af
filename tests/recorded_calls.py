"""Compares the API calls that the local AWS recorded with what the callers' roles may do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from infra.stacks.permissions import grants_of
from mlops.names import Names, Role

ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})
_ACTIONS = {
    "dynamodb:TransactWriteItems": ("dynamodb:PutItem",),  # all that ours hold
    "lambda:Invoke": ("lambda:InvokeFunction",),
    "s3:CompleteMultipartUpload": ("s3:PutObject",),
    "s3:CopyObject": ("s3:GetObject", "s3:PutObject"),
    "s3:CreateMultipartUpload": ("s3:PutObject",),
    "s3:DeleteObjects": ("s3:DeleteObject",),
    "s3:GetBucketNotificationConfiguration": ("s3:GetBucketNotification",),
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:HeadObject": ("s3:GetObject",),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:ListObjects": ("s3:ListBucket",),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:ListParts": ("s3:ListMultipartUploadParts",),
    "s3:UploadPart": ("s3:PutObject",),
    "s3:UploadPartCopy": ("s3:GetObject", "s3:PutObject"),
}
"""Operations whose IAM action is called otherwise."""


def read_calls(state: Path) -> Iterator[tuple[str, str]]:
    """Who called what, as (role name, 'service:Operation'); calls of the account are left out."""
    for path in (state / "calls.jsonl.1", state / "calls.jsonl"):
        for line in path.read_text().splitlines() if path.exists() else ():
            call = json.loads(line)
            if ":assumed-role/" in call["caller"]:
                role = call["caller"].split("/")[1]
                yield role, f"{call['service']}:{call['operation']}"


def uncovered(calls: Iterable[tuple[str, str]], names: Names) -> Mapping[str, list[str]]:
    """By role of ours, the actions that it used and was never granted, whatever the resource."""
    granted = {
        names.role_name(role): {a for grant in grants_of(role, names) for a in grant.actions}
        for role in Role
    }
    missing: dict[str, set[str]] = {}
    for role, operation in calls:
        needed = set(_ACTIONS.get(operation, (operation,))) - ALWAYS_ALLOWED
        if more := needed - granted.get(role, needed):
            missing.setdefault(role, set()).update(more)
    return {role: sorted(actions) for role, actions in missing.items()}
