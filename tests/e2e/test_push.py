"""From `git push` to a canary that took over, on real processes; and what goes wrong on the way.

The commit changes a feature, a training parameter and how versions take over. The build walks the
steps of the pushed Jenkinsfile that such a change touches; 'make soak PART=push' walks all of
them. The schedule's minute is cut to what the Lambda takes, and the stages' minutes to seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from threading import Event
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops.manifest import MANIFEST, MODEL, Manifest
from mlops.names import Role
from mlops.registry.versions import ModelVersion, Status
from mlops.strategy import Bounds, Strategy
from pipelines.data.simulator import World, simulate
from tests import trial_models
from tests.approvals import register_package
from tests.integration.serving.conftest import Service, wait_for
from tests.ports import free_port
from tests.pushing import Build, Clone
from tests.training_site import END

if TYPE_CHECKING:
    from tests.training_site import Site

pytestmark = pytest.mark.xdist_group("fraud-workflow")  # on the same platform

UNTOUCHED = ("mlops infra ", "schema evolve", " upsync", "schedule set")
"""Of the build's steps, those that find nothing to do after such a commit."""
TOUCHED = {
    "rules --all": "rules fraud",
    "deploy --all": "deploy fraud",
    "run-due": "run-due fraud",
}
"""Of all workflows, the one whose settings it changes."""
WHOLE = bool(os.environ.get("SOAK_PUSH"))
LONGEST = 90
"""Seconds that a busy machine may need for what takes five."""

FEATURE = {
    "feature_repo/transformations.py": {
        '    return {\n        "is_night"': (
            '    large = [int(amount > 100) for amount in inputs["amount"]]\n'
            '    return {\n        "is_large": large,\n        "is_night"'
        )
    },
    "feature_repo/on_demand.py": {
        '        Field(name="is_night"': (
            '        Field(name="is_large", dtype=Int64),\n        Field(name="is_night"'
        )
    },
}
SETTINGS = {
    '("is_night", ': '("is_large", "is_night", ',
    "latency_budget_ms=50": 'latency_budget_ms=5000, hyperparameters={"max_iter": 40}',
    '"auc_roc": 0.845, "average_precision": 0.57, "card_precision_100": 0.27': (
        '"auc_roc": 0.6, "average_precision": 0.1, "card_precision_100": 0.05'
    ),
    '"auc_roc": 0.005, "average_precision": 0.02, "card_precision_100": 0.02': (
        '"auc_roc": 0.2, "average_precision": 0.5, "card_precision_100": 0.5'
    ),
    "import Strategy": "import Bounds, Strategy",
    '"prod": Strategy(steps=(0.05, 0.25, 0.5), bake_seconds=1800, key="customer_id"),': (
        '"local": Strategy(steps=(0.3, 0.7), bake_seconds=1, key="customer_id",'
        " bounds=Bounds(min_answers=60, latency_slack_ms=500)),"
    ),
}
"""For payments that were simulated, few of them, on a machine that does other things as well."""
RULES = "[at_least]\nauc_roc = 0.6\n"
BROKEN = Bounds(load_seconds=1)
SLOW = Bounds(min_answers=60, latency_ms=10, load_seconds=60)
"""What those versions are held to that must not take over."""


@pytest.fixture(scope="module")
def build(site: Site, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Version 1 serves; then somebody pushes, and Jenkins checks out what was pushed."""
    site.mlops("models", "approve", "fraud", "1", "--reason", "its first", role=Role.APPROVER)
    wait_for(lambda: _serves_first(site), "version 1's deployment", LONGEST)
    clone = Clone.begin(tmp_path_factory.mktemp("git"))
    for name, changes in FEATURE.items():
        clone.edit(name, changes)
    clone.edit("pipelines/fraud/settings.py", SETTINGS)
    (clone.folder / "pipelines/fraud/approval.toml").write_text(RULES)
    pushed = clone.push("Tell large payments, and learn for longer")
    environment = site.local.environment(Role.JENKINS) | {"MLOPS_CLOCK": END}
    build = Build.check_out(clone.bare, tmp_path_factory.mktemp("agent") / "main", environment)
    assert build.commit == pushed
    return build


def _serves_first(site: Site) -> bool:
    bucket = site.names.artifact_bucket
    found = site.client("s3").list_objects_v2(Bucket=bucket, Prefix="deployments/fraud.json")
    return bool(found["KeyCount"])


@pytest.fixture(scope="module")
def walked(build: Build) -> dict[str, str]:
    """What the build's steps printed."""
    return build.walk(
        leaves_out=lambda step: not WHOLE and any(one in step for one in UNTOUCHED),
        narrowed={} if WHOLE else TOUCHED,
    )


@dataclass
class Shop:
    """Callers of the services that serve what was pushed, and who approves and drives."""

    site: Site
    proxy: Service
    headers: dict[str, str]
    payments: list[dict[str, Any]] = field(repr=False)

    def history(self, of: str) -> dict[str, Any]:
        """The record of decisions on the model ('models'), or of changes ('deploy')."""
        role = {"models": Role.APPROVER, "deploy": Role.OPERATOR}[of]
        done = self.site.mlops(of, "history", "fraud", "--json", role=role)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def versions(self) -> list[dict[str, Any]]:
        """The model's versions in the registry, in the order of their numbers."""
        client = self.site.client("sagemaker")
        group = self.site.names.model_group("fraud")
        found = client.list_model_packages(ModelPackageGroupName=group, MaxResults=100)
        arns = [one["ModelPackageArn"] for one in found["ModelPackageSummaryList"]]
        packages = [client.describe_model_package(ModelPackageName=arn) for arn in arns]
        return sorted(packages, key=lambda one: int(one["ModelPackageVersion"]))

    def approve(self, version: int) -> None:
        command = ("models", "approve", "fraud", str(version), "--reason", "measured, RISK-12")
        self.site.mlops(*command, role=Role.APPROVER)

    def end(self, version: int) -> dict[str, Any]:
        """Ask, and let the schedule come, until the version took over or was taken back."""
        name = self.site.names.function("model-deployer")
        event = json.dumps({"source": "aws.events", "detail-type": "Scheduled Event"})
        with self.asked():
            deadline = time.monotonic() + LONGEST
            while not _is_decided(document := self.document(), version):
                assert time.monotonic() < deadline, document
                self.site.client("lambda").invoke(FunctionName=name, Payload=event)
        return document

    def answers(self, payment: dict[str, Any]) -> int | None:
        """The version that answers; None while none does."""
        url, body = f"{self.proxy.url}/v1/models/fraud:predict", {"instances": [payment]}
        answer = httpx.post(url, json=body, headers=self.headers, timeout=30)
        return int(answer.json()["version"]) if answer.is_success else None

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.site.object("deployments/fraud.json"))
        return found

    @contextmanager
    def asked(self, callers: int = 3) -> Iterator[None]:
        """Callers that ask all the time, and none of whom is answered an error."""
        over = Event()

        def call(seed: int) -> list[str]:
            chance, failed = random.Random(seed), []
            with httpx.Client(headers=self.headers, timeout=60) as client:
                while not over.is_set():
                    body = {"instances": [chance.choice(self.payments)]}
                    answer = client.post(f"{self.proxy.url}/v1/models/fraud:predict", json=body)
                    failed += [] if answer.is_success else [answer.text]
            return failed

        with ThreadPoolExecutor(callers) as pool:
            asking = [pool.submit(call, seed) for seed in range(callers)]
            try:
                yield
            finally:
                over.set()
        assert not [text for one in asking for text in one.result()]

    def offer(self, trained: int, change: Callable[[bytes], bytes], bounds: Bounds) -> int:
        """Register a version that was trained with its graph changed; the new one's number."""
        tried = Strategy(steps=(0.5,), bake_seconds=1, key="customer_id", bounds=bounds)
        versions = self.versions()
        number = len(versions) + 1
        prefix = versions[trained - 1]["CustomerMetadataProperties"]["model_prefix"]
        key = prefix.split("/", 3)[3]
        graph = change(self.site.object(key + MODEL))
        manifest = Manifest.model_validate_json(self.site.object(key + MANIFEST))
        files = dict(manifest.files) | {MODEL: hashlib.sha256(graph).hexdigest()}
        made = manifest.model_copy(update={"files": files, "rollout": tried})
        body, place = made.model_dump_json().encode(), f"models/fraud/offer-{number}/"
        bucket = self.site.names.artifact_bucket
        for name, content in ((MODEL, graph), (MANIFEST, body)):
            self.site.client("s3").put_object(Bucket=bucket, Key=place + name, Body=content)
        version = ModelVersion(
            model="fraud",
            version=number,
            package_arn="",
            status=Status.PENDING,
            created=made.created,
            model_prefix=f"s3://{bucket}/{place}",
            manifest_sha256=hashlib.sha256(body).hexdigest(),
            trained_by=made.trained_by,
            submitted_by=made.submitted_by,
            metrics=made.metrics,
        )
        register_package(self.site.client("sagemaker", Role.WORKFLOW), self.site.names, version)
        return number


def _is_decided(document: dict[str, Any], version: int) -> bool:
    if "rollout" in document:
        return False
    back = [taken["version"]["version"] for taken in document.get("taken_back", ())]
    return version in (document["stable"]["version"], *back)


@pytest.fixture(scope="module")
def shop(
    site: Site, build: Build, walked: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """The services of the build's checkout, as an environment's new images."""
    logs = tmp_path_factory.mktemp("services")
    # The workflow, where it was walked, has loaded by the clock of today.
    back = ["--full"] if WHOLE else []
    site.mlops("features", "upsync", "customer_spend", "terminal_risk", *back)
    made = site.mlops("serve", "create-key", "till", "--pii", "--json", role=None)
    environment = site.local.environment(Role.SERVING) | {
        "MLOPS_FEATURE_REPO": str(build.checkout / "feature_repo"),
        "MLOPS_CLOCK": END,
        "MLOPS_PROXY_OBSERVE_SECONDS": "0.2",
        "MLOPS_PROXY_TIMEOUT_MS": "20000",
    }
    inference = Service("inference", free_port(), environment, logs / "inference.log")
    environment = environment | {"MLOPS_PROXY_INFERENCE_URL": inference.url}
    proxy = Service("proxy", free_port(), environment, logs / "proxy.log")
    headers = {"X-Api-Key": json.loads(made.stdout)["key"]}
    with ExitStack() as stack:
        for service in (inference, proxy):
            service.start()
            stack.callback(service.stop)
        shop = Shop(site, proxy, headers, payments())
        wait_for(lambda: shop.answers(shop.payments[0]), "version 1", LONGEST)
        yield shop


def payments() -> list[dict[str, Any]]:
    """Of the last week, as a caller sends them."""
    world = World(customers=250, terminals=1500, days=60, start=date(2018, 6, 16), seed=3)
    made = simulate(world)
    rows = made.slice(made.num_rows - 1000)
    columns = ("customer_id", "terminal_id", "amount", "event_time")
    return [
        row | {"event_time": row["event_time"].isoformat()}
        for row in rows.select(columns).to_pylist()
    ]


@pytest.fixture(scope="module")
def candidate(shop: Shop) -> int:
    """The version that the build's run registered."""
    return len(shop.versions())


def test_the_plan_names_whom_the_changed_feature_concerns(walked: dict[str, str]) -> None:
    plan = next(text for step, text in walked.items() if "features plan" in step)
    told = " ".join(plan.split())
    (readers,) = re.findall(r"payment_context: read by ([^;]*);", told)
    named = {"fraud_v1", "fraud (settings)", "fraud/1 (stable of fraud)"}
    assert named <= set(readers.split(", "))
    assert "BREAKS" not in told


def test_the_build_trains_with_the_changed_feature_and_parameter(
    shop: Shop, candidate: int
) -> None:
    package = shop.versions()[candidate - 1]
    prefix = package["CustomerMetadataProperties"]["model_prefix"].split("/", 3)[3]
    manifest = Manifest.model_validate_json(shop.site.object(prefix + MANIFEST))
    run = json.loads(shop.site.object("runs/fraud/jenkins-7/run/run.json"))
    assert package["ModelApprovalStatus"] == Status.PENDING
    assert "payment_context:is_large" in {one.source for one in manifest.inputs}
    assert run["settings"]["hyperparameters"] == {"max_iter": 40}
    assert manifest.rollout is not None
    assert manifest.rollout.steps == (0.3, 0.7)


def test_who_has_not_the_right_to_approve_is_refused_by_name(shop: Shop, candidate: int) -> None:
    command = ("models", "approve", "fraud", str(candidate), "--reason", "looks good")
    refused = shop.site.mlops(*command, role=Role.OPERATOR, fails=True)
    assert refused.returncode == 5
    assert "operator" in refused.stderr
    assert shop.document()["stable"]["version"] == 1


@pytest.fixture(scope="module")
def approved(shop: Shop, candidate: int) -> dict[str, Any]:
    """The endpoint's document after the candidate's rollout."""
    shop.approve(candidate)
    return shop.end(candidate)


def test_the_approved_canary_takes_over_step_by_step(
    shop: Shop, candidate: int, approved: dict[str, Any]
) -> None:
    assert approved["stable"]["version"] == candidate, approved["reason"]
    assert "kept its bounds over" in approved["reason"]
    assert shop.answers(shop.payments[0]) == candidate
    actions = [entry["action"] for entry in shop.history("deploy")["entries"]]
    assert actions[-3:] == ["decide", "step", "take over"]


@pytest.mark.parametrize(
    ("change", "bounds", "says"),
    [
        (lambda _: b"no graph", BROKEN, "no proxy could serve it: inference has not loaded"),
        (lambda graph: trial_models.slowed(graph, 600), SLOW, "95 % are answered within"),
    ],
    ids=["broken", "slow"],
)
def test_a_version_that_cannot_be_served_well_is_taken_back_and_says_why(
    shop: Shop, candidate: int, approved: dict[str, Any], change: Any, bounds: Bounds, says: str
) -> None:
    offered = shop.offer(candidate, change, bounds)
    shop.approve(offered)
    document = shop.end(offered)
    assert document["stable"]["version"] == candidate
    assert document["taken_back"][0]["version"]["version"] == offered
    assert says in document["reason"]


def test_the_record_of_all_of_it_holds(shop: Shop, approved: dict[str, Any]) -> None:
    decisions, changes = shop.history("models"), shop.history("deploy")
    assert (decisions["verified"], changes["verified"]) == (True, True)
    assert {entry["action"] for entry in decisions["entries"]} == {"approve"}
    assert changes["entries"][-1]["document"] == shop.document()
