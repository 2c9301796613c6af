"""What answers requests: the proxy behind a load balancer, inference behind the proxy; and what
takes their events to the offline store."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from aws_cdk import aws_servicediscovery as discovery

from infra.stacks.network import INFERENCE_PORT, PROXY_PORT, Network
from infra.stacks.profile import Profile
from infra.stacks.tasks import STOP_SECONDS, Task, add_task
from mlops.names import Names, Role

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 with forward secrecy, and 1.3."""


class Services(cdk.Stack):
    """Cluster, three services, load balancer. Every release may change it; it holds no data."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        redis_url: str,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="Proxy, inference and downsync")
        self._names, self._profile, self._network = names, profile, network
        self.cluster = self._cluster()
        target, listener = self._balancer()
        proxy = self._serve(_proxy(redis_url), [network.clients, network.proxy], target=target)
        proxy.add_dependency(listener)
        self._serve(_INFERENCE, [network.inference])
        self._serve(_DOWNSYNC, [network.clients], count=1)

    def _cluster(self) -> ecs.CfnCluster:
        namespace = discovery.CfnHttpNamespace(
            self, "Namespace", name=self._names.prefix, description="How services find each other"
        )
        return ecs.CfnCluster(
            self,
            "Cluster",
            cluster_name=self._names.prefix,
            cluster_settings=[
                ecs.CfnCluster.ClusterSettingsProperty(name="containerInsights", value="enabled")
            ],
            service_connect_defaults=ecs.CfnCluster.ServiceConnectDefaultsProperty(
                namespace=namespace.attr_arn
            ),
        )

    def _balancer(self) -> tuple[balancing.CfnTargetGroup, balancing.CfnListener]:
        """Internal; TLS only, with the certificate that an administrator named."""
        self.balancer = balancing.CfnLoadBalancer(
            self,
            "Balancer",
            name=self._names.prefix,
            type="application",
            scheme="internal",
            subnets=self._network.subnets,
            security_groups=[self._network.balancer],
            load_balancer_attributes=[
                _attribute("deletion_protection.enabled", self._profile.keep_data),
                _attribute("routing.http.drop_invalid_header_fields.enabled", True),
            ],
        )
        self.target = self._target()
        certificate = f"{{{{resolve:ssm:{self._names.certificate_parameter}}}}}"
        listener = balancing.CfnListener(
            self,
            "Https",
            load_balancer_arn=self.balancer.ref,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificates=[balancing.CfnListener.CertificateProperty(certificate_arn=certificate)],
            default_actions=[
                balancing.CfnListener.ActionProperty(
                    type="forward", target_group_arn=self.target.ref
                )
            ],
        )
        address = self.balancer.attr_dns_name
        cdk.CfnOutput(self, "ProxyAddress", value=address, description="What callers resolve to")
        return self.target, listener

    def _target(self) -> balancing.CfnTargetGroup:
        kind = balancing.CfnTargetGroup
        return kind(
            self,
            "Proxies",
            name=f"{self._names.prefix}-proxy",
            vpc_id=self._network.vpc,
            target_type="ip",
            port=PROXY_PORT,
            protocol="HTTP",
            health_check_path="/readyz",
            health_check_interval_seconds=10,
            health_check_timeout_seconds=3,
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
            target_group_attributes=[
                kind.TargetGroupAttributeProperty(
                    key="deregistration_delay.timeout_seconds", value=str(STOP_SECONDS)
                )
            ],
        )

    def _serve(
        self,
        task: Task,
        groups: Sequence[str],
        *,
        target: balancing.CfnTargetGroup | None = None,
        count: int | None = None,
    ) -> ecs.CfnService:
        """New tasks first, old ones then; what does not come up is taken back."""
        kind = ecs.CfnService
        least = self._profile.tasks[0] if self._profile.tasks else 0
        definition = add_task(self, task, self._names, self._profile)
        return kind(
            self,
            task.purpose.title(),
            service_name=f"{self._names.prefix}-{task.purpose}",
            cluster=self.cluster.ref,
            task_definition=definition.ref,
            launch_type="FARGATE",
            desired_count=count or least,
            propagate_tags="SERVICE",
            enable_ecs_managed_tags=True,
            deployment_configuration=kind.DeploymentConfigurationProperty(
                minimum_healthy_percent=100,
                maximum_percent=200,
                deployment_circuit_breaker=kind.DeploymentCircuitBreakerProperty(
                    enable=True, rollback=True
                ),
            ),
            network_configuration=kind.NetworkConfigurationProperty(
                awsvpc_configuration=kind.AwsVpcConfigurationProperty(
                    subnets=self._network.subnets,
                    security_groups=list(groups),
                    assign_public_ip="DISABLED",
                )
            ),
            load_balancers=_behind(target, task),
            health_check_grace_period_seconds=60 if target else None,
            service_connect_configuration=_connected(task),
        )


def _proxy(redis_url: str) -> Task:
    address = f"http://inference:{INFERENCE_PORT}"
    return Task(
        "proxy",
        Role.SERVING,
        "proxy",
        port=PROXY_PORT,
        environment={"MLOPS_REDIS_URL": redis_url, "MLOPS_PROXY_INFERENCE_URL": address},
    )


_INFERENCE = Task("inference", Role.SERVING, "inference", port=INFERENCE_PORT)
_DOWNSYNC = Task(
    "downsync",
    Role.DOWNSYNC,
    "features",
    command=("mlops", "features", "downsync"),
    cpu=512,
    memory=1024,
)


def _behind(
    target: balancing.CfnTargetGroup | None, task: Task
) -> list[ecs.CfnService.LoadBalancerProperty] | None:
    if target is None:
        return None
    return [
        ecs.CfnService.LoadBalancerProperty(
            container_name=task.purpose, container_port=task.port, target_group_arn=target.ref
        )
    ]


def _connected(task: Task) -> ecs.CfnService.ServiceConnectConfigurationProperty | None:
    """Who has a port can be found by its name; the proxy finds inference so."""
    if task.port is None:
        return None
    kind = ecs.CfnService
    alias = kind.ServiceConnectClientAliasProperty(port=task.port, dns_name=task.purpose)
    return kind.ServiceConnectConfigurationProperty(
        enabled=True,
        services=[
            kind.ServiceConnectServiceProperty(port_name=task.purpose, client_aliases=[alias])
        ],
    )


def _attribute(key: str, value: bool) -> balancing.CfnLoadBalancer.LoadBalancerAttributeProperty:
    return balancing.CfnLoadBalancer.LoadBalancerAttributeProperty(
        key=key, value=str(value).lower()
    )
