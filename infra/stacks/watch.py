"""What wakes somebody: alarms on what callers would notice, and a dashboard of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns

from infra.stacks.permissions import DRIFT, UPSYNC
from infra.stacks.profile import Profile
from infra.stacks.services import Services
from mlops.names import Names, Role

MINUTES = 5


@dataclass(frozen=True)
class Sign:
    """A metric, and from where on it is too much (or too little, with `below`)."""

    name: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    limit: float
    statistic: str = "Maximum"
    below: bool = False
    points: int = 3
    """Of the periods, in how many; a single failure is one that somebody must see."""
    period: int = 60
    """Seconds."""
    periods: int = MINUTES
    missing: str = "notBreaching"
    """Nothing happened, so nothing is wrong; but tasks that tell nothing are gone."""


class Watch(cdk.Stack):
    """The topic of alarms, the alarms, the dashboard."""

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
        super().__init__(scope, name, env=env, description="Alarms and dashboard")
        signs = [
            *_serving(services),
            *_tasks(names),
            *_online_store(names, profile),
            *_mlflow(names),
            *_jobs(names, profile),
        ]
        topic = self._topic(names)
        self._tell_slack(topic, names)
        for sign in signs:
            self._alarm(sign, topic, names)
        self._dashboard(signs, names)

    def _topic(self, names: Names) -> sns.CfnTopic:
        """Without a key: CloudWatch cannot use AWS's own, and alarms are names and numbers."""
        topic = sns.CfnTopic(self, "Alarms", topic_name=names.alarms_topic_arn.rsplit(":", 1)[-1])
        told = iam.PolicyStatement(
            sid="Tell",
            principals=[
                iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                iam.ServicePrincipal("budgets.amazonaws.com"),
            ],
            actions=["sns:Publish"],
            resources=[topic.ref],
            conditions={"StringEquals": {"aws:SourceAccount": names.account}},
        )
        sns.CfnTopicPolicy(
            self,
            "AlarmsPolicy",
            topics=[topic.ref],
            policy_document=iam.PolicyDocument(statements=[told]),
        )
        return topic

    def _tell_slack(self, topic: sns.CfnTopic, names: Names) -> None:
        """By the Lambda that tells a channel of events; without a webhook it tells nobody."""
        sns.CfnSubscription(
            self,
            "Slack",
            topic_arn=topic.ref,
            protocol="lambda",
            endpoint=names.function_arn(Role.NOTIFIER.value),
        )

    def _alarm(self, sign: Sign, topic: sns.CfnTopic, names: Names) -> None:
        percentile = sign.statistic.startswith("p")
        cloudwatch.CfnAlarm(
            self,
            "".join(part.title() for part in sign.name.split("-")),
            alarm_name=f"{names.prefix}-{sign.name}",
            alarm_description=f"docs/observing.md: {sign.name}",
            namespace=sign.namespace,
            metric_name=sign.metric,
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name=key, value=value)
                for key, value in sign.dimensions.items()
            ],
            statistic=None if percentile else sign.statistic,
            extended_statistic=sign.statistic if percentile else None,
            period=sign.period,
            evaluation_periods=sign.periods,
            datapoints_to_alarm=sign.points,
            threshold=sign.limit,
            comparison_operator=("LessThanThreshold" if sign.below else "GreaterThanThreshold"),
            treat_missing_data=sign.missing,
            alarm_actions=[topic.ref],
            ok_actions=[topic.ref],
        )

    def _dashboard(self, signs: Sequence[Sign], names: Names) -> None:
        widgets = [_widget(place, sign, names) for place, sign in enumerate(signs)]
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=names.prefix,
            dashboard_body=self.to_json_string({"widgets": widgets}),
        )


def _widget(place: int, sign: Sign, names: Names) -> dict[str, object]:
    dimensions = [part for pair in sign.dimensions.items() for part in pair]
    return {
        "type": "metric",
        "x": place % 3 * 8,
        "y": place // 3 * 6,
        "width": 8,
        "height": 6,
        "properties": {
            "title": sign.name,
            "region": names.region,
            "period": sign.period,
            "stat": sign.statistic,
            "metrics": [[sign.namespace, sign.metric, *dimensions]],
            "annotations": {"horizontal": [{"label": "alarm", "value": sign.limit}]},
        },
    }


def _serving(services: Services) -> list[Sign]:
    balancer = {"LoadBalancer": services.balancer.attr_load_balancer_full_name}
    target = balancer | {"TargetGroup": services.target.attr_target_group_full_name}
    space = "AWS/ApplicationELB"
    return [
        Sign("errors", space, "HTTPCode_Target_5XX_Count", balancer, 60, "Sum"),
        Sign("no-proxy", space, "HTTPCode_ELB_5XX_Count", balancer, 10, "Sum"),
        Sign("slow", space, "TargetResponseTime", balancer, 0.1, "p99"),
        Sign("unready-proxies", space, "UnHealthyHostCount", target, 0),
    ]


def _tasks(names: Names) -> list[Sign]:
    signs = []
    for purpose in ("proxy", "inference", "downsync", "mlflow"):
        service = {"ClusterName": names.prefix, "ServiceName": f"{names.prefix}-{purpose}"}
        signs.append(Sign(f"{purpose}-cpu", "AWS/ECS", "CPUUtilization", service, 85, "Average"))
        signs.append(
            Sign(
                f"{purpose}-gone",
                "ECS/ContainerInsights",
                "RunningTaskCount",
                service,
                1,
                "Minimum",
                below=True,
                missing="breaching",
            )
        )
    stream = {"StreamName": names.downsync_stream}
    late = "GetRecords.IteratorAgeMilliseconds"
    signs.append(Sign("downsync-late", "AWS/Kinesis", late, stream, 30 * 60_000))
    return signs


def _online_store(names: Names, profile: Profile) -> list[Sign]:
    group = {"ReplicationGroupId": f"{names.prefix}-online"}
    space = "AWS/ElastiCache"
    signs = [
        Sign("redis-full", space, "DatabaseMemoryUsagePercentage", group, 75),
        Sign("redis-busy", space, "EngineCPUUtilization", group, 80, "Average"),
        Sign("redis-evicts", space, "Evictions", group, 0, "Sum", points=1),
    ]
    if profile.highly_available:
        signs.append(Sign("redis-lag", space, "ReplicationLag", group, 5))
    return signs


def _mlflow(names: Names) -> list[Sign]:
    database = {"DBInstanceIdentifier": f"{names.prefix}-mlflow"}
    least = 2 * 2**30
    return [
        Sign("mlflow-disk", "AWS/RDS", "FreeStorageSpace", database, least, "Minimum", below=True)
    ]


HOUR = 3600
MISSED = 3
"""So many upsyncs in a row that did not succeed are too many."""
NIGHT = 26
"""Hours in which a nightly run has succeeded, be it late."""


def _jobs(names: Names, profile: Profile) -> list[Sign]:
    heard = (Role.WEBHOOK_RECEIVER,) if profile.hears_mlflow else ()
    failed = [_failed_workflow(names, workflow) for workflow in (UPSYNC, DRIFT)]
    if profile.upsync_enabled:
        every = _seconds(profile.upsync_every)
        failed.append(_late_workflow(names, UPSYNC, period=every, periods=MISSED))
    failed.append(_late_workflow(names, DRIFT, period=HOUR, periods=NIGHT))
    for role in (Role.WORKFLOW_DEPLOYER, Role.MODEL_DEPLOYER, Role.RUN_REPORTER, *heard):
        function = {"FunctionName": names.function(role.value)}
        failed.append(
            Sign(f"{role.value}-failed", "AWS/Lambda", "Errors", function, 0, "Sum", points=1)
        )
    return failed


def _failed_workflow(names: Names, workflow: str) -> Sign:
    machine = {"StateMachineArn": names.state_machine_arn(workflow)}
    name = f"{workflow}-failed"
    return Sign(name, "AWS/States", "ExecutionsFailed", machine, 0, "Sum", points=1)


def _late_workflow(names: Names, workflow: str, *, period: int, periods: int) -> Sign:
    """No run succeeded for so long, whatever the reason: none started, too, is one."""
    return Sign(
        f"{workflow}-late",
        "AWS/States",
        "ExecutionsSucceeded",
        {"StateMachineArn": names.state_machine_arn(workflow)},
        1,
        "Sum",
        below=True,
        points=periods,
        missing="breaching",
        period=period,
        periods=periods,
    )


def _seconds(rate: str) -> int:
    """Of a number and a unit, as EventBridge Scheduler has it."""
    number, unit = rate.split()
    return int(number) * {"minute": 60, "hour": HOUR, "day": 24 * HOUR}[unit.removesuffix("s")]
