"""The fraud workflow on the local AWS: from payments to a version that waits for approval."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.manifest import MANIFEST, MODEL, check_files, check_plan, read_manifest
from mlops.names import Role
from mlops.objects import MemoryDocuments
from mlops.plan import load_plan, plan_key
from mlops.registry.sagemaker import to_version
from mlops.registry.scorecard import Scorecard
from mlops.registry.versions import ModelVersion, Status
from mlops.settings import load_settings
from pipelines.training.desk import Desk
from pipelines.training.merging.desk import MergeDesk
from pipelines.training.starting.desk import StartDesk
from pipelines.training.starting.rules import EventBridgeRules
from tests.local_aws import eventually
from tests.recorded_calls import read_calls, uncovered
from tests.slack_channel import Channel, channel
from tests.training_site import CLOCKWORK, END

if TYPE_CHECKING:
    from tests.training_site import Site

pytestmark = pytest.mark.xdist_group("fraud-workflow")

WORSE = {
    "hyperparameters.max_iter": "1",
    "thresholds.auc_roc": "0",
    "thresholds.average_precision": "0",
    "thresholds.card_precision_100": "0",
}
"""A model that learns nearly nothing, before a gate that only compares."""
_BROKEN = b'raise ValueError("the label column is empty")\n'


@pytest.fixture(scope="module")
def version(site: Site, first: dict[str, Any]) -> ModelVersion:
    answer = site.client("sagemaker").describe_model_package(ModelPackageName=first["package_arn"])
    return to_version("fraud", answer)


@pytest.fixture(scope="module")
def messages(site: Site, first: dict[str, Any]) -> str:
    """A queue that hears what the topic is told from here on."""
    url = site.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    arn = f"arn:aws:sqs:{site.names.region}:{site.names.account}:told"
    site.client("sns").subscribe(TopicArn=site.names.topic_arn, Protocol="sqs", Endpoint=arn)
    return str(url)


@pytest.fixture(scope="module")
def slack(site: Site) -> Iterator[Channel]:
    """A channel that hears what the topic is told from here on."""
    secrets, name = site.client("secretsmanager"), site.names.slack_secret
    with channel() as place:
        secrets.put_secret_value(SecretId=name, SecretString=place.webhook)
        yield place
        secrets.put_secret_value(SecretId=name, SecretString=" ")


@pytest.fixture(scope="module")
def later(
    site: Site, messages: str, slack: Channel, version: ModelVersion
) -> dict[str, dict[str, Any]]:
    """Runs after the first version was approved: two refused, one with a broken script."""
    command = ("models", "approve", "fraud", str(version.version), "--reason", "first of its kind")
    site.mlops(*command, role=Role.APPROVER)
    strict = {"thresholds.auc_roc": "0.9999"}
    site.start("strict", **strict)
    site.start("worse", **WORSE)
    site.deploy_with({"pipelines/fraud/train.py": _BROKEN})
    site.start("broken")
    return {
        "strict": site.finish("strict", fails=True, **strict),
        "worse": site.finish("worse", fails=True, **WORSE),
        "broken": site.finish("broken", fails=True),
    }


def test_deploying_records_the_code_that_the_state_machine_runs(
    site: Site, deployed: dict[str, Any]
) -> None:
    source = site.object(f"workflows/fraud/{deployed['code_sha256']}/source.tar.gz")

    assert deployed["action"] == "deployed"
    assert hashlib.sha256(source).hexdigest() == deployed["code_sha256"]
    assert deployed["deployed"]["submitted_by"].endswith(
        "assumed-role/mlops-local-jenkins/local.jenkins"
    )


def test_deploying_the_same_again_changes_nothing(site: Site, deployed: dict[str, Any]) -> None:
    again = json.loads(site.mlops("workflows", "deploy", "fraud", "--json").stdout)

    assert again["action"] == "unchanged"
    assert again["deployed"] == deployed["deployed"]


def merges(site: Site) -> MergeDesk:
    settings = load_settings(site.local.environment(Role.JENKINS) | {"MLOPS_CLOCK": END})
    desk = Desk(settings, site.aws(Role.JENKINS))
    return MergeDesk(desk, StartDesk(EventBridgeRules(desk.aws, site.names), desk.deployment))


def test_what_is_deployed_and_succeeded_with_chosen_settings_is_unchanged_and_due(
    site: Site, first: dict[str, Any]
) -> None:
    plan = merges(site).plan("fraud")

    assert (plan.action, plan.diff, plan.problem) == ("keep", "", "")
    assert plan.due is not None
    assert plan.due.why == "run first succeeded with this code, but with settings of its own"
    assert {step.action for step in plan.rules} <= {"create", "keep"}
    assert len(plan.rules) == 2


def test_what_is_deployed_without_a_folder_is_told_with_what_starts_it(site: Site) -> None:
    gone = {plan.workflow: plan for plan in merges(site).gone()}
    assert "fraud" not in gone
    assert [step.rule.why for step in gone[CLOCKWORK].rules] == ["schedule"]


def test_the_compiled_machine_is_the_deployed_one(
    site: Site, deployed: dict[str, Any], tmp_path: Path
) -> None:
    command = ("workflows", "compile", "fraud", "--diff", "--json", "--output", str(tmp_path))

    compiled = json.loads(site.mlops(*command).stdout)

    assert compiled["diff"] == ""
    assert json.loads((tmp_path / "fraud.json").read_bytes())["StartAt"] == "Defaults"


def test_the_first_run_registers_a_version_that_waits(
    first: dict[str, Any], version: ModelVersion
) -> None:
    assert first["status"] == "SUCCEEDED"
    assert version.status is Status.PENDING
    assert version.metrics["auc_roc"] == first["metrics"]["auc_roc"]
    assert version.metrics["onnx_max_difference"] <= 1e-5
    assert {"average_precision", "card_precision_100", "train_rows"} <= set(version.metrics)


def test_the_version_tells_its_lineage(
    site: Site, deployed: dict[str, Any], first: dict[str, Any], version: ModelVersion
) -> None:
    assert version.submitted_by.split("/")[1] == site.names.role_name(Role.JENKINS)
    assert version.trained_by == site.names.role_arn(Role.TRAINING_JOB)
    assert version.lineage["execution"] == first["arn"]
    assert version.lineage["code_sha256"] == deployed["code_sha256"]
    assert version.lineage["feature_service"] == "fraud_v1"
    assert version.lineage["data_snapshot"].startswith("features-")


def test_the_version_keeps_rules_on_its_parity_its_data_set_and_its_latency(
    site: Site, version: ModelVersion, tmp_path: Path
) -> None:
    path = tmp_path / "approval.toml"
    path.write_text("onnx_parity = 1e-5\ndataset = true\nlatency_ms = 1e3\nnot_worse.auc_roc = 0\n")
    site.mlops("models", "rules", "fraud", "--apply", "--file", str(path))
    check = ("models", "check", "fraud", str(version.version), "--json")
    found = json.loads(site.mlops(*check, role=Role.APPROVER).stdout)
    assert [outcome["passed"] for outcome in found] == [True] * 8


def test_the_version_has_a_scorecard_and_a_page_beside_its_model(
    site: Site, version: ModelVersion
) -> None:
    body = site.object("models/fraud/first/scorecard.json")
    card = Scorecard.model_validate_json(body)
    assert hashlib.sha256(body).hexdigest() == version.lineage["scorecard_sha256"]
    assert card.own.metrics.items() <= version.metrics.items()
    assert len(card.own.replicates["card_precision_100"]) == 200
    assert b"Precision over recall" in site.object("models/fraud/first/report.html")


@pytest.fixture(scope="module")
def lineage(site: Site, version: ModelVersion) -> dict[str, Any]:
    """From the first version back."""
    walk = ("datasets", "lineage", "--model", f"fraud/{version.version}", "--json")
    found: dict[str, Any] = json.loads(site.mlops(*walk, role=Role.APPROVER).stdout)
    return found


def test_a_version_is_walked_back_to_its_dataset_its_views_and_the_raw_payments(
    lineage: dict[str, Any], version: ModelVersion
) -> None:
    (dataset,) = lineage["datasets"]
    assert dataset["dataset"] == version.lineage["dataset"] == "fraud@1"
    assert dataset["rows"] == version.metrics["train_rows"] + version.metrics["test_rows"]
    assert [view["view"] for view in dataset["views"]] == ["customer_spend", "terminal_risk"]
    for view in dataset["views"]:
        assert view["generations"] == ["g0001"]
        assert view["imports"][0]["file"].startswith("simulated-")


@pytest.mark.parametrize("start", ["dataset", "view", "import"])
def test_what_a_version_came_from_is_walked_on_to_it(
    site: Site, lineage: dict[str, Any], version: ModelVersion, start: str
) -> None:
    view = lineage["datasets"][0]["views"][1]
    name = {"dataset": "fraud@1", "view": view["view"], "import": view["imports"][0]["id"]}[start]

    done = site.mlops("datasets", "lineage", f"--{start}", name, "--json", role=Role.APPROVER)

    models = [(m["model"], m["version"]) for m in json.loads(done.stdout)["models"]]
    assert models == [("fraud", version.version)]


def test_the_dataset_holds_the_rows_that_were_trained_and_tested_on(
    site: Site, version: ModelVersion
) -> None:
    done = site.mlops("datasets", "show", "fraud@1", "--json", role=Role.DATA_SCIENTIST)
    record = json.loads(done.stdout)
    columns = {column["name"]: column["statistics"] for column in record["columns"]}
    rows = {top["value"]: top["rows"] for top in columns["split"]["top"]}
    assert rows == {part: version.metrics[f"{part}_rows"] for part in ("train", "test")}
    assert record["created_by"].split("/")[1] == site.names.role_name(Role.TRAINING_JOB)
    assert record["tags"]["execution"] == version.lineage["execution"]


def test_a_dataset_that_trained_a_version_is_not_removed(site: Site, version: ModelVersion) -> None:
    refused = site.mlops("datasets", "rm", "fraud@1", role=Role.DATA_SCIENTIST, fails=True)
    assert refused.returncode == 5
    assert f"trained fraud/{version.version}" in refused.stderr


def test_the_files_are_those_that_the_registry_and_the_manifest_name(
    site: Site, version: ModelVersion
) -> None:
    body = site.object("models/fraud/first/manifest.json")
    manifest = read_manifest(body, where="models/fraud/first/")
    plans = MemoryDocuments({plan_key("fraud_v1"): site.object(plan_key("fraud_v1"))})

    assert hashlib.sha256(body).hexdigest() == version.manifest_sha256
    assert version.model_prefix == f"s3://{site.names.artifact_bucket}/models/fraud/first/"
    check_files(manifest, {MODEL: site.object("models/fraud/first/model.onnx"), MANIFEST: body})
    check_plan(manifest, load_plan(plans, "fraud_v1"))
    assert manifest.metrics == version.metrics


# MLflow 3 still uses what SQLAlchemy 2.1 and others deprecate.
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_run_is_tracked_with_its_model(site: Site, first: dict[str, Any]) -> None:
    import mlflow

    uri = site.local.environment()["MLOPS_MLFLOW_TRACKING_URI"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(f"{site.names.prefix}-fraud")
    assert experiment is not None

    runs = client.search_runs([experiment.experiment_id], "tags.`mlflow.runName` = 'first'")

    assert [run.data.tags["execution"] for run in runs] == [first["arn"]]
    assert runs[0].data.params["algorithm"] == "gradient_boosting"
    assert runs[0].data.metrics["auc_roc"] == first["metrics"]["auc_roc"]
    objects = site.client("s3").list_objects_v2(
        Bucket=site.names.artifact_bucket, Prefix="mlflow/fraud/"
    )
    assert [entry["Key"] for entry in objects["Contents"] if entry["Key"].endswith("model.onnx")]


def test_the_same_name_and_settings_are_the_same_execution(
    site: Site, first: dict[str, Any]
) -> None:
    assert site.finish("first")["arn"] == first["arn"]

    refused = site.mlops("workflows", "run", "fraud", "--name", "first", "--set=seed=9", fails=True)

    assert refused.returncode == 6
    assert "started with other settings" in refused.stderr


def test_status_and_logs_show_every_step(site: Site, first: dict[str, Any]) -> None:
    status = json.loads(
        site.mlops("workflows", "status", "fraud", "--name", "first", "--json").stdout
    )
    jobs = [step["name"] for step in status["steps"] if step["job"]]
    logs = json.loads(site.mlops("workflows", "logs", "fraud", "--name", "first", "--json").stdout)

    assert jobs == list(logs) == ["Preprocess", "Train", "Evaluate", "Export"]
    assert {step["status"] for step in status["steps"]} <= {"SUCCEEDED", "HANDLED"}
    assert any("training gradient_boosting on" in line for line in logs["Train"])
    assert not any("training gradient_boosting on" in line for line in logs["Evaluate"])


def test_the_list_shows_what_is_deployed_and_ran(site: Site, first: dict[str, Any]) -> None:
    rows = json.loads(site.mlops("workflows", "list", "--json").stdout)

    (row,) = (row for row in rows if row["workflow"] == "fraud")
    assert row["code_sha256"]
    assert row["last_execution"]


def test_a_model_below_the_threshold_is_refused_after_being_compared(
    site: Site, later: dict[str, dict[str, Any]]
) -> None:
    strict = later["strict"]

    assert (strict["error"], strict["exit_code"]) == ("GateRefused", 5)
    assert "the threshold 0.9999" in strict["stderr"]
    verdict = json.loads(site.object("runs/fraud/strict/evaluation/evaluation.json"))
    assert verdict["compared"]
    assert verdict["approved"]["version"] == 1
    assert verdict["approved"]["metrics"] == pytest.approx(verdict["metrics"])
    assert not [step for step in strict["steps"] if step["name"] == "Export"]


def test_a_model_worse_than_the_approved_one_on_the_same_rows_is_refused(
    later: dict[str, dict[str, Any]],
) -> None:
    worse = later["worse"]

    assert (worse["error"], worse["exit_code"]) == ("GateRefused", 5)
    assert "version 1 reaches" in worse["stderr"]
    assert "on the same rows" in " ".join(worse["stderr"].split())
    assert not [step for step in worse["steps"] if step["name"] == "Export"]


def test_a_training_script_that_raises_fails_the_execution_with_its_error(
    later: dict[str, dict[str, Any]],
) -> None:
    broken = later["broken"]

    assert (broken["status"], broken["exit_code"]) == ("FAILED", 1)
    assert "the label column is empty" in broken["cause"]
    assert "the label column is empty" in broken["stderr"]
    assert "mlops workflows logs fraud --name broken" in " ".join(broken["stderr"].split())
    failed = [step for step in broken["steps"] if step["status"] == "FAILED"]
    assert failed[0]["name"] == "Train"


def test_the_topic_is_told_of_the_refusal_and_of_the_failure_with_its_cause(
    site: Site, messages: str, later: dict[str, dict[str, Any]]
) -> None:
    told: dict[str, dict[str, Any]] = {}

    def listen() -> dict[str, dict[str, Any]] | None:
        answer = site.client("sqs").receive_message(QueueUrl=messages, MaxNumberOfMessages=10)
        for message in answer.get("Messages", ()):
            facts = json.loads(json.loads(message["Body"])["Message"])
            if facts.get("execution") != later["worse"]["arn"]:
                told[facts.get("event", "")] = facts
        return told if {"run_failed", "gate_refused"} <= set(told) else None

    eventually(listen, what="a message for both runs")

    assert "the label column is empty" in told["run_failed"]["cause"]
    assert told["run_failed"]["execution"] == later["broken"]["arn"]
    assert "the threshold 0.9999" in told["gate_refused"]["shortfalls"]


def test_a_later_run_on_the_same_rows_trains_on_the_same_dataset(
    site: Site, later: dict[str, dict[str, Any]]
) -> None:
    card = json.loads(site.object("runs/fraud/strict/dataset/dataset.json"))
    assert card["dataset"] == "fraud@1"


def test_every_call_was_one_that_its_role_may_make(
    site: Site, later: dict[str, dict[str, Any]]
) -> None:
    assert uncovered(read_calls(site.local.state.root), site.names) == {}


def test_a_run_on_the_same_rows_with_the_same_parameters_takes_the_trained_model(
    later: dict[str, dict[str, Any]],
) -> None:
    steps = {step["name"]: step for step in later["strict"]["steps"]}
    assert "Train" not in steps
    assert (steps["Take training"]["status"], steps["Take training"]["taken_from"]) == (
        "TAKEN",
        "first",
    )
    assert steps["Preprocess"]["estimate"] > 0
    assert later["strict"]["estimate"] == pytest.approx(
        sum(step["estimate"] for step in steps.values()), abs=1e-4
    )


def test_other_code_trains_anew(later: dict[str, dict[str, Any]]) -> None:
    assert "Take training" not in [step["name"] for step in later["broken"]["steps"]]


@pytest.fixture(scope="module")
def redriven(site: Site, later: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What became of the broken run once its script was mended."""
    site.deploy_with({})
    redrive = ("workflows", "redrive", "fraud", "broken")
    planned = json.loads(site.mlops(*redrive, "--dry-run", "--json").stdout)
    assert planned["name"] == "broken-r2"
    found: dict[str, Any] = json.loads(site.mlops(*redrive, "--wait", "--json").stdout)
    return found


def test_a_failed_run_goes_on_once_its_script_is_mended(
    site: Site, redriven: dict[str, Any]
) -> None:
    steps = {step["name"]: step for step in redriven["steps"]}
    assert redriven["status"] == "SUCCEEDED"
    assert "Preprocess" not in steps
    assert steps["Take preprocess"]["taken_from"] == "broken"
    assert steps["Take training"]["taken_from"] == "first"
    status = site.mlops("workflows", "status", "fraud", "broken-r2").stdout
    assert "TAKEN from run broken" in status
    refused = site.mlops("workflows", "redrive", "fraud", "broken-r2", fails=True)
    assert refused.returncode == 5


@pytest.mark.parametrize(
    ("subject", "fact"),
    [
        ("fraud: a run failed", "cause: "),
        ("fraud: the gate refused", "shortfalls: "),
        ("fraud: a version waits for approval", "report: s3://"),
    ],
)
def test_slack_is_told_how_each_run_ended(
    slack: Channel, redriven: dict[str, Any], subject: str, fact: str
) -> None:
    assert fact in told_of(slack, subject)


def test_who_is_told_that_a_version_waits_is_told_how_it_compares(
    slack: Channel, redriven: dict[str, Any]
) -> None:
    """The same rows and the same model: no difference, also drawn again."""
    text = told_of(slack, "fraud: a version waits for approval")
    assert "of version 1, +0.0000 [+0.0000, +0.0000]: the same" in text
    assert text.count(" beside ") == len(redriven["metrics"])


def told_of(slack: Channel, subject: str) -> str:
    """The text of a message."""

    def texts() -> list[str]:
        told = [message for message in slack.told if message["text"] == subject]
        return [message["blocks"][0]["text"]["text"] for message in told]

    return eventually(texts, what=f"the message '{subject}'")[0]
