"""The online store's commands as Jenkins runs them, and the workflow that does it on schedule."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from infra.local.redis import RedisServer, read_password
from mlops.names import Role
from tests.feast_rows import write_rows
from tests.integration.features.conftest import Built, Finished
from tests.local_aws import eventually

# On the worker that built the tables: each test goes on where the one before it ended.
pytestmark = pytest.mark.xdist_group("features-on-athena")

DAY = "2025-04-20"


class Commands:
    """`mlops` where the tables are built."""

    def __init__(self, built: Built) -> None:
        self.place = built.place

    def run(self, *arguments: str) -> Finished:
        return self.place.run(*arguments)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def mlops(built: Built) -> Iterator[Commands]:
    """Nothing is online before, whatever others loaded, and nothing after."""
    environment = built.place.local.environment()
    client = redis.Redis.from_url(
        environment["MLOPS_REDIS_URL"], password=environment["MLOPS_REDIS_PASSWORD"]
    )
    with client:
        client.flushall()
        yield Commands(built)
        client.flushall()


def test_the_workflow_loads_every_view_in_an_array_of_jobs(mlops: Commands) -> None:
    deployed = mlops.run("workflows", "deploy", "upsync")
    assert deployed.code == 0, deployed.stderr
    before = mlops.json("features", "runs")
    settings = ("--set", f"clock={DAY}", "--set", "shards=1")
    ran = mlops.run("workflows", "run", "upsync", *settings, "--wait", "--json")
    assert ran.code == 0, ran.stderr + ran.stdout
    logs = mlops.run("workflows", "logs", "upsync", "--step", "Load")
    assert "customer_spend, shard 0" in logs.stdout
    verdicts = mlops.json("--clock", DAY, "features", "verify")
    assert [v["view"] for v in verdicts] == ["customer_spend", "terminal_risk"]
    assert all(v["checked"] == v["same"] > 0 for v in verdicts), verdicts
    reports = mlops.json("features", "runs")
    assert {r["state"] for r in reports if r not in before} == {"loaded"}


def test_what_is_wrong_online_exits_with_one_and_is_healed(mlops: Commands) -> None:
    later = ("--clock", "2025-04-21", "features")
    wrong = mlops.run(*later, "verify")
    assert wrong.code == 1
    assert "mlops features upsync --full customer_spend" in wrong.stderr
    assert mlops.run(*later, "verify", "--threshold", "1", "--sample", "0.5").code == 0
    assert mlops.run(*later, "upsync", "--shards", "3").code == 0
    assert mlops.run(*later, "verify").code == 0


def test_the_online_store_is_saved_lost_and_restored(mlops: Commands) -> None:
    clock = ("--clock", "2025-04-21", "features")
    assert mlops.json("features", "backup", "--name", "nightly")["id"] == "nightly"
    refused = mlops.run("features", "restore", "nightly")
    assert refused.code == 5
    assert "--force" in refused.stderr
    assert mlops.run("features", "restore", "nightly", "--only", "online", "--force").code == 0
    assert mlops.run(*clock, "verify").code == 0
    listed = mlops.run("features", "backups")
    assert "nightly" in listed.stdout


def test_the_schedule_starts_it_and_the_topic_is_told_of_its_failure(
    mlops: Commands, built: Built
) -> None:
    """As deployed, but once, now, and for a view that there is not."""
    place = built.place.local
    scheduler, sns, sqs = (place.client(name) for name in ("scheduler", "sns", "sqs"))
    names = built.place.settings.names
    queue = sqs.create_queue(QueueName="upsync-told")["QueueUrl"]
    arn = f"arn:aws:sqs:{names.region}:{names.account}:upsync-told"
    sns.subscribe(TopicArn=names.topic_arn, Protocol="sqs", Endpoint=arn)
    schedule = scheduler.get_schedule(Name=names.function("upsync"))
    target = schedule["Target"]
    given = json.loads(target["Input"]) | {"settings": {"views": ["nobody"]}}
    soon = datetime.now(UTC) + timedelta(seconds=1)
    scheduler.update_schedule(
        Name=schedule["Name"],
        State="ENABLED",
        ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target | {"Input": json.dumps(given)},
    )

    def told() -> Any:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", ())
        facts = [json.loads(json.loads(message["Body"])["Message"]) for message in found]
        return next((fact for fact in facts if fact.get("workflow") == "upsync"), None)

    failure = eventually(told, what="a message of the failed run", seconds=90)
    assert (failure["event"], failure["error"]) == ("run_failed", "States.TaskFailed")
    assert mlops.json("workflows", "status", "upsync")["arn"] == failure["execution"]
    started = place.client("stepfunctions").describe_execution(executionArn=failure["execution"])
    assert json.loads(started["input"])["submitted_by"] == names.role_arn(Role.SCHEDULER)


def test_what_feast_s_own_store_holds_is_taken_over(mlops: Commands, built: Built) -> None:
    from feast.protos.feast.types.Value_pb2 import Value

    local = built.place.local
    server = RedisServer(local.redis_port, read_password(local.state.redis), None)
    row = ({"customer_id": Value(string_val="new")}, {"customer_count_1d": Value(int64_val=7)})
    noon = datetime(2025, 4, 20, 12, tzinfo=UTC)
    write_rows(server, "payments", [("customer_spend", *row)], noon)
    command = ("--clock", "2025-04-21", "features", "migrate-online", "customer_spend")
    [would] = mlops.json(*command, "--dry-run")
    assert (would["rows"], would["written"], would["dry_run"]) == (1, 1, True)
    [done] = mlops.json(*command, "--remove-old")
    assert (done["written"], done["unreadable"], done["removed"]) == (1, 0, 1)
    assert "migrated" in mlops.run(*command).stdout


def test_a_repo_with_feast_s_own_store_is_refused_by_name(built: Built, tmp_path: Path) -> None:
    repo = tmp_path / "feature_repo"
    shutil.copytree(built.place.settings.feature_repo, repo)
    config = yaml.safe_load((repo / "feature_store.yaml").read_text())
    config["online_store"] = {"type": "redis", "connection_string": "localhost:6379"}
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(config))
    refused = built.place.run("features", "verify", MLOPS_FEATURE_REPO=str(repo))
    assert refused.code == 5
    assert "'redis'" in refused.stderr
    assert "upsync --full" in refused.stderr
