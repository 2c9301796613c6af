"""A definition that is uploaded becomes a state machine, through S3's notification."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from mlops.names import Role

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

WORKFLOW = "uploaded"
DEADLINE_SECONDS = 60


def _upload(platform: LocalAws, code: bytes) -> str:
    """Code, then definition, as Jenkins does it; returns the code's sha256."""
    names, sha256 = platform.names, hashlib.sha256(code).hexdigest()
    folder = f"workflows/{WORKFLOW}/{sha256}/"
    document = {
        "workflow": WORKFLOW,
        "state_machine": names.state_machine_arn(WORKFLOW).rpartition(":")[2],
        "role_arn": names.role_arn(Role.WORKFLOW),
        "code_sha256": sha256,
        "source": f"s3://{names.artifact_bucket}/{folder}source.tar.gz",
        "submitted_by": "arn:aws:sts::000000000000:assumed-role/mlops-local-jenkins/main-7",
        "definition": {
            "Comment": sha256,
            "StartAt": "Done",
            "States": {"Done": {"Type": "Succeed"}},
        },
    }
    s3 = platform.client("s3", Role.JENKINS)
    s3.put_object(Bucket=names.artifact_bucket, Key=f"{folder}source.tar.gz", Body=code)
    body = json.dumps(document).encode()
    s3.put_object(Bucket=names.artifact_bucket, Key=f"{folder}definition.json", Body=body)
    return sha256


def _wait_for(platform: LocalAws, sha256: str) -> dict[str, Any]:
    s3, key = platform.client("s3"), f"workflows/{WORKFLOW}/current.json"
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if s3.list_objects_v2(Bucket=platform.names.artifact_bucket, Prefix=key)["KeyCount"]:
            body = s3.get_object(Bucket=platform.names.artifact_bucket, Key=key)["Body"].read()
            current: dict[str, Any] = json.loads(body)
            if current["code_sha256"] == sha256:
                return current
        time.sleep(0.1)
    raise AssertionError(f"{sha256} was not deployed within {DEADLINE_SECONDS} s")


def _deployed(platform: LocalAws) -> tuple[str, str]:
    """The code that the state machine says it runs: in its definition, and on its tag."""
    states, arn = platform.client("stepfunctions"), platform.names.state_machine_arn(WORKFLOW)
    definition = json.loads(states.describe_state_machine(stateMachineArn=arn)["definition"])
    tags = states.list_tags_for_resource(resourceArn=arn)["tags"]
    return definition["Comment"], {t["key"]: t["value"] for t in tags}["code_sha256"]


def _invoke(platform: LocalAws, event: dict[str, Any]) -> Any:
    answer = platform.client("lambda").invoke(
        FunctionName=platform.names.function("workflow-deployer"),
        Payload=json.dumps(event).encode(),
    )
    assert "FunctionError" not in answer
    return json.loads(answer["Payload"].read())


def test_uploads_create_and_update_and_late_events_change_nothing(platform: LocalAws) -> None:
    first = _upload(platform, b"first code")
    noted = _wait_for(platform, first)
    assert _deployed(platform) == (first, first)
    assert noted["state_machine_arn"] == platform.names.state_machine_arn(WORKFLOW)
    second = _upload(platform, b"second code")
    _wait_for(platform, second)
    assert _deployed(platform) == (second, second)

    bucket = {"name": platform.names.artifact_bucket}
    key = {"key": f"workflows/{WORKFLOW}/{first}/definition.json"}
    late = {"eventTime": noted["uploaded_at"], "s3": {"bucket": bucket, "object": key}}
    (told,) = _invoke(platform, {"Records": [late, late]})["deployed"]
    assert told["action"] == "outdated"
    assert _deployed(platform) == (second, second)


def test_the_test_event_of_s3_is_taken_without_a_word(platform: LocalAws) -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}
    assert _invoke(platform, event) == {"deployed": []}
