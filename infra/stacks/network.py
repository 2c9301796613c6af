"""The private network of the online store and its jobs: subnets that no route leads out of."""

from __future__ import annotations

import re

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from infra.stacks.profile import ENDPOINTS, ZONES, Profile
from mlops.names import Names

VPC_CIDR = "10.64.0.0/16"
CALLERS_CIDR = "10.0.0.0/8"
REDIS_PORT, PROXY_PORT, INFERENCE_PORT = 6379, 8080, 8081
MLFLOW_PORT, DATABASE_PORT = 5000, 5432


class Network(cdk.Stack):
    """VPC, a subnet per zone, endpoints of AWS's services, and the clients' security group.

    Plain resources: the construct library's own VPC asks AWS for zones while it synthesises, and
    empties the default security group with a Lambda.
    """

    def __init__(
        self, scope: cdk.App, name: str, *, names: Names, profile: Profile, env: cdk.Environment
    ) -> None:
        super().__init__(
            scope,
            name,
            env=env,
            description="Private network of the online store and of jobs",
            termination_protection=profile.keep_data,
        )
        self._vpc = ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block=VPC_CIDR,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=_named(names.prefix),
        )
        self.vpc = self._vpc.ref
        self._routes = ec2.CfnRouteTable(self, "Routes", vpc_id=self._vpc.ref)
        self.subnets = [self._subnet(zone, names) for zone in range(ZONES)]
        for service in ("s3", "dynamodb"):
            self._gateway(service)
        self.clients = self._clients(names)
        self.balancer = self._balancer(names)
        self.proxy = self._server("Proxy", PROXY_PORT, self.balancer, names)
        self.inference = self._server("Inference", INFERENCE_PORT, self.proxy, names)
        self.mlflow = self._tracking(names)
        self.workers = self._workers(names)
        self._endpoints(names)
        self.store = self._kept("Store", "online-store", REDIS_PORT, self.clients, names)
        self.database = self._kept("Database", "mlflow-data", DATABASE_PORT, self.mlflow, names)
        self._tell(profile)

    def _subnet(self, zone: int, names: Names) -> str:
        subnet = ec2.CfnSubnet(
            self,
            f"Subnet{zone}",
            vpc_id=self._vpc.ref,
            cidr_block=f"10.64.{zone * 16}.0/20",
            availability_zone=cdk.Fn.select(zone, cdk.Fn.get_azs(names.region)),
            map_public_ip_on_launch=False,
            tags=_named(f"{names.prefix}-private-{zone}"),
        )
        ec2.CfnSubnetRouteTableAssociation(
            self, f"Subnet{zone}Routes", subnet_id=subnet.ref, route_table_id=self._routes.ref
        )
        return subnet.ref

    def _gateway(self, service: str) -> None:
        """Private subnets reach the service without leaving the network."""
        ec2.CfnVPCEndpoint(
            self,
            f"To{service.title()}",
            vpc_id=self._vpc.ref,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self.region}.{service}",
            route_table_ids=[self._routes.ref],
        )

    def _endpoints(self, names: Names) -> None:
        """An address inside the subnets for each service that has no gateway."""
        group = ec2.CfnSecurityGroup(
            self,
            "Endpoints",
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-endpoints",
            group_description="Endpoints of AWS services",
            security_group_ingress=[
                _from(self.clients, 443, "Clients of the online store"),
                _from(self.inference, 443, "Inference"),
                _from(self.mlflow, 443, "MLflow"),
                _from(self.workers, 443, "Training jobs and Lambdas"),
            ],
            security_group_egress=[_NOWHERE],
        )
        for service in ENDPOINTS:
            ec2.CfnVPCEndpoint(
                self,
                f"Endpoint{''.join(part.title() for part in re.split('[.-]', service))}",
                vpc_id=self._vpc.ref,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{self.region}.{service}",
                subnet_ids=self.subnets,
                security_group_ids=[group.attr_group_id],
                private_dns_enabled=True,
            )

    def _clients(self, names: Names) -> str:
        """What the proxy, and the jobs that load features, wear."""
        group = ec2.CfnSecurityGroup(
            self,
            "Clients",
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-online-store-clients",
            group_description="Readers and writers of the online store",
            security_group_egress=[
                _AWS,
                _tcp(REDIS_PORT, VPC_CIDR, "The online store"),
            ],
        )
        return group.attr_group_id

    def _kept(self, name: str, what: str, port: int, clients: str, names: Names) -> str:
        """Where data is: only its clients reach it, and it reaches nothing."""
        title = what.replace("-", " ")
        group = ec2.CfnSecurityGroup(
            self,
            name,
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-{what}",
            group_description=f"The {title}",
            security_group_ingress=[_from(clients, port, f"Clients of the {title}")],
            security_group_egress=[_NOWHERE],
        )
        return group.attr_group_id

    def _tracking(self, names: Names) -> str:
        """What the MLflow server wears: the balancer reaches it, and it reaches its database."""
        group = ec2.CfnSecurityGroup(
            self,
            "Mlflow",
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-mlflow",
            group_description="Tasks of the MLflow server",
            security_group_ingress=[_from(self.balancer, MLFLOW_PORT, "The balancer alone")],
            security_group_egress=[_AWS, _tcp(DATABASE_PORT, VPC_CIDR, "Its database")],
        )
        return group.attr_group_id

    def _workers(self, names: Names) -> str:
        """What training jobs and Lambdas wear that ask MLflow."""
        group = ec2.CfnSecurityGroup(
            self,
            "Workers",
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-workers",
            group_description="Training jobs and Lambdas",
            security_group_egress=[_AWS],
        )
        return group.attr_group_id

    def _balancer(self, names: Names) -> str:
        """What callers in the network, and in networks that it is peered with, reach."""
        group = ec2.CfnSecurityGroup(
            self,
            "Balancer",
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-balancer",
            group_description="Load balancer of the proxy",
            security_group_ingress=[
                ec2.CfnSecurityGroup.IngressProperty(
                    ip_protocol="tcp",
                    from_port=443,
                    to_port=443,
                    cidr_ip=CALLERS_CIDR,
                    description="Callers inside",
                )
            ],
            security_group_egress=[
                _tcp(PROXY_PORT, VPC_CIDR, "Proxies"),
                _tcp(MLFLOW_PORT, VPC_CIDR, "MLflow"),
            ],
        )
        return group.attr_group_id

    def _server(self, name: str, port: int, callers: str, names: Names) -> str:
        """A service that one kind of caller reaches, and that reaches inference and AWS."""
        group = ec2.CfnSecurityGroup(
            self,
            name,
            vpc_id=self._vpc.ref,
            group_name=f"{names.prefix}-{name.lower()}",
            group_description=f"Tasks of the {name.lower()} service",
            security_group_ingress=[_from(callers, port, "Who asks it, and nobody else")],
            security_group_egress=[
                _AWS,
                _tcp(INFERENCE_PORT, VPC_CIDR, "Inference"),
            ],
        )
        return group.attr_group_id

    def _tell(self, profile: Profile) -> None:
        cdk.CfnOutput(self, "ClientSecurityGroup", value=self.clients)
        subnets = cdk.Fn.join(",", self.subnets)
        cdk.CfnOutput(self, "PrivateSubnets", value=subnets)
        if profile.mlflow_database is not None:
            cdk.CfnOutput(self, "JobSubnets", value=subnets)
            cdk.CfnOutput(self, "JobSecurityGroup", value=self.workers)


def _tcp(port: int, cidr: str, why: str) -> ec2.CfnSecurityGroup.EgressProperty:
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp", from_port=port, to_port=port, cidr_ip=cidr, description=why
    )


def _from(group: str, port: int, why: str) -> ec2.CfnSecurityGroup.IngressProperty:
    return ec2.CfnSecurityGroup.IngressProperty(
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
        source_security_group_id=group,
        description=why,
    )


_AWS = _tcp(443, "0.0.0.0/0", "AWS endpoints; no route leads anywhere else")
_NOWHERE = ec2.CfnSecurityGroup.EgressProperty(
    ip_protocol="icmp",
    from_port=252,
    to_port=86,
    cidr_ip="255.255.255.255/32",
    description="No traffic: without any rule, AWS would allow all of it",
)


def _named(name: str) -> list[cdk.CfnTag]:
    return [cdk.CfnTag(key="Name", value=name)]
