"""What CloudFormation may do when Jenkins has it deploy services: images, tasks, balancer, alarms.

A role of its own: a policy has 10,240 bytes at most, and what shapes services touches no data.
Service-linked roles of ECS, of load balancing and of autoscaling an administrator makes once.
"""

from __future__ import annotations

from infra.stacks.grants import Grant, arn, manage_logs, manage_topic, pass_roles
from mlops.names import Names, Role

RUN_AS = (Role.SERVING, Role.DOWNSYNC, Role.MLFLOW)


def deploy_services(names: Names) -> tuple[Grant, ...]:
    """The grants of the role that CloudFormation acts as for the services' stacks."""
    return (
        *_images(names),
        *_tasks(names),
        _balancer(names),
        _found_balancers(),
        *_scaling(names),
        *_alarms(names),
        manage_logs(arn(names, "logs", f"log-group:{names.service_logs('*')}")),
        Grant("FindLogs", ("logs:DescribeLogGroups",), ("*",)),
        Grant(
            "ReadNames",
            ("ssm:GetParameters",),
            tuple(
                arn(names, "ssm", f"parameter{parameter}")
                for parameter in (names.certificate_parameter, names.domain_parameter)
            ),
        ),
    )


def _images(names: Names) -> tuple[Grant, ...]:
    """Repositories, never their images."""
    return (
        Grant(
            "Repositories",
            (
                "ecr:CreateRepository",
                "ecr:DeleteLifecyclePolicy",
                "ecr:DeleteRepository",
                "ecr:DescribeRepositories",
                "ecr:GetLifecyclePolicy",
                "ecr:GetRepositoryPolicy",
                "ecr:ListTagsForResource",
                "ecr:PutImageScanningConfiguration",
                "ecr:PutImageTagMutability",
                "ecr:PutLifecyclePolicy",
                "ecr:TagResource",
                "ecr:UntagResource",
            ),
            (arn(names, "ecr", f"repository/{names.prefix}-*"),),
        ),
    )


def _tasks(names: Names) -> tuple[Grant, ...]:
    return (
        _ecs_services(names),
        Grant("Tasks", ("ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"), ("*",)),
        pass_roles("RunServicesAsTheirRoles", names, "ecs-tasks", *RUN_AS),
        _namespace(),
    )


def _ecs_services(names: Names) -> Grant:
    own = (
        arn(names, "ecs", f"cluster/{names.prefix}"),
        arn(names, "ecs", f"service/{names.prefix}/{names.prefix}-*"),
        arn(names, "ecs", f"service-deployment/{names.prefix}/{names.prefix}-*"),
        arn(names, "ecs", f"task-definition/{names.prefix}-*:*"),
    )
    return Grant(
        "Services",
        (
            "ecs:CreateCluster",
            "ecs:CreateService",
            "ecs:DeleteCluster",
            "ecs:DeleteService",
            "ecs:DescribeClusters",
            "ecs:DescribeServiceDeployments",
            "ecs:DescribeServices",
            "ecs:ListServiceDeployments",
            "ecs:ListTagsForResource",
            "ecs:RegisterTaskDefinition",
            "ecs:StopServiceDeployment",
            "ecs:TagResource",
            "ecs:UntagResource",
            "ecs:UpdateCluster",
            "ecs:UpdateClusterSettings",
            "ecs:UpdateService",
        ),
        own,
    )


def _namespace() -> Grant:
    return Grant(
        "Namespace",
        (
            "servicediscovery:CreateHttpNamespace",
            "servicediscovery:DeleteNamespace",
            "servicediscovery:GetNamespace",
            "servicediscovery:GetOperation",
            "servicediscovery:ListTagsForResource",
            "servicediscovery:TagResource",
            "servicediscovery:UntagResource",
            "servicediscovery:UpdateHttpNamespace",
        ),
        ("*",),
    )


def _balancer(names: Names) -> Grant:
    kinds = ("loadbalancer/app", "listener/app", "listener-rule/app", "targetgroup")
    return Grant(
        "Balancer",
        (
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:CreateListener",
            "elasticloadbalancing:CreateLoadBalancer",
            "elasticloadbalancing:CreateRule",
            "elasticloadbalancing:CreateTargetGroup",
            "elasticloadbalancing:DeleteListener",
            "elasticloadbalancing:DeleteLoadBalancer",
            "elasticloadbalancing:DeleteRule",
            "elasticloadbalancing:DeleteTargetGroup",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:ModifyListener",
            "elasticloadbalancing:ModifyListenerAttributes",
            "elasticloadbalancing:ModifyLoadBalancerAttributes",
            "elasticloadbalancing:ModifyRule",
            "elasticloadbalancing:ModifyTargetGroup",
            "elasticloadbalancing:ModifyTargetGroupAttributes",
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:RemoveTags",
            "elasticloadbalancing:SetRulePriorities",
            "elasticloadbalancing:SetSecurityGroups",
            "elasticloadbalancing:SetSubnets",
        ),
        tuple(arn(names, "elasticloadbalancing", f"{k}/{names.prefix}*") for k in kinds),
    )


def _found_balancers() -> Grant:
    return Grant(
        "FindBalancer",
        (
            "ec2:DescribeVpcs",
            "elasticloadbalancing:DescribeListenerAttributes",
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTags",
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
        ),
        ("*",),
    )


def _scaling(names: Names) -> tuple[Grant, ...]:
    """Targets have ids of AWS's making; which service they are of is a condition."""
    return (
        Grant(
            "Scaling",
            (
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:ListTagsForResource",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:TagResource",
                "application-autoscaling:UntagResource",
            ),
            (arn(names, "application-autoscaling", "scalable-target/*"),),
            {"StringEqualsIfExists": {"application-autoscaling:service-namespace": "ecs"}},
        ),
        Grant(
            "FindScaling",
            (
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:DescribeScalingPolicies",
                "cloudwatch:GetMetricData",
            ),
            ("*",),
        ),
    )


def _alarms(names: Names) -> tuple[Grant, ...]:
    dashboard = f"arn:aws:cloudwatch::{names.account}:dashboard/{names.prefix}"
    return (
        Grant(
            "Alarms",
            (
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DeleteDashboards",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:GetDashboard",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutDashboard",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ),
            (arn(names, "cloudwatch", f"alarm:{names.prefix}-*"), dashboard),
        ),
        manage_topic(names.alarms_topic_arn),
    )
