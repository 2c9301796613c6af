"""What CloudFormation may do when Jenkins has it deploy: data, functions and the online store.

It may touch neither roles nor the network: whoever can change roles can give itself any right,
so the stacks of `ADMINISTERED` are deployed by an administrator. So is the budget: whoever spends
does not set the limit. What shapes services is in `service_delivery`.
"""

from __future__ import annotations

from infra.stacks.grants import Grant, arn, manage_logs, manage_topic, pass_roles
from mlops.names import Names, Role

ADMINISTERED = frozenset(
    {"identity", "service-identity", "network", "mlflow-data", "flows", "budget"}
)
"""Stacks that are deployed with the caller's own rights."""
SERVICES = frozenset({"images", "services", "mlflow", "scaling", "watch"})
"""Stacks of what runs all the time: CloudFormation deploys them as a role of their own."""


def deployed_by(purpose: str) -> Role:
    """As whom CloudFormation deploys the stack, unless an administrator does."""
    return Role.SERVICE_INFRASTRUCTURE if purpose in SERVICES else Role.INFRASTRUCTURE


def deploy_stacks(names: Names) -> tuple[Grant, ...]:
    """The grants of the role that CloudFormation acts as."""
    return (
        *_buckets(names),
        *_messages(names),
        *_functions(names),
        *_catalog(names),
        _records(names),
        _stream(names),
        *_jobs(names),
        *_online_store(names),
    )


def _buckets(names: Names) -> tuple[Grant, ...]:
    bucket = f"arn:aws:s3:::{names.prefix}-*"
    return (
        Grant(
            "Buckets",
            (
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:GetBucketLocation",
                "s3:GetBucketNotification",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPolicy",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:ListBucket",
                "s3:ListTagsForResource",
                "s3:PutBucketNotification",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:TagResource",
                "s3:UntagResource",
            ),
            (bucket,),
        ),
        Grant(
            "Code",
            ("s3:GetObject", "s3:GetObjectVersion"),
            (f"arn:aws:s3:::{names.assets_bucket}/*",),
        ),
    )


def _messages(names: Names) -> tuple[Grant, ...]:
    return (
        manage_topic(names.topic_arn),
        Grant(
            "Secrets",
            (
                "secretsmanager:CreateSecret",
                "secretsmanager:DeleteSecret",
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:TagResource",
                "secretsmanager:UntagResource",
                "secretsmanager:UpdateSecret",
            ),
            (arn(names, "secretsmanager", f"secret:{names.prefix}/*"),),
        ),
        Grant("Passwords", ("secretsmanager:GetRandomPassword",), ("*",)),
    )


def _functions(names: Names) -> tuple[Grant, ...]:
    deployers = (
        *(Role.WORKFLOW_DEPLOYER, Role.MODEL_DEPLOYER, Role.RUN_REPORTER),
        *(Role.NOTIFIER, Role.WEBHOOK_RECEIVER),
    )
    return (
        _lambdas(names),
        pass_roles("RunFunctionsAsTheirRoles", names, "lambda", *deployers),
        _function_logs(names),
        Grant("FindLogs", ("logs:DescribeLogGroups",), ("*",)),
        _rules(names),
        Grant(
            "ReadDomain",
            ("ssm:GetParameters",),
            (arn(names, "ssm", f"parameter{names.domain_parameter}"),),
        ),
    )


def _lambdas(names: Names) -> Grant:
    return Grant(
        "Functions",
        (
            "lambda:AddPermission",
            "lambda:CreateFunction",
            "lambda:DeleteFunction",
            "lambda:DeleteFunctionEventInvokeConfig",
            "lambda:GetFunction",
            "lambda:GetFunctionCodeSigningConfig",
            "lambda:GetFunctionConfiguration",
            "lambda:GetFunctionEventInvokeConfig",
            "lambda:GetFunctionRecursionConfig",
            "lambda:GetPolicy",
            "lambda:GetRuntimeManagementConfig",
            "lambda:ListTags",
            "lambda:PutFunctionEventInvokeConfig",
            "lambda:RemovePermission",
            "lambda:TagResource",
            "lambda:UntagResource",
            "lambda:UpdateFunctionCode",
            "lambda:UpdateFunctionConfiguration",
            "lambda:UpdateFunctionEventInvokeConfig",
        ),
        (arn(names, "lambda", f"function:{names.prefix}-*"),),
    )


def _function_logs(names: Names) -> Grant:
    kinds = ("lambda", "batch")
    return manage_logs(
        *(arn(names, "logs", f"log-group:/aws/{kind}/{names.prefix}-*") for kind in kinds)
    )


def _rules(names: Names) -> Grant:
    return Grant(
        "Rules",
        (
            "events:DeleteRule",
            "events:DescribeRule",
            "events:ListTagsForResource",
            "events:ListTargetsByRule",
            "events:PutRule",
            "events:PutTargets",
            "events:RemoveTargets",
            "events:TagResource",
            "events:UntagResource",
        ),
        (arn(names, "events", f"rule/{names.prefix}-*"),),
    )


def _catalog(names: Names) -> tuple[Grant, ...]:
    """Deleting a database checks its tables, and deleting a workgroup its queries."""
    return (
        Grant(
            "Database",
            (
                "glue:CreateDatabase",
                "glue:DeleteDatabase",
                "glue:GetDatabase",
                "glue:UpdateDatabase",
            ),
            (
                arn(names, "glue", "catalog"),
                arn(names, "glue", f"database/{names.database}"),
                arn(names, "glue", f"table/{names.database}/*"),
                arn(names, "glue", f"userDefinedFunction/{names.database}/*"),
            ),
        ),
        Grant(
            "Workgroup",
            (
                "athena:CreateWorkGroup",
                "athena:DeleteWorkGroup",
                "athena:GetWorkGroup",
                "athena:ListTagsForResource",
                "athena:TagResource",
                "athena:UntagResource",
                "athena:UpdateWorkGroup",
            ),
            (arn(names, "athena", f"workgroup/{names.workgroup}"),),
        ),
    )


def _records(names: Names) -> Grant:
    """The table, never its items."""
    return Grant(
        "Records",
        (
            "dynamodb:CreateTable",
            "dynamodb:DeleteResourcePolicy",
            "dynamodb:DeleteTable",
            "dynamodb:DescribeContinuousBackups",
            "dynamodb:DescribeContributorInsights",
            "dynamodb:DescribeKinesisStreamingDestination",
            "dynamodb:DescribeTable",
            "dynamodb:DescribeTimeToLive",
            "dynamodb:GetResourcePolicy",
            "dynamodb:ListTagsOfResource",
            "dynamodb:PutResourcePolicy",
            "dynamodb:TagResource",
            "dynamodb:UntagResource",
            "dynamodb:UpdateContinuousBackups",
            "dynamodb:UpdateTable",
        ),
        (names.records_table_arn,),
    )


def _stream(names: Names) -> Grant:
    """The stream, never its records."""
    return Grant(
        "Stream",
        (
            "kinesis:AddTagsToStream",
            "kinesis:CreateStream",
            "kinesis:DecreaseStreamRetentionPeriod",
            "kinesis:DeleteStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:IncreaseStreamRetentionPeriod",
            "kinesis:ListTagsForResource",
            "kinesis:ListTagsForStream",
            "kinesis:RemoveTagsFromStream",
            "kinesis:StartStreamEncryption",
            "kinesis:StopStreamEncryption",
            "kinesis:TagResource",
            "kinesis:UntagResource",
            "kinesis:UpdateShardCount",
            "kinesis:UpdateStreamMode",
        ),
        (names.downsync_stream_arn,),
    )


def _jobs(names: Names) -> tuple[Grant, ...]:
    """What Batch runs jobs on, never the jobs; and the schedule."""
    return (
        _batch(names),
        Grant(
            "FindJobs",
            (
                "batch:DescribeComputeEnvironments",
                "batch:DescribeJobDefinitions",
                "batch:DescribeJobQueues",
            ),
            ("*",),
        ),
        _schedules(names),
        pass_roles("RunJobsAsTheirRole", names, "ecs-tasks", Role.FEATURE_JOB, Role.DRIFT_JOB),
        pass_roles("ScheduleAsScheduler", names, "scheduler", Role.SCHEDULER),
        _own_role("LetBatchBeItself", names, "batch"),
    )


def _batch(names: Names) -> Grant:
    kinds = ("compute-environment", "job-queue", "job-definition")
    return Grant(
        "Jobs",
        (
            "batch:CreateComputeEnvironment",
            "batch:CreateJobQueue",
            "batch:DeleteComputeEnvironment",
            "batch:DeleteJobQueue",
            "batch:DeregisterJobDefinition",
            "batch:ListTagsForResource",
            "batch:RegisterJobDefinition",
            "batch:TagResource",
            "batch:UntagResource",
            "batch:UpdateComputeEnvironment",
            "batch:UpdateJobQueue",
        ),
        tuple(arn(names, "batch", f"{kind}/{names.prefix}-*") for kind in kinds),
    )


def _schedules(names: Names) -> Grant:
    return Grant(
        "Schedules",
        (
            "scheduler:CreateSchedule",
            "scheduler:DeleteSchedule",
            "scheduler:GetSchedule",
            "scheduler:UpdateSchedule",
        ),
        (arn(names, "scheduler", f"schedule/default/{names.prefix}-*"),),
    )


def _online_store(names: Names) -> tuple[Grant, ...]:
    return (
        _redis(names),
        _find_redis(),
        _own_role("LetElastiCacheBeItself", names, "elasticache"),
    )


def _redis(names: Names) -> Grant:
    kinds = ("cluster", "parametergroup", "replicationgroup", "snapshot", "subnetgroup")
    return Grant(
        "OnlineStore",
        (
            "elasticache:AddTagsToResource",
            "elasticache:CreateCacheParameterGroup",
            "elasticache:CreateCacheSubnetGroup",
            "elasticache:CreateReplicationGroup",
            "elasticache:CreateSnapshot",
            "elasticache:DecreaseReplicaCount",
            "elasticache:DeleteCacheParameterGroup",
            "elasticache:DeleteCacheSubnetGroup",
            "elasticache:DeleteReplicationGroup",
            "elasticache:DescribeCacheClusters",
            "elasticache:DescribeCacheParameterGroups",
            "elasticache:DescribeCacheParameters",
            "elasticache:DescribeCacheSubnetGroups",
            "elasticache:DescribeReplicationGroups",
            "elasticache:IncreaseReplicaCount",
            "elasticache:ListTagsForResource",
            "elasticache:ModifyCacheParameterGroup",
            "elasticache:ModifyCacheSubnetGroup",
            "elasticache:ModifyReplicationGroup",
            "elasticache:ModifyReplicationGroupShardConfiguration",
            "elasticache:RemoveTagsFromResource",
        ),
        tuple(arn(names, "elasticache", f"{kind}:{names.prefix}-*") for kind in kinds),
    )


def _find_redis() -> Grant:
    return Grant(
        "FindOnlineStore",
        (
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
            "elasticache:DescribeEngineDefaultParameters",
        ),
        ("*",),
    )


def _own_role(sid: str, names: Names, service: str) -> Grant:
    """AWS makes the service's own role where the account has none yet."""
    place = f"arn:aws:iam::{names.account}:role/aws-service-role/{service}.amazonaws.com/*"
    makers = {"StringEquals": {"iam:AWSServiceName": f"{service}.amazonaws.com"}}
    return Grant(sid, ("iam:CreateServiceLinkedRole",), (place,), makers)
