"""One suite over what serves endpoints: our own services, and SageMaker's on the local AWS.

Proxies' figures are written as proxies write them; the alarms of SageMaker are set as metrics
would set them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from infra.lambdas.rollouts import RolloutDriver
from mlops.aws import Aws
from mlops.clock import SystemClock
from mlops.deploying import moves
from mlops.deploying.endpoints import Endpoints
from mlops.deploying.figures import Observation, Tally, observation_key
from mlops.deploying.history import read_history
from mlops.deploying.moves import apply_move
from mlops.deploying.sagemaker import Fleet, SageMakerTarget
from mlops.deploying.targets import ServiceTarget, Target
from mlops.deployment import DeployedVersion, Deployment
from mlops.manifest import MANIFEST, MODEL
from mlops.names import Names, Role
from mlops.notices import MemoryNotices
from mlops.objects import Documents, MemoryDocuments, S3Documents
from mlops.rollout import Approval, Change, roll_out
from mlops.strategy import ALL_AT_ONCE, Bounds, Strategy
from pipelines.training.archive import archive
from tests.approvals import APPROVER, model_version, register_package
from tests.local_aws import TRUST
from tests.recorded_calls import read_calls, uncovered
from tests.serving_examples import build_manifest, build_plan, onnx_model, publish, write_repo

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.xdist_group("targets")

CANARY = Strategy(steps=(0.5,), bake_seconds=1, bounds=Bounds(min_answers=10, latency_ms=50))
LONGEST = 180


class World(Protocol):
    """What a target stands on, as a test moves it."""

    @property
    def documents(self) -> Documents: ...

    @property
    def target(self) -> Target: ...

    def publish(self, version: int) -> DeployedVersion:
        """An approved version with its files."""

    def show(self, deployment: Deployment, *, ill: bool) -> None:
        """What is seen of the version on trial."""

    def serving(self) -> int | None:
        """The version that answers."""


@dataclass
class OurServices:
    documents: Documents = field(default_factory=MemoryDocuments)

    @property
    def target(self) -> Target:
        return ServiceTarget(self.documents)

    def publish(self, version: int) -> DeployedVersion:
        return DeployedVersion(
            version=version,
            package_arn=f"arn:{version}",
            model_prefix=f"s3://b/{version}/",
            manifest_sha256="a" * 64,
        )

    def show(self, deployment: Deployment, *, ill: bool) -> None:
        assert deployment.rollout is not None
        assert deployment.stable is not None
        number = deployment.rollout.version.version
        facts: dict[str, Any] = {"revision": deployment.revision, "answers": 100}
        failed = {"computation_failed": 60} if ill else {}
        trial = Tally(version=number, use="canary", failures=failed, **facts)
        stable = Tally(version=deployment.stable.version, use="stable", **facts)
        seen = Observation(
            endpoint="fraud",
            process="a",
            revision=deployment.revision,
            tallies=(trial, stable),
        )
        body = seen.model_dump_json().encode()
        self.documents.put(observation_key("fraud", "a"), body)

    def serving(self) -> int | None:
        stable = Endpoints(self.documents).load("fraud").stable
        return stable.version if stable else None


@dataclass
class SageMaker:
    local: LocalAws
    names: Names
    documents: S3Documents
    target: Target
    models: S3Documents
    """The same bucket, for who registers."""
    folder: Path

    def publish(self, version: int) -> DeployedVersion:
        graph = onnx_model(seed=version)
        manifest = build_manifest(build_plan(write_repo(self.folder)), graph)
        bucket = self.documents.bucket
        made = publish(self.models, manifest, graph, version=version, bucket=bucket)
        prefix = made.model_prefix.removeprefix(f"s3://{bucket}/")
        files = {MODEL: graph, MANIFEST: self.models.get(prefix + MANIFEST).body}
        self.models.put(prefix + "model.tar.gz", archive(files))
        registered = model_version(version, model_prefix=made.model_prefix)
        client = self.local.client("sagemaker")
        arn = register_package(client, self.names, registered)
        client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        return made.model_copy(update={"package_arn": arn})

    def seen_by(self, role: Role) -> Target:
        """The same endpoints for somebody else."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", self.local.endpoint)
            own = Aws(self.local.session())
            aws = own.assume(self.names.role_arn(role), session_name="olga")
            aws.client("sagemaker")
        return SageMakerTarget(aws, self.names, Fleet("ml.c6i.large", 2, {}))

    def show(self, deployment: Deployment, *, ill: bool) -> None:
        if ill:
            self.local.client("cloudwatch").set_alarm_state(
                AlarmName=f"{self.names.prefix}-fraud-errors",
                StateValue="ALARM",
                StateReason="60 % of 100 answers failed",
            )

    def serving(self) -> int | None:
        client = self.local.client("sagemaker")
        found = client.describe_endpoint(EndpointName=f"{self.names.prefix}-fraud")
        name = found["EndpointConfigName"]
        config = client.describe_endpoint_config(EndpointConfigName=name)
        model = config["ProductionVariants"][0]["ModelName"]
        return int(model.split("-v")[-1].split("-a")[0])


@pytest.fixture(scope="module")
def sagemaker(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> SageMaker:
    names = replace(local_aws.names, project="targets")
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", local_aws.endpoint)
    trust = TRUST.replace("states.amazonaws.com", "sagemaker.amazonaws.com")
    for role in (Role.HOSTING, Role.MODEL_DEPLOYER, Role.OPERATOR):
        local_aws.client("iam").create_role(
            RoleName=names.role_name(role), AssumeRolePolicyDocument=trust
        )
    own = Aws(local_aws.session())
    own.client("s3").create_bucket(
        Bucket=names.artifact_bucket,
        CreateBucketConfiguration={"LocationConstraint": names.region},
    )
    aws = own.assume(names.role_arn(Role.MODEL_DEPLOYER), session_name="lambda")
    for service in ("s3", "sagemaker", "cloudwatch"):
        aws.client(service)
    patch.undo()
    environment = {"MLOPS_ENV": "local", "MLOPS_ACCOUNT": names.account}
    fleet = Fleet("ml.c6i.large", 2, environment | {"MLOPS_REGION": names.region})
    documents, target = S3Documents(aws, names.artifact_bucket), SageMakerTarget(aws, names, fleet)
    models, repo = S3Documents(own, names.artifact_bucket), tmp_path_factory.mktemp("repo")
    return SageMaker(local_aws, names, documents, target, models, repo)


@dataclass
class Trials:
    """An endpoint of one world, whose versions are approved here."""

    world: World
    notices: MemoryNotices = field(default_factory=MemoryNotices)
    stands: list[Approval] = field(default_factory=list)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.world.documents)

    @property
    def deployment(self) -> Deployment:
        return self.endpoints.load("fraud")

    def approve(self, strategy: Strategy = CANARY) -> int:
        number = len(self.stands) + 1
        version = self.world.publish(number).model_copy(update={"approval": number})
        self.stands.append(Approval(version, strategy))
        change = self._change("measured")
        self.endpoints.change("fraud", "decide", lambda now: roll_out(now, self.stands, change))
        return number

    def move(self, action: str, rule: moves.Rule) -> None:
        change = self._change("by hand")

        def move(current: Deployment | None) -> Deployment | None:
            assert current is not None
            self.world.target.check_move(action, current)
            return apply_move(current, rule, change)

        self.endpoints.change("fraud", action, move)

    def look(self) -> None:
        """What the schedule does each minute."""
        driver = RolloutDriver(
            self.world.documents, self.notices, SystemClock(), self.world.target, "arn:platform"
        )
        driver.drive(lambda _: None)

    def until(self, version: int, *, ill: bool | None = None) -> Deployment:
        """Look until it serves and nothing is on trial. ill: what is seen of the one on trial."""
        deadline = time.monotonic() + LONGEST
        while True:
            self.look()
            found = self.deployment
            if ill is not None and found.rollout is not None:
                self.world.show(found, ill=ill)
            if found.rollout is None and self._serving() == version:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def _serving(self) -> int | None:
        described = self.world.target.describe(self.deployment, now=SystemClock().now())
        moving = described.get("sagemaker", {}).get("status", "InService") != "InService"
        return None if moving else self.world.serving()

    @staticmethod
    def _change(reason: str) -> Change:
        return Change("fraud", "fraud", SystemClock().now(), APPROVER, reason)


@pytest.fixture(scope="module", params=["service", "sagemaker"])
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """Version 1 serves; the tests go on from one another."""
    world: World = OurServices()
    if request.param == "sagemaker":
        world = request.getfixturevalue("sagemaker")
    trials = Trials(world)
    trials.approve(ALL_AT_ONCE)
    trials.until(1)
    yield trials
    if request.param == "sagemaker":
        change = trials._change("over")
        trials.endpoints.change("fraud", "decide", lambda now: roll_out(now, [], change))
        trials.look()


def test_a_version_within_its_bounds_takes_over(trials: Trials) -> None:
    version = trials.approve()
    found = trials.until(version, ill=False)
    assert [one.version for one in found.history] == [version - 1]
    assert trials.notices.told[-1][1]["action"] == "take over"


def test_a_version_out_of_its_bounds_is_taken_back_and_says_why(trials: Trials) -> None:
    before = trials.world.serving()
    assert before is not None
    version = trials.approve()
    found = trials.until(before, ill=True)
    assert found.taken_back[0].version.version == version
    assert "answers failed" in found.reason
    assert trials.notices.told[-1][1]["action"] == "take back"


def test_a_rollback_ends_what_is_under_way(trials: Trials) -> None:
    before = trials.world.serving()
    assert before is not None
    version = trials.approve(CANARY.model_copy(update={"bake_seconds": 60}))
    trials.look()
    assert trials.deployment.rollout is not None
    trials.move("rollback", moves.roll_back(None))
    found = trials.until(before)
    assert found.taken_back[0].version.version == version


def test_a_rollback_puts_the_version_before_back(trials: Trials) -> None:
    trials.move("rollback", moves.roll_back(None))
    trials.until(1)


def test_looking_again_changes_nothing_and_the_record_holds(trials: Trials) -> None:
    before = trials.deployment
    trials.look()
    assert trials.deployment == before
    assert trials.world.serving() == 1
    assert read_history(trials.world.documents, "fraud").holds


def test_every_call_was_one_that_its_role_may_make(trials: Trials) -> None:
    if isinstance(trials.world, SageMaker):
        described = trials.world.seen_by(Role.OPERATOR).describe(
            trials.deployment, now=SystemClock().now()
        )
        assert described["sagemaker"]["status"] == "InService"
        names, calls = trials.world.names, list(read_calls(trials.world.local.state.root))
        deployer = {call for role, call in calls if role == names.role_name(Role.MODEL_DEPLOYER)}
        assert {"sagemaker:UpdateEndpoint", "cloudwatch:SetAlarmState"} <= deployer
        assert uncovered(calls, names) == {}
