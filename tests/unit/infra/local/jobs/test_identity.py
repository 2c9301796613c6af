"""Who may assume a role."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from infra.local.jobs.identity import trusted_services


def policy(**statement: Any) -> dict[str, Any]:
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allow | statement]}


SAGEMAKER = policy(Principal={"Service": "sagemaker.amazonaws.com"})


@pytest.mark.parametrize(
    ("document", "services"),
    [
        (SAGEMAKER, {"sagemaker.amazonaws.com"}),
        (json.dumps(SAGEMAKER), {"sagemaker.amazonaws.com"}),
        (quote(json.dumps(SAGEMAKER)), {"sagemaker.amazonaws.com"}),
        (policy(Principal={"Service": ["a", "b"]}), {"a", "b"}),
        (policy(Principal={"AWS": "arn:aws:iam::1:root"}), set()),
        (policy(Principal="*"), set()),
        (policy(Effect="Deny", Principal={"Service": "a"}), set()),
        ({"Statement": SAGEMAKER["Statement"][0]}, {"sagemaker.amazonaws.com"}),
    ],
)
def test_services_are_read_from_every_way_to_write_a_policy(
    document: Any, services: set[str]
) -> None:
    assert trusted_services(document) == services
