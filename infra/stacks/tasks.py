"""A container that runs all the time, as every one of the platform's does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.stacks.functions import RETENTION
from infra.stacks.profile import Profile
from mlops.names import Names, Role

STOP_SECONDS = 30
"""More than a service takes to answer what is under way (drain_seconds)."""


@dataclass(frozen=True)
class Task:
    """What one runs, as whom, and with how much."""

    purpose: str
    """Names the service, its log and, where nothing else is said, its image."""
    role: Role
    image: str
    port: int | None = None
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cpu: int = 1024
    memory: int = 2048
    health: str = "/healthz"
    """The path that says whether it lives."""
    start_seconds: int = 60
    """How long it may take to come up."""


@dataclass(frozen=True)
class Place:
    """Where services run, and how many of them at least."""

    names: Names
    profile: Profile
    cluster: str
    subnets: Sequence[str]


def add_service(
    scope: Construct,
    task: Task,
    place: Place,
    *,
    groups: Sequence[str],
    target: balancing.CfnTargetGroup | None = None,
    count: int | None = None,
) -> ecs.CfnService:
    """New tasks first, old ones then; what does not come up is taken back."""
    kind = ecs.CfnService
    least = place.profile.tasks[0] if place.profile.tasks else 0
    definition = add_task(scope, task, place.names, place.profile)
    return kind(
        scope,
        task.purpose.title(),
        service_name=f"{place.names.prefix}-{task.purpose}",
        cluster=place.cluster,
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
                subnets=list(place.subnets),
                security_groups=list(groups),
                assign_public_ip="DISABLED",
            )
        ),
        load_balancers=_behind(target, task),
        health_check_grace_period_seconds=task.start_seconds if target else None,
        service_connect_configuration=_connected(task),
    )


def add_target(
    scope: Construct, name: str, called: str, vpc: str, port: int, health: str
) -> balancing.CfnTargetGroup:
    """Tasks that a balancer asks, once they say that they are well."""
    kind = balancing.CfnTargetGroup
    return kind(
        scope,
        name,
        name=called,
        vpc_id=vpc,
        target_type="ip",
        port=port,
        protocol="HTTP",
        health_check_path=health,
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


def add_task(scope: Construct, task: Task, names: Names, profile: Profile) -> ecs.CfnTaskDefinition:
    """Fargate, not root, nothing writable but /tmp, its log kept as long as the profile says."""
    kind = ecs.CfnTaskDefinition
    log = logs.LogGroup(
        scope,
        f"{task.purpose.title()}Log",
        log_group_name=names.service_logs(task.purpose),
        retention=RETENTION[profile.log_days],
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    role_arn = names.role_arn(task.role)
    return kind(
        scope,
        f"{task.purpose.title()}Task",
        family=f"{names.prefix}-{task.purpose}",
        requires_compatibilities=["FARGATE"],
        network_mode="awsvpc",
        cpu=str(task.cpu),
        memory=str(task.memory),
        task_role_arn=role_arn,
        execution_role_arn=role_arn,
        runtime_platform=kind.RuntimePlatformProperty(
            cpu_architecture="X86_64", operating_system_family="LINUX"
        ),
        volumes=[kind.VolumeProperty(name="tmp")],
        container_definitions=[_container(task, names, log)],
    )


def _container(
    task: Task, names: Names, log: logs.LogGroup
) -> ecs.CfnTaskDefinition.ContainerDefinitionProperty:
    kind = ecs.CfnTaskDefinition
    variables = _variables(names) | dict(task.environment)
    return kind.ContainerDefinitionProperty(
        name=task.purpose,
        image=names.image(task.image),
        essential=True,
        command=list(task.command) or None,
        user="10001:10001",
        readonly_root_filesystem=True,
        stop_timeout=STOP_SECONDS,
        environment=[
            kind.KeyValuePairProperty(name=name, value=value) for name, value in variables.items()
        ],
        mount_points=[kind.MountPointProperty(container_path="/tmp", source_volume="tmp")],  # noqa: S108
        linux_parameters=kind.LinuxParametersProperty(
            init_process_enabled=True,
            capabilities=kind.KernelCapabilitiesProperty(drop=["ALL"]),
        ),
        ulimits=[kind.UlimitProperty(name="nofile", soft_limit=65_536, hard_limit=65_536)],
        port_mappings=_ports(task),
        health_check=_health(task),
        log_configuration=kind.LogConfigurationProperty(
            log_driver="awslogs",
            options={
                "awslogs-group": log.log_group_name,
                "awslogs-region": names.region,
                "awslogs-stream-prefix": task.purpose,
                # A log that does not take lines costs lines, never a request.
                "mode": "non-blocking",
                "max-buffer-size": "4m",
            },
        ),
    )


def _variables(names: Names) -> dict[str, str]:
    return {
        "MLOPS_PROJECT": names.project,
        "MLOPS_ENV": names.env,
        "MLOPS_ACCOUNT": names.account,
        "MLOPS_REGION": names.region,
        "AWS_REGION": names.region,
        "AWS_DEFAULT_REGION": names.region,
        "HOME": "/tmp",  # noqa: S108 -- the one place that can be written to
    }


def _ports(task: Task) -> list[ecs.CfnTaskDefinition.PortMappingProperty] | None:
    if task.port is None:
        return None
    kind = ecs.CfnTaskDefinition
    return [
        kind.PortMappingProperty(container_port=task.port, name=task.purpose, app_protocol="http")
    ]


def _health(task: Task) -> ecs.CfnTaskDefinition.HealthCheckProperty | None:
    """ECS does not read the image's own."""
    if task.port is None:
        return None
    url = f"http://127.0.0.1:{task.port}{task.health}"
    return ecs.CfnTaskDefinition.HealthCheckProperty(
        command=[
            *("CMD", "python", "-c"),
            f"import urllib.request as r; r.urlopen('{url}', timeout=2)",
        ],
        interval=10,
        timeout=3,
        retries=3,
        start_period=task.start_seconds,
    )
