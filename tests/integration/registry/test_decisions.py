"""A decision on the command line is deployed by the platform, through its record and events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from mlops.athena import Athena
from mlops.aws import Aws
from mlops.deployment import Deployment, load_deployment
from mlops.errors import Conflict, NotFound, Refused
from mlops.manifest import Distribution, ModelInput
from mlops.names import Role
from mlops.objects import Documents, S3Documents
from mlops.settings import load_settings
from mlops.strategy import Bounds, Strategy
from pipelines.training.starting.rules import EventBridgeRules, wanted_rules
from pipelines.training.starts import Starts
from tests.approvals import model_version, register_package, upload_model
from tests.commands import in_a_process, mlops
from tests.slack_channel import channel

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

_NUMBERS = count()
Found = TypeVar("Found")
DEADLINE_SECONDS = 60
KILLED = """
import os, signal
from infra.lambdas import deploy_model
from mlops.deploying import endpoints

endpoints.save_deployment = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
deploy_model.handler({"source": "aws.events"}, None)
"""
"""The Lambda's own code, which dies when its step is on record and not yet in the document."""


@dataclass
class Company:
    """The deployed platform, and one model on it that no other test uses."""

    local: LocalAws
    model: str
    documents: Documents

    def register(self, version: int, *, by: Strategy | None = None, **changes: Any) -> None:
        """Upload a model's files and register it, as the workflow's last steps do."""
        written = upload_model(self.documents, version, model=self.model, rollout=by)
        wanted = model_version(version, model=self.model, **(written | changes))
        client = self.local.client("sagemaker", Role.WORKFLOW)
        register_package(client, self.local.names, wanted)

    def run(self, *arguments: str, role: Role | None = Role.APPROVER) -> Answer:
        """`mlops models …`, as a role."""
        return self._mlops("models", *arguments, environment=self.local.environment(role))

    def operate(self, *arguments: str, role: Role = Role.OPERATOR) -> Answer:
        """`mlops deploy …`, as a role."""
        return self._mlops("deploy", *arguments, environment=self.local.environment(role))

    def _mlops(self, *arguments: str, environment: Mapping[str, str]) -> Answer:
        done = mlops(*arguments, environment=environment)
        return Answer(done.returncode, done.stdout, done.stderr)

    def run_apart(self, *arguments: str) -> Answer:
        """`mlops models …` as a process beside others."""
        environment = self.local.environment(Role.APPROVER)
        done = in_a_process("models", *arguments, environment=environment)
        return Answer(done.returncode, done.stdout, done.stderr)

    def run_as(self, session_name: str, *arguments: str) -> Answer:
        """`mlops models …`, as an approver of that name."""
        role = self.local.names.role_arn(Role.APPROVER)
        person = Aws(self.local.session(None)).assume(role, session_name=session_name)
        found = person.session.get_credentials().get_frozen_credentials()
        keys = {
            "AWS_ACCESS_KEY_ID": found.access_key,
            "AWS_SECRET_ACCESS_KEY": found.secret_key,
            "AWS_SESSION_TOKEN": found.token,
        }
        environment = self.local.environment(Role.APPROVER) | keys
        return self._mlops("models", *arguments, environment=environment)

    def decide(self, action: str, version: int, reason: str = "measured") -> Answer:
        answer = self.run(action, self.model, str(version), "--reason", reason)
        assert answer.code == 0, answer.error
        return answer

    def wait_for_stable(self, version: int) -> Deployment:
        return _wait(lambda: self._deployed(version), f"version {version} of {self.model} stable")

    @property
    def deployment(self) -> Deployment:
        return load_deployment(self.documents, self.model)[0]

    def drive(self, version: int) -> Deployment:
        """Let the schedule come until the version is stable."""
        scheduled = {"source": "aws.events", "detail-type": "Scheduled Event"}

        def driven() -> Deployment | None:
            self._invoke(scheduled)
            return self._deployed(version)

        return _wait(driven, f"the end of version {version}'s rollout")

    def tell(self, version: int) -> None:
        """Send the event of a decision once more."""
        group = self.local.names.model_group(self.model)
        detail = {
            "ModelPackageGroupName": group,
            "ModelPackageVersion": version,
            "UpdatedModelPackageFields": ["ModelApprovalStatus"],
        }
        self._invoke({"source": "aws.sagemaker", "detail": detail})

    def _invoke(self, event: Mapping[str, Any]) -> None:
        name = self.local.names.function("model-deployer")
        answer = self.local.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        assert "FunctionError" not in answer, answer["Payload"].read()

    def _deployed(self, version: int) -> Deployment | None:
        try:
            found = load_deployment(self.documents, self.model)[0]
        except NotFound:
            return None
        return found if found.stable and found.stable.version == version else None


@dataclass(frozen=True)
class Answer:
    code: int
    output: str
    error: str

    @property
    def json(self) -> Any:
        assert self.output, self.error
        return json.loads(self.output)


def _wait(look: Callable[[], Found | None], what: str) -> Found:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}")


@pytest.fixture
def company(platform: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Company:
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    documents = S3Documents(Aws(), platform.names.artifact_bucket)
    return Company(platform, f"decided-{next(_NUMBERS)}", documents)


def test_approvals_deploy_and_a_rejection_puts_the_one_before_back(company: Company) -> None:
    for version in (1, 2):
        company.register(version)
        company.decide("approve", version)
        deployed = company.wait_for_stable(version)
    assert [v.version for v in deployed.history] == [1]
    assert "approver" in deployed.changed_by
    company.decide("reject", 2, "alerts doubled")
    back = company.wait_for_stable(1)
    assert (back.revision, back.reason, back.history) == (3, "alerts doubled", ())
    history = company.run("history", company.model, "--json").json
    assert history["verified"]
    assert [e["action"] for e in history["entries"]] == ["approve", "approve", "reject"]


def test_an_approved_version_is_rolled_out_by_schedule_as_its_settings_say(
    company: Company,
) -> None:
    company.register(1)
    company.decide("approve", 1)
    company.wait_for_stable(1)
    company.register(2, by=Strategy(steps=(0.5,), bake_seconds=0, bounds=Bounds(min_answers=0)))
    company.decide("approve", 2)
    deployed = company.drive(2)
    assert [version.version for version in deployed.history] == [1]
    assert deployed.changed_by == company.local.names.role_arn(Role.MODEL_DEPLOYER)
    history = company.operate("history", company.model, "--json").json
    assert [entry["action"] for entry in history["entries"]] == ["decide", "decide", "take over"]
    assert history["verified"]


def test_a_lambda_that_is_killed_half_way_is_completed_by_the_next_and_events_count_once(
    company: Company,
) -> None:
    company.register(1)
    company.decide("approve", 1)
    company.wait_for_stable(1)
    company.register(2, by=Strategy(steps=(0.5,), bake_seconds=0, bounds=Bounds(min_answers=0)))
    company.decide("approve", 2)
    _wait(lambda: company.deployment.canary, "the canary")
    environment = os.environ | company.local.environment(Role.MODEL_DEPLOYER)
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    before = company.deployment
    assert (before.revision, before.stable and before.stable.version) == (2, 1)
    deployed = company.drive(2)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(company.tell, [2, 1, 2]))
    assert company.deployment == deployed
    history = company.operate("history", company.model, "--json").json
    assert [entry["action"] for entry in history["entries"]] == ["decide", "decide", "take over"]
    assert history["verified"]


def test_slack_is_told_of_deployments_and_rollbacks_where_its_webhook_is_set(
    company: Company,
) -> None:
    secrets, endpoint = company.local.client("secretsmanager"), f"Endpoint '{company.model}'"
    with channel() as place:

        def told(subject: str) -> str:
            found = _wait(lambda: [m for m in place.told if m["text"] == subject] or None, subject)
            return str(found[0]["blocks"][0]["text"]["text"])

        name = company.local.names.slack_secret
        secrets.put_secret_value(SecretId=name, SecretString=place.webhook)
        for version in (1, 2):
            company.register(version)
            company.decide("approve", version)
            company.wait_for_stable(version)
        assert "decision: approve version 1" in told(f"{endpoint} serves version 1, its first.")
        company.decide("reject", 2, "alerts doubled")
        company.wait_for_stable(1)
        assert "reason: alerts doubled" in told(
            f"{endpoint} serves version 1; before it was version 2."
        )
        secrets.put_secret_value(SecretId=name, SecretString=" ")


def test_an_operator_rolls_back_freezes_and_finds_all_of_it_on_record(company: Company) -> None:
    for version in (1, 2):
        company.register(version)
        company.decide("approve", version)
        company.wait_for_stable(version)
    back = company.operate("rollback", company.model, "--reason", "alerts doubled", "--json")
    assert (back.json["stable"], back.json["before"]) == (1, 2), back.error
    assert "mlops-local-operator" in back.json["who"]
    assert company.operate("freeze", company.model, "--reason", "closing").code == 0
    refused = company.operate("promote", company.model, "--version", "2", "--reason", "x")
    assert (refused.code, "mlops deploy unfreeze" in refused.error) == (5, True)
    company.register(3)
    company.decide("approve", 3)
    status = company.operate("status", company.model, "--json").json
    assert (status["stable"], status["taken_back"][0]["version"]) == (1, 2)
    history = company.operate("history", company.model, "--json").json
    assert history["verified"]
    actions = [entry["action"] for entry in history["entries"]]
    assert actions == ["decide", "decide", "rollback", "freeze"]


def test_an_approval_around_the_record_is_not_deployed_and_is_found(company: Company) -> None:
    company.register(1)
    company.decide("approve", 1)
    company.wait_for_stable(1)
    company.register(2)
    sagemaker = company.local.client("sagemaker", Role.APPROVER)
    packages = sagemaker.list_model_packages(
        ModelPackageGroupName=company.local.names.model_group(company.model)
    )["ModelPackageSummaryList"]
    arn = next(p["ModelPackageArn"] for p in packages if p["ModelPackageVersion"] == 2)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    answer = company.run("history", company.model)
    assert answer.code == 1
    assert "version 2: the registry says Approved, the record holds no decision" in answer.error
    company.register(3)
    company.decide("approve", 3)
    assert [v.version for v in company.wait_for_stable(3).history] == [1]


def test_two_approvers_at_once_end_in_one_state_that_record_and_registry_share(
    company: Company,
) -> None:
    company.register(1)
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(company.run_apart, action, company.model, "1", "--reason", "at once")
            for action in ("approve", "reject", "approve", "reject")
        ]
    answers = [answer.result() for answer in asked]
    assert {answer.code for answer in answers} <= {0, Conflict.exit_code}, answers
    history = company.run("history", company.model, "--json").json
    assert history["verified"]
    assert history["unfinished"] == []
    status = company.run("show", company.model, "1", "--json").json["status"]
    assert history["entries"][-1]["to"] == status


def test_two_approvers_approve_what_the_applied_rules_let_them(
    company: Company, tmp_path: Path
) -> None:
    path = tmp_path / "approval.toml"
    path.write_text('approvals = 2\nticket = "RISK-[0-9]+"\n[at_least]\nauc_roc = 0.8\n')
    company.register(1)
    apply = ("rules", company.model, "--apply", "--file", str(path))
    assert company.run(*apply, role=Role.JENKINS).code == 0
    checked = company.run("check", company.model, "1", "--json")
    assert checked.code == Refused.exit_code
    outcomes = {check["rule"]: check["passed"] for check in checked.json}
    assert [rule for rule, kept in outcomes.items() if not kept] == ["ticket"]
    arguments = ("approve", company.model, "1", "--reason", "good", "--ticket", "RISK-1")
    assert "approval 1 of 2" in company.run_as("ann", *arguments).output
    waits = company.run("show", company.model, "1", "--json").json
    assert waits["status"] == "PendingManualApproval"
    assert "is Approved" in company.run_as("ben", *arguments).output
    assert company.wait_for_stable(1).reason == "good"


def test_an_entry_that_was_changed_in_the_table_is_found(company: Company) -> None:
    company.register(1)
    company.decide("approve", 1, "weak reason")
    dynamodb, table = company.local.client("dynamodb"), company.local.names.records_table
    key = {"model": {"S": company.model}, "sequence": {"N": "1"}}
    text = dynamodb.get_item(TableName=table, Key=key)["Item"]["entry"]["S"]
    changed = {"S": text.replace("weak reason", "strong reason")}
    dynamodb.put_item(TableName=table, Item={**key, "entry": changed})
    answer = company.run("history", company.model)
    assert answer.code == 1
    assert "entry 1 was changed" in answer.error


def test_the_submitter_and_the_root_may_not_approve(company: Company) -> None:
    company.register(1)
    who = Aws(company.local.session(Role.DATA_SCIENTIST)).identity
    company.register(2, submitted_by=who)
    arguments = ("approve", company.model, "2", "--reason", "mine is good")
    own = company.run(*arguments, role=Role.DATA_SCIENTIST)
    assert (own.code, "Someone else has to decide" in own.error) == (5, True)
    root = company.run(*arguments, role=None)
    assert (root.code, "mlops local env --role approver" in root.error) == (5, True)


def test_drift_of_what_is_served_is_found_at_night_and_starts_the_models_workflow_once(
    company: Company,
) -> None:
    """600 rows of a value that training never reached; the schedule comes now, and once more."""
    names, now, model = company.local.names, datetime.now(UTC), company.model
    inputs = (ModelInput(name="spent", origin="feature", source="drifting:spent"),)
    trained = Distribution(mean=0, std=1, missing=0, quantiles=(-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4))
    changes = {"inputs": inputs, "reference": {"spent": trained}}
    written = upload_model(company.documents, 1, model=model, **changes)
    client = company.local.client("sagemaker", Role.WORKFLOW)
    register_package(client, names, model_version(1, model=model, **written))
    company.decide("approve", 1)
    company.wait_for_stable(1)
    place = f"s3://{names.data_bucket}/downsync/tables/drifting_served/"
    Athena(load_settings(), Aws()).run(
        f"CREATE TABLE drifting_served WITH (format = 'PARQUET', external_location = '{place}') AS "
        f"SELECT 9e0 AS spent, '{model}' AS model, BIGINT '1' AS model_version, 0e0 AS score, "
        f"TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}' AS event_time, '{now:%Y-%m-%d}' AS day "
        "FROM UNNEST(sequence(1, 600)) AS t (n)"
    )
    machine = company.local.client("stepfunctions").create_state_machine(
        name=names.state_machine_arn(model).rpartition(":")[2],
        definition='{"StartAt": "Nothing", "States": {"Nothing": {"Type": "Succeed"}}}',
        roleArn=names.role_arn(Role.WORKFLOW),
    )["stateMachineArn"]
    as_jenkins = company.local.environment(Role.JENKINS)
    for workflow in ("start", "drift"):
        deployed = company._mlops("workflows", "deploy", workflow, environment=as_jenkins)
        assert deployed.code == 0, deployed.error
    for rule in wanted_rules(model, Starts(drift=True), {}):
        EventBridgeRules(Aws(), names).put(model, rule)

    with channel() as slack:
        webhook = {"SecretId": names.slack_secret, "SecretString": slack.webhook}
        company.local.client("secretsmanager").put_secret_value(**webhook)
        first = _tonight(company)
        subject = f"Drift was found: {model}"
        told = _wait(lambda: [m for m in slack.told if m["text"] == subject] or None, subject)
        company.local.client("secretsmanager").put_secret_value(**(webhook | {"SecretString": " "}))

    assert "spent 1.000" in told[0]["blocks"][0]["text"]["text"]
    states = company.local.client("stepfunctions")
    listing = partial(states.list_executions, stateMachineArn=machine)
    started = _wait(lambda: listing()["executions"] or None, "the run after drift")
    assert [one["name"] for one in started] == [f"drift-{datetime.now(UTC):%Y-%m-%d}"]
    assert first.keys() >= {"Tell the bus", "Tell drift", "Note"}
    by_hand = company.run("drift", model, "--json", "--detailed-exitcode", role=Role.JENKINS)
    assert (by_hand.code, by_hand.json["drifted"], by_hand.json["again"]) == (10, ["spent"], True)
    assert by_hand.json["columns"][0]["distance"] == 1.0


def _tonight(company: Company) -> Mapping[str, Any]:
    """The tasks of the run that the schedule starts, as if it were time; it stays as it was."""
    scheduler, states = (company.local.client(one) for one in ("scheduler", "stepfunctions"))
    name = company.local.names.function("drift")
    found = scheduler.get_schedule(Name=name)
    kept = {key: found[key] for key in ("Name", "FlexibleTimeWindow", "Target", "State")}
    assert kept["State"] == "ENABLED"
    now = f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})"
    scheduler.update_schedule(ScheduleExpression=now, **kept)
    listing = partial(
        states.list_executions, stateMachineArn=company.local.names.state_machine_arn("drift")
    )
    run = _wait(lambda: listing(statusFilter="SUCCEEDED")["executions"] or None, "the check")[0]
    scheduler.update_schedule(ScheduleExpression=found["ScheduleExpression"], **kept)
    events = states.get_execution_history(executionArn=run["executionArn"])["events"]
    entered = (event.get("stateEnteredEventDetails") for event in events)
    return {detail["name"]: detail for detail in entered if detail}


def test_versions_are_listed_shown_and_compared(company: Company) -> None:
    company.register(1)
    company.register(2, metrics={"auc_roc": 0.9, "average_precision": 0.6})
    company.decide("approve", 1)
    company.wait_for_stable(1)
    listed = company.run("list", company.model, "--json").json
    assert [(v["version"], v["status"], v["serves"]) for v in listed] == [
        (2, "PendingManualApproval", ""),
        (1, "Approved", "stable"),
    ]
    assert "0.9" in company.run("list", company.model).output
    assert "run-2" in company.run("show", company.model, "2").output
    pairs = company.run("compare", company.model, "1", "2", "--json").json["metrics"]
    assert {p["metric"]: p["better"] for p in pairs} == {
        "auc_roc": "second",
        "average_precision": "equal",
    }


def test_a_model_without_versions_or_decisions_says_so(company: Company) -> None:
    assert "has no versions yet" in company.run("list", company.model).output
    assert company.run("list", company.model, "--json").json == []
    assert "has no decisions on record" in company.run("history", company.model).output
    missing = company.run("show", company.model, "1")
    assert (missing.code, f"mlops models list {company.model}" in missing.error) == (4, True)
