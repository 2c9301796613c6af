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


_MINISTACK = {
    "s3": """
        AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload
        DeleteBucket DeleteBucketPolicy DeleteObject DeleteObjects DeleteObjectTagging
        GetBucketEncryption GetBucketLifecycleConfiguration GetBucketLocation
        GetBucketNotificationConfiguration GetBucketPolicy GetBucketTagging GetBucketVersioning
        GetObject GetObjectAttributes GetObjectTagging GetPublicAccessBlock HeadBucket HeadObject
        ListBuckets ListMultipartUploads ListObjects ListObjectsV2 ListObjectVersions ListParts
        PutBucketEncryption PutBucketLifecycleConfiguration PutBucketNotificationConfiguration
        PutBucketOwnershipControls PutBucketPolicy PutBucketTagging PutBucketVersioning PutObject
        PutObjectTagging PutPublicAccessBlock UploadPart UploadPartCopy""",
    "glue": """
        BatchCreatePartition BatchDeletePartition BatchGetPartition BatchUpdatePartition
        CreateDatabase CreatePartition CreateTable DeleteDatabase DeletePartition DeleteTable
        GetDatabase GetDatabases GetPartition GetPartitions GetTable GetTables GetTags TagResource
        UpdateDatabase UpdatePartition UpdateTable""",
    "iam": """
        AttachRolePolicy CreatePolicy CreateRole DeletePolicy DeleteRole DeleteRolePolicy
        DetachRolePolicy GetPolicy GetPolicyVersion GetRole GetRolePolicy ListAttachedRolePolicies
        ListPolicies ListRolePolicies ListRoles PutRolePolicy TagRole
        UpdateAssumeRolePolicy""",
    "sts": "AssumeRole GetCallerIdentity",
    "lambda": """
        AddPermission CreateAlias CreateFunction DeleteFunction GetFunction
        GetFunctionConfiguration GetPolicy Invoke ListFunctions ListTags ListVersionsByFunction
        PublishVersion RemovePermission TagResource UpdateFunctionCode
        UpdateFunctionConfiguration""",
    "events": """
        DeleteRule DescribeEventBus DescribeRule DisableRule EnableRule ListEventBuses ListRules
        ListRuleNamesByTarget ListTargetsByRule PutEvents PutRule PutTargets RemoveTargets
        TagResource""",
    "scheduler": """
        CreateSchedule CreateScheduleGroup DeleteSchedule DeleteScheduleGroup GetSchedule
        GetScheduleGroup ListScheduleGroups ListSchedules UpdateSchedule""",
    "dynamodb": """
        BatchGetItem BatchWriteItem CreateTable DeleteItem DeleteTable DescribeContinuousBackups
        DescribeTable DescribeTimeToLive GetItem ListTables ListTagsOfResource PutItem Query Scan
        TagResource TransactGetItems TransactWriteItems UpdateContinuousBackups UpdateItem
        UpdateTable UpdateTimeToLive""",
    "sns": """
        CreateTopic DeleteTopic GetSubscriptionAttributes GetTopicAttributes ListSubscriptions
        ListSubscriptionsByTopic ListTagsForResource ListTopics Publish PublishBatch
        SetSubscriptionAttributes SetTopicAttributes Subscribe TagResource Unsubscribe""",
    "sqs": """
        ChangeMessageVisibility CreateQueue DeleteMessage DeleteMessageBatch DeleteQueue
        GetQueueAttributes GetQueueUrl ListQueues PurgeQueue ReceiveMessage SendMessage
        SendMessageBatch SetQueueAttributes TagQueue""",
    "secretsmanager": """
        CreateSecret DeleteSecret DescribeSecret GetRandomPassword GetSecretValue ListSecrets
        PutSecretValue TagResource UpdateSecret""",
    "ssm": """
        AddTagsToResource DeleteParameter DeleteParameters DescribeParameters GetParameter
        GetParameters GetParametersByPath PutParameter""",
    "cloudformation": """
        CreateChangeSet CreateStack DeleteChangeSet DeleteStack DescribeChangeSet DescribeEvents
        DescribeStackEvents DescribeStackResource DescribeStackResources DescribeStacks
        ExecuteChangeSet GetTemplate GetTemplateSummary ListChangeSets ListExports
        ListStackResources ListStacks UpdateStack UpdateTerminationProtection
        ValidateTemplate""",
    "cloudwatch": """
        DeleteAlarms DescribeAlarms GetMetricData GetMetricStatistics ListMetrics PutMetricAlarm
        PutMetricData""",
    "logs": """
        CreateLogGroup CreateLogStream DeleteLogGroup DeleteLogStream DescribeLogGroups
        DescribeLogStreams FilterLogEvents GetLogEvents PutLogEvents PutRetentionPolicy
        TagResource""",
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
        BatchGetQueryExecution CreateWorkGroup DeleteWorkGroup GetDataCatalog GetDatabase
        GetQueryExecution GetQueryResults GetQueryRuntimeStatistics GetTableMetadata GetWorkGroup
        ListDataCatalogs ListDatabases ListQueryExecutions ListTableMetadata ListWorkGroups
        StartQueryExecution StopQueryExecution UpdateWorkGroup""",
}

_JOBS = {
    "sagemaker": """
        AddTags CreateModelPackage CreateModelPackageGroup CreateProcessingJob CreateTrainingJob
        DeleteModelPackage DeleteModelPackageGroup DeleteTags DescribeModelPackage
        DescribeModelPackageGroup DescribeProcessingJob DescribeTrainingJob ListModelPackageGroups
        ListModelPackages ListProcessingJobs ListTags ListTrainingJobs StopProcessingJob
        StopTrainingJob UpdateModelPackage""",
}

ROUTES: dict[tuple[str, str], Backend] = {
    (service, operation): backend
    for backend, services in (
        (Backend.MINISTACK, _MINISTACK),
        (Backend.MOTO, _MOTO),
        (Backend.ATHENA, _ATHENA),
        (Backend.JOBS, _JOBS),
    )
    for service, operations in services.items()
    for operation in operations.split()
}
