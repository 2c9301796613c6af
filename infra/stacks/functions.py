"""The Lambdas: a workflow is deployed when it is uploaded, a model when it is approved; one tells
Slack, and one hears MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.stacks.grants import arn
from infra.stacks.network import Network
from infra.stacks.profile import Profile, target_setting
from infra.stacks.registry import registry_variables, webhook_target
from infra.synth import CODE_KEY
from mlops.names import Names, Role


@dataclass(frozen=True)
class Deployer:
    """A Lambda: its purpose, its role and its handler."""

    role: Role
    handler: str
    does: str
    tells_of_failures: bool = True


WORKFLOW_DEPLOYER = Deployer(
    Role.WORKFLOW_DEPLOYER,
    "infra.lambdas.deploy_workflow.handler",
    "Creates or updates the state machine whose definition was uploaded",
)
MODEL_DEPLOYER = Deployer(
    Role.MODEL_DEPLOYER,
    "infra.lambdas.deploy_model.handler",
    "Deploys model versions that were approved or rejected, and drives their rollouts",
)
RUN_REPORTER = Deployer(
    Role.RUN_REPORTER,
    "infra.lambdas.tell_ends.handler",
    "Tells of runs that could not tell of their end themselves",
)
NOTIFIER = Deployer(
    Role.NOTIFIER,
    "infra.lambdas.notify_slack.handler",
    "Tells a Slack channel what the events topic is told",
    # It would be told of its own failure, for ever.
    tells_of_failures=False,
)
WEBHOOK_RECEIVER = Deployer(
    Role.WEBHOOK_RECEIVER,
    "infra.lambdas.receive_webhook.handler",
    "Puts on the bus what MLflow tells of its model versions",
    # Who invokes it waits for its answer, and asks again.
    tells_of_failures=False,
)


class Functions(cdk.Stack):
    """The Lambdas, their logs, and who may call them."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="Lambdas that deploy on events")
        self._names, self._profile = names, profile
        self._code_key = cdk.CfnParameter(self, CODE_KEY).value_as_string
        self._assets = s3.Bucket.from_bucket_name(self, "Assets", names.assets_bucket)
        self._topic = sns.Topic.from_topic_arn(self, "Events", names.topic_arn)
        _allow_uploads(self._function(WORKFLOW_DEPLOYER), names)
        model_deployer = self._function(MODEL_DEPLOYER, registry_variables(names, profile))
        if profile.mlflow_database is not None:
            _into(network, model_deployer)
        _on_decisions(self, model_deployer, names)
        _every_minute(self, model_deployer, names)
        _on_ends(self, self._function(RUN_REPORTER), names)
        notifier = self._function(NOTIFIER)
        self._topic.add_subscription(subscriptions.LambdaSubscription(notifier))
        if profile.tasks is not None:
            _hear_alarms(notifier, names)
        if profile.hears_mlflow:
            _hear_mlflow(self._function(WEBHOOK_RECEIVER), names)

    def _function(
        self, deployer: Deployer, variables: Mapping[str, str] = MappingProxyType({})
    ) -> lambda_.Function:
        name = self._names.function(deployer.role.value)
        role_arn = self._names.role_arn(deployer.role)
        identifier = "".join(part.title() for part in deployer.role.value.split("-"))
        return lambda_.Function(
            self,
            identifier,
            function_name=name,
            description=deployer.does,
            runtime=lambda_.Runtime.PYTHON_3_11,
            architecture=lambda_.Architecture.X86_64,
            handler=deployer.handler,
            code=lambda_.Code.from_bucket(self._assets, self._code_key),
            role=iam.Role.from_role_arn(self, f"{identifier}Role", role_arn, mutable=False),
            memory_size=512,
            timeout=cdk.Duration.seconds(60),
            environment=self._environment() | dict(variables),
            log_group=self._logs(identifier, name),
            retry_attempts=2 if deployer.tells_of_failures else None,
            on_failure=destinations.SnsDestination(self._topic)
            if deployer.tells_of_failures
            else None,
        )

    def _environment(self) -> dict[str, str]:
        return {
            "MLOPS_PROJECT": self._names.project,
            "MLOPS_ENV": self._names.env,
            "MLOPS_ACCOUNT": self._names.account,
            "MLOPS_REGION": self._names.region,
            **target_setting(self._profile),
        }

    def _logs(self, identifier: str, function: str) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            f"{identifier}Logs",
            log_group_name=f"/aws/lambda/{function}",
            retention=RETENTION[self._profile.log_days],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )


RETENTION = {
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def _into(network: Network, function: lambda_.Function) -> None:
    """It asks MLflow, which is inside; what it asks of AWS has an endpoint there."""
    made = function.node.default_child
    assert isinstance(made, lambda_.CfnFunction)
    made.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
        subnet_ids=network.subnets, security_group_ids=[network.workers]
    )


def _hear_alarms(notifier: lambda_.Function, names: Names) -> None:
    """The topic of alarms calls it; the subscription is the topic's, which comes with them."""
    notifier.add_permission(
        "Alarms",
        principal=iam.ServicePrincipal("sns.amazonaws.com"),
        source_arn=names.alarms_topic_arn,
    )


def _hear_mlflow(receiver: lambda_.Function, names: Names) -> None:
    """The balancer calls it, for one target group; the group itself stands with MLflow's server."""
    group = f"targetgroup/{webhook_target(names)}/*"
    receiver.add_permission(
        "Balancer",
        principal=iam.ServicePrincipal("elasticloadbalancing.amazonaws.com"),
        source_arn=arn(names, "elasticloadbalancing", group),
    )


def _allow_uploads(function: lambda_.Function, names: Names) -> None:
    """The artifact bucket calls it; the notification itself is the bucket's property."""
    function.add_permission(
        "ArtifactUploads",
        principal=iam.ServicePrincipal("s3.amazonaws.com"),
        source_arn=f"arn:aws:s3:::{names.artifact_bucket}",
        source_account=names.account,
    )


def _on_decisions(scope: Construct, function: lambda_.Function, names: Names) -> None:
    """SageMaker tells when a model package of ours changes its state; for MLflow, our commands and
    the receiver of its webhooks."""
    events.Rule(
        scope,
        "Decisions",
        rule_name=names.function("model-decisions"),
        description="A model version was approved or rejected",
        event_pattern=events.EventPattern(
            source=["aws.sagemaker", "mlops.registry"],
            detail_type=["SageMaker Model Package State Change"],
            detail={"ModelPackageGroupName": events.Match.prefix(f"{names.prefix}-")},
        ),
        targets=[
            targets.LambdaFunction(
                function, retry_attempts=10, max_event_age=cdk.Duration.hours(24)
            )
        ],
    )


def _on_ends(scope: Construct, function: lambda_.Function, names: Names) -> None:
    """A run that is stopped, or runs out of time, gets no chance to say so."""
    machines = names.state_machine_arn("")
    events.Rule(
        scope,
        "Ends",
        rule_name=names.function("run-ends"),
        description="A run of a workflow ended otherwise than it should",
        event_pattern=events.EventPattern(
            source=["aws.states"],
            detail_type=["Step Functions Execution Status Change"],
            detail={
                "status": ["ABORTED", "FAILED", "TIMED_OUT"],
                "stateMachineArn": events.Match.prefix(machines),
            },
        ),
        targets=[
            targets.LambdaFunction(
                function, retry_attempts=10, max_event_age=cdk.Duration.hours(24)
            )
        ],
    )


def _every_minute(scope: Construct, function: lambda_.Function, names: Names) -> None:
    """A minute that is missed is not made up for: the next one comes soon enough."""
    events.Rule(
        scope,
        "Rollouts",
        rule_name=names.function("rollouts"),
        description="Takes the steps of rollouts, and takes back what leaves its bounds",
        schedule=events.Schedule.rate(cdk.Duration.minutes(1)),
        targets=[
            targets.LambdaFunction(
                function, retry_attempts=0, max_event_age=cdk.Duration.minutes(1)
            )
        ],
    )
