"""The roles: one for everyone who acts, with the grants of `permissions` and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra.stacks.grants import Grant
from infra.stacks.permissions import grants_of
from mlops.names import Names, Role

TRUSTED = {
    Role.TRAINING_JOB: "sagemaker.amazonaws.com",
    Role.WORKFLOW: "states.amazonaws.com",
    Role.INGESTION: "sagemaker.amazonaws.com",
    Role.FEATURE_JOB: "ecs-tasks.amazonaws.com",
    Role.DRIFT_JOB: "ecs-tasks.amazonaws.com",
    Role.SCHEDULER: "scheduler.amazonaws.com",  # and rules: see ALSO_TRUSTED
    Role.WORKFLOW_DEPLOYER: "lambda.amazonaws.com",
    Role.MODEL_DEPLOYER: "lambda.amazonaws.com",
    Role.RUN_REPORTER: "lambda.amazonaws.com",
    Role.NOTIFIER: "lambda.amazonaws.com",
    Role.WEBHOOK_RECEIVER: "lambda.amazonaws.com",
    Role.SERVING: "ecs-tasks.amazonaws.com",
    Role.HOSTING: "sagemaker.amazonaws.com",
    Role.DOWNSYNC: "ecs-tasks.amazonaws.com",
    Role.MLFLOW: "ecs-tasks.amazonaws.com",
    Role.INFRASTRUCTURE: "cloudformation.amazonaws.com",
    Role.SERVICE_INFRASTRUCTURE: "cloudformation.amazonaws.com",
}
"""The service that assumes a role; people and Jenkins come from the account itself."""

ALSO_TRUSTED = {Role.SCHEDULER: "events.amazonaws.com"}
"""A second service: EventBridge's schedules and its rules are two."""

SOURCED = {
    "ecs-tasks.amazonaws.com",
    "events.amazonaws.com",
    "sagemaker.amazonaws.com",
    "scheduler.amazonaws.com",
    "states.amazonaws.com",
}
"""Services that say for whom they ask, so that no other account can have them act as ours."""


SERVICES = tuple(role for role, by in TRUSTED.items() if by != "cloudformation.amazonaws.com")
"""Roles of jobs and services, in a stack of their own: a template that is deployed before there is
a bucket for templates has at most 51,200 bytes."""
ACTORS = tuple(role for role in Role if role not in SERVICES)
"""People, Jenkins, and what it deploys as."""


class Identity(cdk.Stack):
    """Some of the roles of `mlops.names.Role`."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        roles: Sequence[Role],
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="Roles of people, jobs and services")
        for role in roles:
            self._add(role, names)

    def _add(self, role: Role, names: Names) -> None:
        statements = [_statement(grant) for grant in grants_of(role, names)]
        iam.Role(
            self,
            "".join(part.title() for part in role.value.split("-")),
            role_name=names.role_name(role),
            description=f"What acts as {role.value} in {names.env}",
            assumed_by=_principal(role, names),
            max_session_duration=cdk.Duration.hours(4),
            inline_policies={"grants": iam.PolicyDocument(statements=statements, minimize=False)},
        )


def _principal(role: Role, names: Names) -> iam.IPrincipal:
    """Who may assume the role.

    For people and Jenkins that is the account: its own policies say which of its users may.
    """
    service = TRUSTED.get(role)
    if service is None:
        return iam.AccountPrincipal(names.account)
    services = (service, ALSO_TRUSTED[role]) if role in ALSO_TRUSTED else (service,)
    principals = [_service(one, names) for one in services]
    return iam.CompositePrincipal(*principals) if len(principals) > 1 else principals[0]


def _service(service: str, names: Names) -> iam.IPrincipal:
    conditions = {"StringEquals": {"aws:SourceAccount": names.account}}
    return iam.ServicePrincipal(service, conditions=conditions if service in SOURCED else None)


def _statement(grant: Grant) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=grant.sid,
        actions=list(grant.actions),
        resources=list(grant.resources),
        conditions=dict(grant.conditions) if grant.conditions else None,
    )
