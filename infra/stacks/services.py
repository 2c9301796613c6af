"""What answers requests: the proxy behind a load balancer, inference behind the proxy; and what
takes their events to the offline store."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from aws_cdk import aws_servicediscovery as discovery

from infra.stacks.network import INFERENCE_PORT, PROXY_PORT, Network
from infra.stacks.profile import Profile
from infra.stacks.tasks import Place, Task, add_service, add_target
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
        self.listener = self._balancer()
        place = Place(names, profile, self.cluster.ref, network.subnets)
        groups = [network.clients, network.proxy]
        proxy = add_service(self, _proxy(redis_url), place, groups=groups, target=self.target)
        proxy.add_dependency(self.listener)
        add_service(self, _INFERENCE, place, groups=[network.inference])
        add_service(self, _DOWNSYNC, place, groups=[network.clients], count=1)

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

    def _balancer(self) -> balancing.CfnListener:
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
        self.target = add_target(
            self, "Proxies", f"{self._names.prefix}-proxy", self._network.vpc, PROXY_PORT, "/readyz"
        )
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
        return listener


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


def _attribute(key: str, value: bool) -> balancing.CfnLoadBalancer.LoadBalancerAttributeProperty:
    return balancing.CfnLoadBalancer.LoadBalancerAttributeProperty(
        key=key, value=str(value).lower()
    )
