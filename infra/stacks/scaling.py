"""How many tasks of the proxy and of inference there are: by what limits each."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as scaling

from infra.stacks.profile import Profile
from infra.stacks.services import Services
from mlops.names import Names

CPU_PERCENT = 50
"""Half of a core's limit, where latencies still hold (docs/capacity.md)."""
REQUESTS_A_MINUTE = 90_000
"""Of one proxy: 1,500 a second, a little under half of the predictions that a core can take."""


class Scaling(cdk.Stack):
    """Targets and policies; what the local AWS does not know, in a stack of its own."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        services: Services,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="Tasks by demand")
        self._names = names
        assert profile.tasks is not None
        for purpose in ("proxy", "inference"):
            target = self._target(purpose, *profile.tasks)
            self._follow(purpose, target, "ECSServiceAverageCPUUtilization", CPU_PERCENT)
            if purpose == "proxy":
                self._follow(
                    purpose,
                    target,
                    "ALBRequestCountPerTarget",
                    REQUESTS_A_MINUTE,
                    label=cdk.Fn.join(
                        "/",
                        [
                            services.balancer.attr_load_balancer_full_name,
                            services.target.attr_target_group_full_name,
                        ],
                    ),
                )

    def _target(self, purpose: str, least: int, most: int) -> scaling.CfnScalableTarget:
        return scaling.CfnScalableTarget(
            self,
            f"{purpose.title()}Tasks",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=f"service/{self._names.prefix}/{self._names.prefix}-{purpose}",
            min_capacity=least,
            max_capacity=most,
        )

    def _follow(
        self,
        purpose: str,
        target: scaling.CfnScalableTarget,
        metric: str,
        value: float,
        *,
        label: str | None = None,
    ) -> None:
        """Out within a minute, in after five: tasks that come and go cost more than they save."""
        kind = scaling.CfnScalingPolicy
        scaling.CfnScalingPolicy(
            self,
            f"{purpose.title()}By{metric}",
            policy_name=f"{self._names.prefix}-{purpose}-{metric}",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=(
                kind.TargetTrackingScalingPolicyConfigurationProperty(
                    target_value=value,
                    scale_out_cooldown=60,
                    scale_in_cooldown=300,
                    predefined_metric_specification=kind.PredefinedMetricSpecificationProperty(
                        predefined_metric_type=metric, resource_label=label
                    ),
                )
            ),
        )
