"""The roles: one for everyone who acts, with the grants of `permissions` and nothing else."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra.stacks.grants import Grant
from infra.stacks.permissions import grants_of
from mlops.names import Names, Role

TRUSTED = {
    Role.TRAINING_JOB: "sagemaker.amazonaws.com",
    Role.WORKFLOW: "states.amazonaws.com",
    Role.FEATURE_JOB: "ecs-tasks.amazonaws.com",
    Role.SCHEDULER: "scheduler.amazonaws.com",
    Role.WORKFLOW_DEPLOYER: "lambda.amazonaws.com",
    Role.MODEL_DEPLOYER: "lambda.amazonaws.com",
    Role.SERVING: "ecs-tasks.amazonaws.com",
    Role.DOWNSYNC: "ecs-tasks.amazonaws.com",
    Role.INFRASTRUCTURE: "cloudformation.amazonaws.com",
}
"""The service that assumes a role; people and Jenkins come from the account itself."""

SOURCED = {
    "ecs-tasks.amazonaws.com",
    "sagemaker.amazonaws.com",
    "scheduler.amazonaws.com",
    "states.amazonaws.com",
}
"""Services that say for whom they ask, so that no other account can have them act as ours."""


class Identity(cdk.Stack):
    """Every role of `mlops.names.Role`."""

    def __init__(self, scope: cdk.App, name: str, *, names: Names, env: cdk.Environment) -> None:
        super().__init__(scope, name, env=env, description="Roles of people, jobs and services")
        for role in Role:
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
    conditions = {"StringEquals": {"aws:SourceAccount": names.account}}
    return iam.ServicePrincipal(service, conditions=conditions if service in SOURCED else None)


def _statement(grant: Grant) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=grant.sid,
        actions=list(grant.actions),
        resources=list(grant.resources),
        conditions=dict(grant.conditions) if grant.conditions else None,
    )
