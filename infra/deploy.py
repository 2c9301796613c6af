"""Deploying an environment: package, plan, upload, and each stack in its order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.changes import Change
from infra.cloudformation import CloudFormation, Event, Plan
from infra.packaging import Package
from infra.synth import CODE_KEY, Stack
from mlops.aws import Aws, translated
from mlops.errors import NotFound, Refused, SettingsError
from mlops.names import Names

SETTINGS = {
    "RedisUrl": "MLOPS_REDIS_URL",
    "Registry": "MLOPS_REGISTRY",
    "MlflowUrl": "MLOPS_MLFLOW_TRACKING_URI",
    "MlflowSecret": "MLOPS_MLFLOW_SECRET",
    "JobSubnets": "MLOPS_JOB_SUBNETS",
    "JobSecurityGroup": "MLOPS_JOB_SECURITY_GROUP",
}
"""Outputs of the stacks, and the variables that carry them."""


class Watcher(Protocol):
    """Who is told while a deployment runs."""

    def planned(self, plan: Plan) -> None:
        """A stack's changes are known; without changes nothing will be done."""

    def happened(self, event: Event) -> None:
        """CloudFormation did something to a resource."""


@dataclass(frozen=True)
class Deployed:
    """What a deployment did."""

    changes: tuple[Change, ...]
    outputs: Mapping[str, str] = field(default_factory=dict)


class Deployer:
    """Deploys the stacks of one environment into the account that the names belong to.

    Raises Refused when the credentials are another account's.
    """

    def __init__(self, aws: Aws, names: Names) -> None:
        self._aws, self._names = aws, names
        self._check_account()
        self._stacks = CloudFormation(aws, role_arn=names.role_arn, publish=self._publish)

    def preview(self, stacks: Iterable[Stack], package: Package) -> list[Plan]:
        """What a deployment would do; uploads nothing but a template too large to send."""
        return [self._stacks.preview(stack, _parameters(stack, package)) for stack in stacks]

    def deploy(
        self,
        stacks: Sequence[Stack],
        package: Package,
        *,
        watcher: Watcher,
        allow_delete: bool = False,
    ) -> Deployed:
        """Bring every stack to its template; what is there already stays untouched.

        Raises Refused before anything is changed when data would be lost and that is not allowed,
        JobFailed when CloudFormation fails and rolls back. Safe to run again.
        """
        if not allow_delete:
            refuse_losses(self.preview(stacks, package))
        changes = [self._deploy(stack, package, watcher) for stack in stacks]
        return Deployed(tuple(change for made in changes for change in made), self.outputs(stacks))

    def outputs(self, stacks: Iterable[Stack]) -> dict[str, str]:
        """Every output of the stacks that exist, by key."""
        found = [self._stacks.outputs(stack.name) for stack in stacks]
        return {key: value for outputs in found for key, value in outputs.items()}

    def settings(self, stacks: Iterable[Stack]) -> dict[str, str]:
        """What only a deployed environment knows, as variables of its processes."""
        outputs = self.outputs(stacks)
        return {variable: outputs[key] for key, variable in SETTINGS.items() if key in outputs}

    def _deploy(self, stack: Stack, package: Package, watcher: Watcher) -> tuple[Change, ...]:
        if CODE_KEY in stack.parameters:
            self._upload(package.key, package.path)
        plan = self._stacks.plan(stack, _parameters(stack, package))
        watcher.planned(plan)
        if plan.change_set:
            self._stacks.execute(plan, watch=watcher.happened)
        self._stacks.protect(stack)
        return plan.changes

    def _check_account(self) -> None:
        """Deploying dev's stacks with prod's credentials must not be possible."""
        found = self._aws.identity.split(":")[4]
        if found != self._names.account:
            raise Refused(
                f"Environment '{self._names.env}' belongs to account {self._names.account}, but "
                f"you act as {self._aws.identity}. Set AWS_PROFILE or MLOPS_ACCOUNT."
            )

    def _upload(self, key: str, path: Path) -> None:
        """Keys are named by content, so what is there is right."""
        s3, bucket = self._aws.client("s3"), self._names.assets_bucket
        try:
            with translated(f"Looking for s3://{bucket}/{key}"):
                s3.head_object(Bucket=bucket, Key=key)
        except NotFound:
            with translated(f"Uploading s3://{bucket}/{key}"):
                s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

    def _publish(self, stack: Stack) -> str:
        """Put a template that is too large to send along where CloudFormation can read it."""
        body = stack.body.encode()
        key = f"templates/{hashlib.sha256(body).hexdigest()}.json"
        bucket = self._names.assets_bucket
        with translated(f"Uploading s3://{bucket}/{key}"):
            self._aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"https://s3.{self._names.region}.amazonaws.com/{bucket}/{key}"


def refuse_losses(plans: Iterable[Plan]) -> None:
    """Raises Refused naming every resource whose data a deployment would lose."""
    lost = [change for plan in plans for change in plan.changes if change.loses_data]
    if lost:
        what = ", ".join(f"{c.type} {c.name or c.resource} ({c.action})" for c in lost)
        raise Refused(
            f"This deployment would lose data: {what}. "
            "Keep the resource in infra/stacks/, or allow it with --allow-delete."
        )


def _parameters(stack: Stack, package: Package) -> dict[str, str]:
    known = {CODE_KEY: package.key}
    if unknown := stack.parameters - set(known):
        raise SettingsError(f"Stack {stack.name} wants {', '.join(sorted(unknown))}.")
    return {name: known[name] for name in stack.parameters}
