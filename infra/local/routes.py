"""The allow-list: every operation that the local AWS answers, and who answers it.

Services are named by their IAM prefix. What is not listed is refused with a 501 that names it:
MiniStack and moto answer much more, but for part of it with a success that never happened.
"""

from __future__ import annotations

from enum import StrEnum


class Backend(StrEnum):
    """Who answers."""

    MINISTACK = "ministack"
    MOTO = "moto"
    ATHENA = "athena"
    JOBS = "jobs"
    KINESIS = "kinesis"
    BATCH = "batch"


_MINISTACK = {
    "s3": """
        AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket
        CreateMultipartUpload DeleteBucket DeleteBucketPolicy DeleteObject DeleteObjectTagging
        DeleteObjects GetBucketEncryption GetBucketLifecycleConfiguration GetBucketLocation
        GetBucketNotificationConfiguration GetBucketPolicy GetBucketTagging GetBucketVersioning
        GetObject GetObjectTagging GetPublicAccessBlock HeadBucket HeadObject ListBuckets
        ListObjectVersions ListObjects ListObjectsV2 PutBucketEncryption
        PutBucketLifecycleConfiguration PutBucketNotificationConfiguration PutBucketPolicy
        PutBucketTagging PutBucketVersioning PutObject PutObjectTagging PutPublicAccessBlock
        UploadPart UploadPartCopy""",
    "glue": """
        BatchCreatePartition BatchGetPartition BatchUpdatePartition CreateDatabase
        CreatePartition CreateTable DeleteDatabase DeletePartition DeleteTable GetDatabase
        GetDatabases GetPartition GetPartitions GetTable GetTables UpdateDatabase UpdateTable""",
    "iam": """
        CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListRolePolicies ListRoles
        PutRolePolicy UpdateAssumeRolePolicy""",
    "sts": "AssumeRole GetCallerIdentity",
    "lambda": """
        AddPermission CreateFunction DeleteFunction GetFunction GetFunctionConfiguration
        GetPolicy Invoke ListFunctions UpdateFunctionCode UpdateFunctionConfiguration""",
    "events": """
        DeleteRule DescribeRule DisableRule EnableRule ListRuleNamesByTarget ListRules
        ListTargetsByRule PutEvents PutRule PutTargets RemoveTargets""",
    "scheduler": """
        CreateSchedule DeleteSchedule GetSchedule ListSchedules UpdateSchedule""",
    "dynamodb": """
        BatchGetItem BatchWriteItem CreateTable DeleteItem DeleteTable DescribeTable GetItem
        ListTables PutItem Query Scan TransactWriteItems UpdateItem""",
    "sns": """
        CreateTopic DeleteTopic ListSubscriptionsByTopic ListTopics Publish Subscribe
        Unsubscribe""",
    "sqs": """
        ChangeMessageVisibility CreateQueue DeleteMessage DeleteQueue GetQueueAttributes
        GetQueueUrl ReceiveMessage SendMessage""",
    "secretsmanager": """
        CreateSecret DeleteSecret DescribeSecret GetSecretValue ListSecrets PutSecretValue
        UpdateSecret""",
    "ssm": "DeleteParameter GetParameter GetParametersByPath PutParameter",
    "cloudformation": """
        CreateChangeSet CreateStack DeleteChangeSet DeleteStack DescribeChangeSet DescribeEvents
        DescribeStackEvents DescribeStackResource DescribeStackResources DescribeStacks
        ExecuteChangeSet GetTemplate ListChangeSets ListStackResources ListStacks UpdateStack
        UpdateTerminationProtection ValidateTemplate""",
    "cloudwatch": """
        DeleteAlarms DescribeAlarms GetMetricStatistics ListMetrics PutMetricAlarm PutMetricData
        SetAlarmState""",
    "logs": """
        CreateLogGroup CreateLogStream DeleteLogGroup DeleteLogStream DescribeLogGroups
        DescribeLogStreams FilterLogEvents GetLogEvents PutLogEvents PutRetentionPolicy""",
}

_MOTO = {
    "states": """
        CreateStateMachine DeleteStateMachine DescribeExecution DescribeStateMachine
        DescribeStateMachineForExecution GetExecutionHistory ListExecutions ListStateMachines
        ListTagsForResource StartExecution StopExecution TagResource UntagResource
        UpdateStateMachine""",
}

_ATHENA = {
    "athena": """
        BatchGetPreparedStatement BatchGetQueryExecution CreatePreparedStatement CreateWorkGroup
        DeletePreparedStatement DeleteWorkGroup GetDataCatalog GetDatabase GetPreparedStatement
        GetQueryExecution GetQueryResults GetQueryRuntimeStatistics GetTableMetadata GetWorkGroup
        ListDataCatalogs ListDatabases ListPreparedStatements ListQueryExecutions
        ListTableMetadata ListWorkGroups StartQueryExecution StopQueryExecution
        UpdatePreparedStatement UpdateWorkGroup""",
}

_JOBS = {
    "sagemaker": """
        AddTags CreateEndpoint CreateEndpointConfig CreateHyperParameterTuningJob CreateModel
        CreateModelPackage CreateModelPackageGroup CreateProcessingJob CreateTrainingJob
        DeleteEndpoint DeleteEndpointConfig DeleteModel DeleteModelPackage
        DeleteModelPackageGroup DeleteTags DescribeEndpoint DescribeEndpointConfig
        DescribeHyperParameterTuningJob DescribeModel DescribeModelPackage
        DescribeModelPackageGroup DescribeProcessingJob DescribeTrainingJob ListModelPackageGroups
        ListModelPackages ListProcessingJobs ListTags ListTrainingJobs
        ListTrainingJobsForHyperParameterTuningJob StopHyperParameterTuningJob StopProcessingJob
        StopTrainingJob UpdateEndpoint UpdateModelPackage""",
}

_KINESIS = {
    "kinesis": """
        CreateStream DeleteStream DescribeStream DescribeStreamSummary GetRecords
        GetShardIterator ListShards ListStreams MergeShards PutRecord PutRecords SplitShard
        UpdateShardCount""",
}

_BATCH = {
    "batch": """
        CancelJob CreateComputeEnvironment CreateJobQueue DeleteComputeEnvironment DeleteJobQueue
        DeregisterJobDefinition DescribeComputeEnvironments DescribeJobDefinitions
        DescribeJobQueues DescribeJobs ListJobs RegisterJobDefinition SubmitJob TerminateJob
        UpdateComputeEnvironment UpdateJobQueue""",
}

ROUTES: dict[tuple[str, str], Backend] = {
    (service, operation): backend
    for backend, services in (
        (Backend.MINISTACK, _MINISTACK),
        (Backend.MOTO, _MOTO),
        (Backend.ATHENA, _ATHENA),
        (Backend.JOBS, _JOBS),
        (Backend.KINESIS, _KINESIS),
        (Backend.BATCH, _BATCH),
    )
    for service, operations in services.items()
    for operation in operations.split()
}
