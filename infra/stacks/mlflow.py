"""The MLflow server: a task behind the balancer that the proxy has, under a name of its own."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as balancing

from infra.stacks.network import MLFLOW_PORT, Network
from infra.stacks.profile import Profile
from infra.stacks.registry import mlflow_host
from infra.stacks.services import Services
from infra.stacks.tasks import Place, Task, add_service, add_target
from mlops.names import Names, Role

HEALTH = "/health"
"""MLflow answers it without asking who wants to know."""


class Mlflow(cdk.Stack):
    """Task, service, target and rule. It holds no data: every release may change it."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        services: Services,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="The MLflow server")
        target = add_target(
            self, "Servers", f"{names.prefix}-mlflow", network.vpc, MLFLOW_PORT, HEALTH
        )
        rule = self._rule(target, services, names)
        place = Place(names, profile, services.cluster.ref, network.subnets)
        # One: its database is what two would share, and jobs wait for the next one.
        server = add_service(
            self, _server(names), place, groups=[network.mlflow], target=target, count=1
        )
        server.add_dependency(rule)

    def _rule(
        self, target: balancing.CfnTargetGroup, services: Services, names: Names
    ) -> balancing.CfnListenerRule:
        kind = balancing.CfnListenerRule
        hosts = kind.HostHeaderConfigProperty(values=[mlflow_host(names)])
        return kind(
            self,
            "Rule",
            listener_arn=services.listener.ref,
            priority=10,
            conditions=[kind.RuleConditionProperty(field="host-header", host_header_config=hosts)],
            actions=[kind.ActionProperty(type="forward", target_group_arn=target.ref)],
        )


def _server(names: Names) -> Task:
    return Task(
        "mlflow",
        Role.MLFLOW,
        "mlflow",
        port=MLFLOW_PORT,
        environment={
            "MLOPS_MLFLOW_DATABASE_SECRET": names.mlflow_secret("database"),
            "MLOPS_MLFLOW_ADMIN_SECRET": names.mlflow_secret("admin"),
            "MLOPS_MLFLOW_WRITER_SECRET": names.mlflow_secret("writer"),
            "MLOPS_MLFLOW_READER_SECRET": names.mlflow_secret("reader"),
            "MLOPS_MLFLOW_ARTIFACTS": f"s3://{names.artifact_bucket}/mlflow",
            "MLOPS_MLFLOW_HOST": mlflow_host(names),
        },
        memory=4096,
        health=HEALTH,
        start_seconds=180,
    )
