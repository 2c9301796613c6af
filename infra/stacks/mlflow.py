"""The MLflow server: a task behind the balancer that the proxy has, under a name of its own; and
below that name, what receives its webhooks."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as balancing

from infra.stacks.network import MLFLOW_PORT, Network
from infra.stacks.profile import Profile
from infra.stacks.registry import mlflow_host, webhook_target
from infra.stacks.services import Services
from infra.stacks.tasks import Place, Task, add_service, add_target
from mlops.names import Names, Role
from mlops.registry.webhooks.registration import RECEIVER_PATH

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
            self, _server(names, profile), place, groups=[network.mlflow], target=target, count=1
        )
        server.add_dependency(rule)
        if profile.hears_mlflow:
            self._receiver(services, names)

    def _rule(
        self, target: balancing.CfnTargetGroup, services: Services, names: Names
    ) -> balancing.CfnListenerRule:
        return self._forward("Rule", target, services, priority=10, conditions=[_host(names)])

    def _receiver(self, services: Services, names: Names) -> None:
        """A Lambda as the target: the server reaches it without a way out of the network."""
        kind = balancing.CfnTargetGroup
        target = kind(
            self,
            "Webhooks",
            name=webhook_target(names),
            target_type="lambda",
            targets=[
                kind.TargetDescriptionProperty(id=names.function_arn(Role.WEBHOOK_RECEIVER.value))
            ],
        )
        paths = balancing.CfnListenerRule.PathPatternConfigProperty(values=[RECEIVER_PATH])
        posts = balancing.CfnListenerRule.HttpRequestMethodConfigProperty(values=["POST"])
        conditions = [
            _host(names),
            _condition("path-pattern", path_pattern_config=paths),
            _condition("http-request-method", http_request_method_config=posts),
        ]
        self._forward("WebhooksRule", target, services, priority=9, conditions=conditions)

    def _forward(
        self,
        name: str,
        target: balancing.CfnTargetGroup,
        services: Services,
        *,
        priority: int,
        conditions: list[balancing.CfnListenerRule.RuleConditionProperty],
    ) -> balancing.CfnListenerRule:
        kind = balancing.CfnListenerRule
        return kind(
            self,
            name,
            listener_arn=services.listener.ref,
            priority=priority,
            conditions=conditions,
            actions=[kind.ActionProperty(type="forward", target_group_arn=target.ref)],
        )


def _host(names: Names) -> balancing.CfnListenerRule.RuleConditionProperty:
    hosts = balancing.CfnListenerRule.HostHeaderConfigProperty(values=[mlflow_host(names)])
    return _condition("host-header", host_header_config=hosts)


def _condition(field: str, **config: Any) -> balancing.CfnListenerRule.RuleConditionProperty:
    return balancing.CfnListenerRule.RuleConditionProperty(field=field, **config)


def _server(names: Names, profile: Profile) -> Task:
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
            **_webhook_settings(names, profile),
        },
        memory=4096,
        health=HEALTH,
        start_seconds=180,
    )


def _webhook_settings(names: Names, profile: Profile) -> dict[str, str]:
    if not profile.hears_mlflow:
        return {}
    return {"MLOPS_MLFLOW_ENCRYPTION_SECRET": names.mlflow_secret("encryption")}
