"""SageMaker endpoints as what serves: blue/green deployments with alarms that take them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from mlops.aws import Aws, translated
from mlops.deploying import blue_green
from mlops.deploying.blue_green import Hosted
from mlops.deploying.stepping import Step, forced
from mlops.deployment import DeployedVersion, Deployment
from mlops.errors import MlopsError, NotFound, Refused
from mlops.names import Names, Role

VARIANT = "serving"
MODEL_FOLDER = "/opt/ml/model"
_REFUSED = {
    "pause": "its traffic cannot be held where it is",
    "resume": "its traffic cannot be held where it is",
    "canary": "its traffic is divided by deployments alone",
    "shadow": "it has no shadow that comes and goes",
    "answering": "it knows neither deadlines nor fallbacks",
}
"""Moves that no SageMaker endpoint can make, each with why."""
_UNDER_WAY = {
    "promote": "the traffic cannot be shifted sooner",
    "freeze": "the deployment cannot be stopped where it is",
}
"""Moves that one cannot make while it is deployed to."""


@dataclass(frozen=True)
class Fleet:
    """On what an endpoint's containers run, and what they find in their environment."""

    instance_type: str
    instances: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class SageMakerTarget:
    """The endpoints of one environment at SageMaker, each with the models that it was to serve."""

    aws: Aws
    names: Names
    fleet: Fleet

    def check_move(self, action: str, deployment: Deployment) -> None:
        why = _REFUSED.get(action)
        if why is None and deployment.rollout is not None:
            why = _UNDER_WAY.get(action)
        if why is not None:
            raise Refused(
                f"Endpoint '{deployment.endpoint}' is a SageMaker endpoint: {why}, so "
                f"'{action}' is not possible. A deployment under way can be taken back: "
                f"mlops deploy rollback {deployment.endpoint}"
            )

    def advance(self, deployment: Deployment, *, now: datetime, by: str) -> Step | None:
        rollout = deployment.rollout
        if rollout and (problem := blue_green.unsupported(rollout.strategy)):
            told = f"version {rollout.version.version} cannot be rolled out as its settings say: "
            return forced("take back", deployment, told + problem, now, by)
        version = rollout.version if rollout else deployment.stable
        hosted = self._see(deployment.endpoint)
        wanted = self._model(deployment.endpoint, version) if version else None
        tried = bool(hosted and version and self._tried(deployment, version, hosted))
        act = blue_green.next_act(deployment, hosted, wanted, tried=tried)
        if act == "create":  # what is on trial comes after it
            version = deployment.stable or version
        if act in ("over", "back"):
            assert hosted is not None
            return self._ended(deployment, hosted, over=act == "over", now=now, by=by)
        self._do(act, deployment, version, hosted)
        return None

    def forget(self, endpoint: str) -> None:
        """SageMaker remembers for itself."""

    def describe(self, deployment: Deployment, *, now: datetime) -> Mapping[str, Any]:
        hosted = self._see(deployment.endpoint)
        told = "not created yet" if hosted is None else hosted.status
        if hosted is not None and hosted.pending:
            told += f", moves to {hosted.pending}"
        facts = {
            "endpoint": self._name(deployment.endpoint),
            "status": told,
            "serves": hosted.serves if hosted else None,
            "failure": hosted.failure if hosted else "",
            "not_watched": blue_green.NOT_WATCHED,
        }
        return {"sagemaker": facts, "verdict": {"says": f"SageMaker: {told}", "out": ()}}

    # -- what is done

    def _do(
        self,
        act: blue_green.Act,
        deployment: Deployment,
        version: DeployedVersion | None,
        hosted: Hosted | None,
    ) -> None:
        if act == "remove":
            with translated(f"Removing endpoint '{deployment.endpoint}'"):
                self._client.delete_endpoint(EndpointName=self._name(deployment.endpoint))
        elif act == "abort":
            self._set_alarm(deployment, "ALARM")
        elif act == "stuck":
            assert hosted is not None
            raise MlopsError(
                f"SageMaker could not have endpoint '{deployment.endpoint}' serve version "
                f"{version and version.version}: {hosted.failure or hosted.status}. "
                f"Put another one up: mlops deploy promote {deployment.endpoint} --version N"
            )
        elif act in ("create", "update"):
            assert version is not None
            self._deploy(deployment, version, anew=act == "create")

    def _deploy(self, deployment: Deployment, version: DeployedVersion, *, anew: bool) -> None:
        """Each part may be there already, left by whoever was killed before."""
        endpoint = self._name(deployment.endpoint)
        config = self._config(deployment, version)
        rollout = deployment.rollout
        with translated(f"Deploying version {version.version} to endpoint '{endpoint}'"):
            self._make_model(deployment.endpoint, version)
            self._make_config(deployment, version)
            if anew:
                self._client.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
                return
            alarms = blue_green.alarms_of(rollout, endpoint, VARIANT) if rollout else []
            for alarm in alarms:
                self._alarms.put_metric_alarm(**alarm)
            if rollout:
                self._set_alarm(deployment, "OK")
            self._client.update_endpoint(
                EndpointName=endpoint,
                EndpointConfigName=config,
                DeploymentConfig=blue_green.deployment_config(
                    rollout.strategy if rollout else None, [one["AlarmName"] for one in alarms]
                ),
            )

    def _make_model(self, endpoint: str, version: DeployedVersion) -> None:
        """SageMaker itself takes approved packages only."""
        own = {
            "MLOPS_INFERENCE_MODEL_DIR": MODEL_FOLDER,
            "MLOPS_INFERENCE_MODEL_VERSION": str(version.version),
        }
        with _made_once():
            self._client.create_model(
                ModelName=self._model(endpoint, version),
                ExecutionRoleArn=self.names.role_arn(Role.HOSTING),
                PrimaryContainer={
                    "ModelPackageName": version.package_arn,
                    "Environment": dict(self.fleet.environment) | own,
                },
            )

    def _make_config(self, deployment: Deployment, version: DeployedVersion) -> None:
        with _made_once():
            self._client.create_endpoint_config(
                EndpointConfigName=self._config(deployment, version),
                ProductionVariants=[
                    {
                        "VariantName": VARIANT,
                        "ModelName": self._model(deployment.endpoint, version),
                        "InstanceType": self.fleet.instance_type,
                        "InitialInstanceCount": self.fleet.instances,
                    }
                ],
            )

    def _set_alarm(self, deployment: Deployment, state: str) -> None:
        name = f"{self._name(deployment.endpoint)}-{blue_green.BY_HAND}"
        with translated(f"Setting alarm {name}"):
            self._alarms.set_alarm_state(
                AlarmName=name, StateValue=state, StateReason=deployment.reason[:1023]
            )

    def _ended(
        self, deployment: Deployment, hosted: Hosted, *, over: bool, now: datetime, by: str
    ) -> Step:
        assert deployment.rollout is not None
        label = f"version {deployment.rollout.version.version}"
        if over:
            told = f"{label} has all of the traffic: no alarm of SageMaker's deployment went off"
            return forced("take over", deployment, told, now, by)
        why = hosted.failure or "SageMaker does not say why"
        return forced("take back", deployment, f"{label} was taken back: {why}", now, by)

    # -- what is seen

    def _see(self, endpoint: str) -> Hosted | None:
        with suppress(NotFound), translated(f"Looking at endpoint '{endpoint}'"):
            found = self._client.describe_endpoint(EndpointName=self._name(endpoint))
            pending = found.get("PendingDeploymentSummary")
            return Hosted(
                status=found["EndpointStatus"],
                serves=self._model_of(found["EndpointConfigName"]),
                pending=self._model_of(pending["EndpointConfigName"]) if pending else None,
                modified=found["LastModifiedTime"],
                failure=found.get("FailureReason", ""),
            )
        return None

    def _model_of(self, config: str) -> str:
        found = self._client.describe_endpoint_config(EndpointConfigName=config)
        return str(found["ProductionVariants"][0]["ModelName"])

    def _tried(self, deployment: Deployment, version: DeployedVersion, hosted: Hosted) -> bool:
        """Whether its update was begun: only that follows the configuration's creation."""
        config = self._config(deployment, version)
        with suppress(NotFound), translated(f"Looking at configuration '{config}'"):
            found = self._client.describe_endpoint_config(EndpointConfigName=config)
            return bool(hosted.modified >= found["CreationTime"])
        return False

    # -- what all of it is called

    def _name(self, endpoint: str) -> str:
        return f"{self.names.prefix}-{endpoint}"

    def _model(self, endpoint: str, version: DeployedVersion) -> str:
        return f"{self._name(endpoint)}-v{version.version}-a{version.approval or 0}"

    def _config(self, deployment: Deployment, version: DeployedVersion) -> str:
        """One for each attempt to have the endpoint serve something else."""
        rollout = deployment.rollout
        revision = rollout.revision if rollout else deployment.revision
        return f"{self._name(deployment.endpoint)}-v{version.version}-r{revision}"

    @property
    def _client(self) -> Any:
        return self.aws.client("sagemaker")

    @property
    def _alarms(self) -> Any:
        return self.aws.client("cloudwatch")


@contextmanager
def _made_once() -> Iterator[None]:
    """A name is made of all that its thing is made of, so that what is there is the same."""
    try:
        yield
    except ClientError as exc:
        if "already existing" not in str(exc):
            raise
