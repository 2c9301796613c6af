"""Grants that several roles share: each a few actions on named resources. Values, no CDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.names import Names, Role

Conditions = Mapping[str, Mapping[str, str | list[str]]]


@dataclass(frozen=True)
class Grant:
    """An Allow statement: what may be done, to what, under which conditions."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Conditions | None = None


def list_bucket(sid: str, bucket: str) -> Grant:
    """List a bucket's keys. Without it S3 answers 403, not 404, for a key that is not there."""
    return Grant(sid, ("s3:ListBucket",), (_bucket_arn(bucket),))


def locate_buckets(names: Names) -> Grant:
    buckets = (names.data_bucket, names.artifact_bucket, names.staging_bucket)
    return Grant(
        "LocateBuckets",
        ("s3:GetBucketLocation", "s3:ListBucketMultipartUploads"),
        tuple(_bucket_arn(bucket) for bucket in buckets),
    )


def read_objects(sid: str, bucket: str, *prefixes: str) -> Grant:
    return Grant(sid, ("s3:GetObject", "s3:GetObjectVersion"), _objects(bucket, prefixes))


def write_objects(sid: str, bucket: str, *prefixes: str) -> Grant:
    actions = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
    return Grant(sid, actions, _objects(bucket, prefixes))


def create_objects(sid: str, bucket: str, *prefixes: str) -> Grant:
    """Write keys that do not exist yet, and never one that does."""
    conditional = {"Null": {"s3:if-none-match": "false"}}
    return Grant(sid, ("s3:PutObject",), _objects(bucket, prefixes), conditional)


def change_endpoints(names: Names) -> tuple[Grant, ...]:
    """Write deployment documents, each revision on record first, where none is ever replaced."""
    bucket = names.artifact_bucket
    return (
        read_objects("ReadDeployments", bucket, "deployments/", "rollouts/"),
        write_objects("Deploy", bucket, "deployments/"),
        create_objects("RecordDeployments", bucket, "rollouts/"),
    )


def see_endpoints(names: Names) -> Grant:
    """Say what SageMaker's endpoints are at, where they are what serves."""
    return Grant(
        "SeeEndpoints",
        ("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
        tuple(
            arn(names, "sagemaker", f"{kind}/{names.prefix}-*")
            for kind in ("endpoint", "endpoint-config")
        ),
    )


def host_models(names: Names, role_arn: str) -> tuple[Grant, ...]:
    """Have SageMaker's endpoints serve models, with the alarms that take a deployment back."""
    own = f"{names.prefix}-*"
    return (
        Grant(
            "HostModels",
            (
                "sagemaker:CreateEndpoint",
                "sagemaker:CreateEndpointConfig",
                "sagemaker:CreateModel",
                "sagemaker:DeleteEndpoint",
                "sagemaker:DescribeEndpoint",
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:UpdateEndpoint",
            ),
            tuple(
                arn(names, "sagemaker", f"{kind}/{own}")
                for kind in ("endpoint", "endpoint-config", "model")
            ),
        ),
        Grant(
            "ActAsHosting",
            ("iam:PassRole",),
            (role_arn,),
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        Grant(
            "WatchDeployments",
            (
                "cloudwatch:DescribeAlarms",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:SetAlarmState",
            ),
            (arn(names, "cloudwatch", f"alarm:{own}"),),
        ),
    )


def delete_objects(sid: str, bucket: str, *prefixes: str) -> Grant:
    return Grant(sid, ("s3:DeleteObject",), _objects(bucket, prefixes))


def query(names: Names) -> tuple[Grant, ...]:
    """Run Athena queries in the platform's workgroup and fetch their results."""
    return (
        Grant(
            "Query",
            (
                "athena:BatchGetQueryExecution",
                "athena:GetQueryExecution",
                "athena:GetQueryResults",
                "athena:GetWorkGroup",
                "athena:ListQueryExecutions",
                "athena:StartQueryExecution",
                "athena:StopQueryExecution",
            ),
            (arn(names, "athena", f"workgroup/{names.workgroup}"),),
        ),
        Grant(
            "QueryCatalog",
            ("athena:GetDataCatalog", "athena:GetDatabase", "athena:GetTableMetadata"),
            (arn(names, "athena", "datacatalog/AwsDataCatalog"),),
        ),
        read_objects("ReadResults", names.staging_bucket, ""),
        write_objects("WriteResults", names.staging_bucket, ""),
        delete_objects("ClearResults", names.staging_bucket, ""),
        list_bucket("ListResults", names.staging_bucket),
        locate_buckets(names),
    )


def read_catalog(names: Names) -> Grant:
    actions = (
        "glue:BatchGetPartition",
        "glue:GetDatabase",
        "glue:GetDatabases",
        "glue:GetPartition",
        "glue:GetPartitions",
        "glue:GetTable",
        "glue:GetTables",
    )
    return Grant("ReadCatalog", actions, _tables(names, "*"))


SCRATCH_TABLES = ("feast_entity_df_*", "_*")
"""What Feast calls the tables that it makes for a join, and drops again."""


def change_catalog(names: Names, *tables: str) -> Grant:
    """Create, change and drop tables whose names match, and their partitions."""
    actions = (
        "glue:BatchCreatePartition",
        "glue:BatchDeletePartition",
        "glue:BatchDeleteTable",
        "glue:BatchUpdatePartition",
        "glue:CreatePartition",
        "glue:CreateTable",
        "glue:DeletePartition",
        "glue:DeleteTable",
        "glue:UpdatePartition",
        "glue:UpdateTable",
    )
    return Grant("ChangeCatalog", actions, _tables(names, *tables))


def tell_bus(names: Names, sid: str, source: str) -> Grant:
    """Put events of one source on the bus."""
    bus = arn(names, "events", "event-bus/default")
    return Grant(sid, ("events:PutEvents",), (bus,), {"StringEquals": {"events:source": source}})


def pass_roles(sid: str, names: Names, service: str, *roles: Role) -> Grant:
    """Have a service act as these roles, and no other service."""
    passed = {"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}}
    return Grant(sid, ("iam:PassRole",), tuple(names.role_arn(role) for role in roles), passed)


def publish(names: Names) -> Grant:
    return Grant("TellOfEvents", ("sns:Publish",), (names.topic_arn,))


def write_logs(names: Names, *groups: str) -> Grant:
    return Grant(
        "WriteLogs",
        ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
        tuple(arn(names, "logs", f"log-group:{group}:*") for group in groups),
    )


def read_logs(names: Names, *groups: str) -> Grant:
    return Grant(
        "ReadLogs",
        ("logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"),
        tuple(arn(names, "logs", f"log-group:{group}:*") for group in groups),
    )


def put_events(names: Names) -> Grant:
    """Tell the offline store what was served and pushed."""
    return Grant("TellOfValues", ("kinesis:PutRecords",), (names.downsync_stream_arn,))


def take_events(names: Names) -> Grant:
    actions = (
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
    )
    return Grant("TakeValues", actions, (names.downsync_stream_arn,))


def see_shards(names: Names) -> Grant:
    """Say how far behind the consumers are."""
    actions = ("kinesis:DescribeStreamSummary", "kinesis:ListShards")
    return Grant("SeeShards", actions, (names.downsync_stream_arn,))


LOGGED_TABLES = ("*_served", "*_read", "*_pushed")
"""Tables of what was served, read and pushed, beside the view's own."""


def read_secret(sid: str, names: Names, *secrets: str) -> Grant:
    """Secrets Manager adds six characters of its own to a secret's ARN."""
    resources = tuple(arn(names, "secretsmanager", f"secret:{secret}-??????") for secret in secrets)
    return Grant(sid, ("secretsmanager:GetSecretValue",), resources)


def join_network() -> Grant:
    """Have the service that runs this role's code give it an address in the private network."""
    return Grant(
        "JoinNetwork",
        (
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ),
        ("*",),
    )


def read_models(names: Names) -> tuple[Grant, ...]:
    """Read the model registry of this environment. Listing cannot be scoped to a group."""
    return (
        Grant(
            "ReadModels",
            ("sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup"),
            (*model_packages(names), *model_groups(names)),
        ),
        Grant(
            "ListModels",
            ("sagemaker:ListModelPackageGroups", "sagemaker:ListModelPackages"),
            ("*",),
        ),
    )


def read_records(names: Names) -> Grant:
    return Grant("ReadRecords", ("dynamodb:GetItem", "dynamodb:Query"), (names.records_table_arn,))


def model_groups(names: Names) -> tuple[str, ...]:
    return (arn(names, "sagemaker", f"model-package-group/{names.prefix}-*"),)


def model_packages(names: Names) -> tuple[str, ...]:
    return (arn(names, "sagemaker", f"model-package/{names.prefix}-*"),)


def state_machines(names: Names) -> tuple[str, ...]:
    return (arn(names, "states", f"stateMachine:{names.prefix}-*"),)


def executions(names: Names) -> tuple[str, ...]:
    return (arn(names, "states", f"execution:{names.prefix}-*"),)


def jobs(names: Names) -> tuple[str, ...]:
    """SageMaker jobs. Their names start with the workflow's, of which there may be any."""
    return tuple(
        arn(names, "sagemaker", f"{kind}/*")
        for kind in ("hyper-parameter-tuning-job", "processing-job", "training-job")
    )


def run_feature_jobs(names: Names) -> tuple[Grant, ...]:
    """Submit Batch jobs that load features or look for drift, and wait for them or end them."""
    definitions = (names.feature_jobs, names.drift_jobs)
    place = (
        arn(names, "batch", f"job-queue/{names.feature_jobs}"),
        *(
            arn(names, "batch", f"job-definition/{one}{v}")
            for one in definitions
            for v in ("", ":*")
        ),
    )
    return (
        Grant("RunFeatureJobs", ("batch:SubmitJob",), place),
        Grant("EndFeatureJobs", ("batch:TerminateJob",), (arn(names, "batch", "job/*"),)),
        watch_feature_jobs(),
    )


def watch_feature_jobs() -> Grant:
    return Grant("WatchFeatureJobs", ("batch:DescribeJobs",), ("*",))


def pull_images(names: Names) -> tuple[Grant, ...]:
    """Read the environment's images from ECR."""
    return (
        Grant(
            "PullImages",
            (
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ),
            (arn(names, "ecr", f"repository/{names.prefix}-*"),),
        ),
        Grant("EnterRegistry", ("ecr:GetAuthorizationToken",), ("*",)),
    )


def arn(names: Names, service: str, resource: str) -> str:
    """Of a resource in the environment's account and region."""
    return f"arn:aws:{service}:{names.region}:{names.account}:{resource}"


def _bucket_arn(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket}"


def _objects(bucket: str, prefixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{_bucket_arn(bucket)}/{prefix}*" for prefix in prefixes)


def _tables(names: Names, *tables: str) -> tuple[str, ...]:
    """Glue checks the catalog and the database as well as the table."""
    return (
        arn(names, "glue", "catalog"),
        arn(names, "glue", f"database/{names.database}"),
        *(arn(names, "glue", f"table/{names.database}/{table}") for table in tables),
    )


def manage_topic(topic_arn: str) -> Grant:
    """What CloudFormation asks to make, change and remove a topic and who hears it."""
    return Grant(
        "Topic",
        (
            "sns:CreateTopic",
            "sns:DeleteTopic",
            "sns:GetDataProtectionPolicy",
            "sns:GetSubscriptionAttributes",
            "sns:GetTopicAttributes",
            "sns:ListSubscriptionsByTopic",
            "sns:ListTagsForResource",
            "sns:SetSubscriptionAttributes",
            "sns:SetTopicAttributes",
            "sns:Subscribe",
            "sns:TagResource",
            "sns:Unsubscribe",
            "sns:UntagResource",
        ),
        (topic_arn,),
    )


def manage_logs(*groups: str) -> Grant:
    """What CloudFormation asks to make, change and remove log groups. groups: their ARNs."""
    return Grant(
        "Logs",
        (
            "logs:CreateLogGroup",
            "logs:DeleteLogGroup",
            "logs:DeleteRetentionPolicy",
            "logs:ListTagsForResource",
            "logs:PutRetentionPolicy",
            "logs:TagResource",
            "logs:UntagResource",
        ),
        groups,
    )
