"""A decision in a registry without events of its own reaches the rollout as SageMaker's do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra.lambdas.deploy_model import RegistryChange, read_event
from mlops.aws import Aws
from mlops.registry.delivery import DETAIL_TYPE, SOURCE, deliver
from tests.approvals import NAMES, model_version
from tests.local_aws import eventually

if TYPE_CHECKING:
    import pytest

    from infra.local.lifecycle import LocalAws


def test_the_rollout_is_told_which_versions_were_decided_on(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    url = local_aws.client("sqs").create_queue(QueueName="decisions")["QueueUrl"]
    target = f"arn:aws:sqs:{local_aws.names.region}:{local_aws.names.account}:decisions"
    pattern = {"source": ["aws.sagemaker", SOURCE], "detail-type": [DETAIL_TYPE]}
    bus = local_aws.client("events")
    bus.put_rule(Name="decisions", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="decisions", Targets=[{"Id": "queue", "Arn": target}])

    versions = [model_version(number, model="delivered") for number in range(1, 13)]
    assert deliver(Aws(), NAMES, versions) == 12

    told: set[RegistryChange | None] = set()

    def all_told() -> bool:
        answer = local_aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            told.add(read_event(json.loads(message["Body"]), NAMES))
        return len(told) >= 12

    eventually(all_told, what="every decision")
    assert told == {RegistryChange("delivered", number, True) for number in range(1, 13)}
