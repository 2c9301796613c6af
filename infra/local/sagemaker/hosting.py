"""Endpoints: models, configurations, and blue/green updates between fleets that really run.

A fleet is one process of our inference image, whatever its instance count. Traffic is shifted in
time as it was asked for, and taken back when an alarm goes off meanwhile.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.local.jobs.identity import Clients
from infra.local.sagemaker.fleet import Fleet, FleetFailed
from infra.local.sagemaker.kinds import Document, Operations, refuse_named
from infra.local.service import AwsError, Caller

_POLL = 0.1
_REFUSED = {
    "ShadowProductionVariants": "runs no shadow variants",
    "AsyncInferenceConfig": "answers no asynchronous invocations",
    "DataCaptureConfig.EnableCapture": "captures no data",
    "ProductionVariants.ServerlessConfig": "runs no serverless variants",
    "DeploymentConfig.RollingUpdatePolicy": "updates blue/green only",
    "Containers": "runs one container per model: give PrimaryContainer",
    "InferenceExecutionConfig": "runs one container per model",
}


class Hosting:
    """The models, endpoint configurations and endpoints of one account and region.

    package: the document of a model package, by its ARN. Raises AwsError.
    """

    def __init__(
        self, folder: Path, clients: Clients, arn: str, package: Callable[[str], Document]
    ) -> None:
        self._folder, self._clients, self._arn, self._package = folder, clients, arn, package
        self._lock = threading.RLock()
        self._models: dict[str, Document] = {}
        self._configs: dict[str, Document] = {}
        self._endpoints: dict[str, _Endpoint] = {}

    def operations(self) -> Operations:
        return {
            "CreateModel": self.create_model,
            "DescribeModel": lambda r, _: self._find(self._models, "model", r["ModelName"]),
            "DeleteModel": lambda r, _: self._delete(self._models, "model", r["ModelName"]),
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": lambda r, _: self._config(r["EndpointConfigName"]),
            "DeleteEndpointConfig": lambda r, _: self._delete(
                self._configs, "endpoint configuration", r["EndpointConfigName"]
            ),
            "CreateEndpoint": self.create_endpoint,
            "DescribeEndpoint": lambda r, _: self._endpoint(r["EndpointName"]).describe(),
            "UpdateEndpoint": self.update_endpoint,
            "DeleteEndpoint": self.delete_endpoint,
        }

    def tags(self, arn: str) -> list[Any] | None:
        """They have none here."""
        return None

    def retag(self, arn: str, tags: list[Any]) -> None:
        raise AwsError("ValidationException", f"{arn}: the local AWS tags no endpoints.")

    def close(self) -> None:
        for endpoint in self._endpoints.values():
            endpoint.close()

    def create_model(self, request: Document, caller: Caller) -> Document:
        self._refuse(request)
        self._clients.check_role(request["ExecutionRoleArn"])
        name = request["ModelName"]
        container = self._container(request.get("PrimaryContainer") or {})
        arn = self._add(self._models, "model", name, request | {"_container": container})
        return {"ModelArn": arn}

    def create_config(self, request: Document, caller: Caller) -> Document:
        self._refuse(request)
        for variant in request["ProductionVariants"]:
            self._find(self._models, "model", variant["ModelName"])
        if len(request["ProductionVariants"]) > 1:
            raise _invalid("ProductionVariants: the local AWS runs one variant per endpoint")
        name = request["EndpointConfigName"]
        return {
            "EndpointConfigArn": self._add(self._configs, "endpoint-config", name, request),
        }

    def create_endpoint(self, request: Document, caller: Caller) -> Document:
        self._refuse(request)
        name, config = request["EndpointName"], self._config(request["EndpointConfigName"])
        with self._lock:
            if name in self._endpoints:
                raise _invalid(f'Cannot create already existing endpoint "{self._named(name)}".')
            endpoint = _Endpoint(name, self._named(name), self._clients)
            self._endpoints[name] = endpoint
        endpoint.create(config["EndpointConfigName"], self._fleet(name, config))
        return {"EndpointArn": self._named(name)}

    def update_endpoint(self, request: Document, caller: Caller) -> Document:
        self._refuse(request)
        endpoint = self._endpoint(request["EndpointName"])
        config = self._config(request["EndpointConfigName"])
        deployment = request.get("DeploymentConfig") or {}
        self._check_alarms(deployment)
        fleet = self._fleet(request["EndpointName"], config)
        endpoint.update(config["EndpointConfigName"], fleet, deployment)
        return {"EndpointArn": endpoint.arn}

    def delete_endpoint(self, request: Document, caller: Caller) -> Document:
        endpoint = self._endpoint(request["EndpointName"])
        endpoint.must_stand()
        with self._lock:
            del self._endpoints[request["EndpointName"]]
        endpoint.close()
        return {}

    def _container(self, given: Mapping[str, Any]) -> Document:
        """What a package says of its container, else what was given."""
        own: Document = dict(given)
        if "ModelPackageName" in given:
            package = self._package(given["ModelPackageName"])
            if package["ModelApprovalStatus"] != "Approved":
                raise _invalid(
                    f"Model package {given['ModelPackageName']} is in approval status "
                    f"{package['ModelApprovalStatus']} and cannot be deployed: approve it."
                )
            own = package["InferenceSpecification"]["Containers"][0] | own
        if not own.get("ModelDataUrl"):
            raise _invalid("PrimaryContainer: the local AWS needs ModelDataUrl or a model package")
        return own

    def _fleet(self, endpoint: str, config: Document) -> Fleet:
        model = self._models[config["ProductionVariants"][0]["ModelName"]]
        return Fleet(
            self._folder / endpoint,
            self._clients,
            container=model["_container"],
            role=model["ExecutionRoleArn"],
        )

    def _check_alarms(self, deployment: Mapping[str, Any]) -> None:
        names = _alarms(deployment)
        if not names:
            return
        found = self._clients.client("cloudwatch").describe_alarms(AlarmNames=names)
        missing = set(names) - {alarm["AlarmName"] for alarm in found["MetricAlarms"]}
        if missing:
            raise _invalid(f"Could not find alarms {sorted(missing)}.")

    def _add(self, shelf: dict[str, Document], kind: str, name: str, document: Document) -> str:
        arn = f"{self._arn}:{kind}/{name}"
        label = kind.replace("-config", " configuration")
        with self._lock:
            if name in shelf:
                raise _invalid(f'Cannot create already existing {label} "{arn}".')
            shelf[name] = document | {_arn_of(kind): arn, "CreationTime": time.time()}
        return arn

    def _find(self, shelf: dict[str, Document], kind: str, name: str) -> Document:
        if name not in shelf:
            raise _invalid(f'Could not find {kind} "{self._arn}:{kind}/{name}".')
        found = copy.deepcopy(shelf[name])
        return {key: value for key, value in found.items() if not key.startswith("_")}

    def _config(self, name: str) -> Document:
        return self._find(self._configs, "endpoint configuration", name)

    def _delete(self, shelf: dict[str, Document], kind: str, name: str) -> Document:
        with self._lock:
            self._find(shelf, kind, name)
            del shelf[name]
        return {}

    def _endpoint(self, name: str) -> _Endpoint:
        if name not in self._endpoints:
            raise _invalid(f'Could not find endpoint "{self._named(name)}".')
        return self._endpoints[name]

    def _named(self, endpoint: str) -> str:
        return f"{self._arn}:endpoint/{endpoint}"

    @staticmethod
    def _refuse(request: Document) -> None:
        if refused := refuse_named(request, _REFUSED):
            raise AwsError("ValidationException", refused)


class _Endpoint:
    """One endpoint; its document changes under its lock only."""

    def __init__(self, name: str, arn: str, clients: Clients) -> None:
        self.arn = arn
        self._clients = clients
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._fleet: Fleet | None = None
        self._thread: threading.Thread | None = None
        self._document: Document = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointStatus": "Creating",
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
        }

    def describe(self) -> Document:
        with self._lock:
            return copy.deepcopy(self._document)

    def must_stand(self) -> None:
        status = self._document["EndpointStatus"]
        if status not in {"InService", "Failed"}:
            raise _invalid(f'Cannot update in-progress endpoint "{self.arn}": it is {status}.')

    def create(self, config: str, fleet: Fleet) -> None:
        self._note(EndpointConfigName=config)
        self._begin(lambda: self._start(fleet))

    def update(self, config: str, fleet: Fleet, deployment: Mapping[str, Any]) -> None:
        with self._lock:
            self.must_stand()
            self._document.pop("FailureReason", None)
            pending = {"EndpointConfigName": config, "StartTime": time.time()}
            self._note(EndpointStatus="Updating", PendingDeploymentSummary=pending)
        self._begin(lambda: self._shift(config, fleet, deployment))

    def close(self) -> None:
        self._closing.set()
        if self._thread:
            self._thread.join(15)
        if self._fleet:
            self._fleet.stop()

    def _begin(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(
            target=self._told, args=(work,), name=f"endpoint {self.arn}", daemon=True
        )
        self._thread.start()

    def _told(self, work: Callable[[], None]) -> None:
        """An error that nobody thought of is told as well: the endpoint would wait for ever."""
        try:
            work()
        except Exception as exc:
            self._note(EndpointStatus="Failed", FailureReason=f"The local AWS failed: {exc!r}")
            raise

    def _start(self, fleet: Fleet) -> None:
        try:
            fleet.start(self._closing)
        except FleetFailed as exc:
            fleet.stop()
            self._note(EndpointStatus="Failed", FailureReason=str(exc))
            return
        self._fleet = fleet
        self._note(EndpointStatus="InService")

    def _shift(self, config: str, green: Fleet, deployment: Mapping[str, Any]) -> None:
        try:
            green.start(self._closing)
            self._bake(deployment, green)
        except FleetFailed as exc:
            green.stop()
            self._settle(FailureReason=str(exc))
            return
        blue, self._fleet = self._fleet, green
        self._settle(EndpointConfigName=config, LastDeploymentConfig=dict(deployment))
        if blue:
            blue.stop()

    def _bake(self, deployment: Mapping[str, Any], green: Fleet) -> None:
        """Wait after each shift of traffic. Raises FleetFailed when an alarm goes off."""
        names = _alarms(deployment)
        alarms = self._clients.client("cloudwatch", self._clients.assume(green.role))
        for seconds in _intervals(deployment):
            until = time.monotonic() + seconds
            self._watch(names, alarms)
            while time.monotonic() < until and not self._closing.is_set():
                time.sleep(_POLL)
                self._watch(names, alarms)

    def _watch(self, names: list[str], alarms: Any) -> None:
        if not names:
            return
        found = alarms.describe_alarms(AlarmNames=names)
        for alarm in found["MetricAlarms"]:
            if alarm["StateValue"] == "ALARM":
                self._note(EndpointStatus="RollingBack")
                raise FleetFailed(
                    f"Deployment failed: alarm {alarm['AlarmName']} was in ALARM during the "
                    f"deployment ({alarm.get('StateReason', '')}). It was rolled back."
                )

    def _settle(self, **changes: Any) -> None:
        with self._lock:
            self._document.pop("PendingDeploymentSummary", None)
            self._note(EndpointStatus="InService", **changes)

    def _note(self, **changes: Any) -> None:
        with self._lock:
            self._document |= changes | {"LastModifiedTime": time.time()}


def _alarms(deployment: Mapping[str, Any]) -> list[str]:
    configured = deployment.get("AutoRollbackConfiguration") or {}
    return [alarm["AlarmName"] for alarm in configured.get("Alarms", ())]


def _intervals(deployment: Mapping[str, Any]) -> Iterator[float]:
    """How long it waits after each shift of traffic, the last one included."""
    policy = deployment.get("BlueGreenUpdatePolicy") or {}
    routing = policy.get("TrafficRoutingConfiguration") or {"Type": "ALL_AT_ONCE"}
    size = routing.get("CanarySize") or routing.get("LinearStepSize") or {"Value": 100}
    shifts = {"ALL_AT_ONCE": 1, "CANARY": 2, "LINEAR": -(-100 // int(size["Value"]))}
    for _ in range(shifts[routing["Type"]]):
        yield float(routing.get("WaitIntervalInSeconds", 0))


def _arn_of(kind: str) -> str:
    return {"model": "ModelArn", "endpoint-config": "EndpointConfigArn"}[kind]


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
