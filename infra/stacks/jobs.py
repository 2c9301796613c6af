"""Where features are loaded and drift is looked for: Batch on Fargate, and the schedules."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler

from infra.stacks.functions import RETENTION
from infra.stacks.network import Network
from infra.stacks.permissions import DRIFT, UPSYNC
from infra.stacks.profile import Profile
from mlops.names import Names, Role

ATTEMPTS = 3
TIMEOUT_SECONDS = 4 * 3600
USER_ERRORS = range(2, 7)
"""Exit codes of errors that another attempt does not heal (mlops/errors.py)."""


class Jobs(cdk.Stack):
    """Compute environment, queue and job definitions, their log, and what starts the workflows."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="Jobs of features and of drift")
        self._names, self._profile = names, profile
        self._queue(self._environment(network))
        log = self._log()
        self._definition("Definition", names.feature_jobs, Role.FEATURE_JOB, log)
        self._definition("DriftDefinition", names.drift_jobs, Role.DRIFT_JOB, log)
        self._schedule(
            UPSYNC,
            "Loads features into the online store",
            f"rate({profile.upsync_every})",
            enabled=profile.upsync_enabled,
        )
        self._schedule(
            DRIFT, "Looks for drift of what is served", profile.drift_schedule, enabled=True
        )

    def _environment(self, network: Network) -> batch.CfnComputeEnvironment:
        return batch.CfnComputeEnvironment(
            self,
            "Environment",
            compute_environment_name=self._names.feature_jobs,
            type="MANAGED",
            state="ENABLED",
            compute_resources=batch.CfnComputeEnvironment.ComputeResourcesProperty(
                type="FARGATE",
                maxv_cpus=self._profile.job_vcpus,
                subnets=network.subnets,
                security_group_ids=[network.clients],
            ),
        )

    def _queue(self, environment: batch.CfnComputeEnvironment) -> None:
        batch.CfnJobQueue(
            self,
            "Queue",
            job_queue_name=self._names.feature_jobs,
            priority=1,
            state="ENABLED",
            compute_environment_order=[
                batch.CfnJobQueue.ComputeEnvironmentOrderProperty(
                    order=1, compute_environment=environment.ref
                )
            ],
        )

    def _log(self) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            "Log",
            log_group_name=self._names.feature_job_logs,
            retention=RETENTION[self._profile.log_days],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )

    def _definition(self, made: str, name: str, role: Role, log: logs.LogGroup) -> None:
        """What runs is said by who submits: the code is the workflow's own."""
        kind = batch.CfnJobDefinition
        role_arn = self._names.role_arn(role)
        options = {
            "awslogs-group": log.log_group_name,
            "awslogs-region": self.region,
            "awslogs-stream-prefix": name.removeprefix(f"{self._names.prefix}-"),
        }
        kind(
            self,
            made,
            job_definition_name=name,
            type="container",
            platform_capabilities=["FARGATE"],
            container_properties=kind.ContainerPropertiesProperty(
                image=self._names.image("features"),
                command=["mlops", "features", "--help"],
                job_role_arn=role_arn,
                execution_role_arn=role_arn,
                resource_requirements=[
                    kind.ResourceRequirementProperty(type="VCPU", value="1"),
                    kind.ResourceRequirementProperty(type="MEMORY", value="4096"),
                ],
                network_configuration=kind.NetworkConfigurationProperty(
                    assign_public_ip="DISABLED"
                ),
                log_configuration=kind.LogConfigurationProperty(
                    log_driver="awslogs", options=options
                ),
            ),
            retry_strategy=kind.RetryStrategyProperty(
                attempts=ATTEMPTS, evaluate_on_exit=_give_up(kind)
            ),
            timeout=kind.TimeoutProperty(attempt_duration_seconds=TIMEOUT_SECONDS),
        )

    def _schedule(self, workflow: str, does: str, when: str, *, enabled: bool) -> None:
        """The state machine is deployed by the workflow deployer, and may come later."""
        scheduler.CfnSchedule(
            self,
            workflow.title(),
            name=self._names.function(workflow),
            description=does,
            schedule_expression=when,
            state="ENABLED" if enabled else "DISABLED",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self._names.state_machine_arn(workflow),
                role_arn=self._names.role_arn(Role.SCHEDULER),
                input=json.dumps({"submitted_by": self._names.role_arn(Role.SCHEDULER)}),
                # The next start comes soon enough, and two at once would only wait for each other.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=2, maximum_event_age_in_seconds=300
                ),
            ),
        )


def _give_up(
    kind: type[batch.CfnJobDefinition],
) -> list[batch.CfnJobDefinition.EvaluateOnExitProperty]:
    """Batch takes five entries: one for each code of a user's error, and no more."""
    return [
        kind.EvaluateOnExitProperty(action="EXIT", on_exit_code=str(code)) for code in USER_ERRORS
    ]
