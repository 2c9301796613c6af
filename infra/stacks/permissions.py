"""Who may do what: the grants of every role. Values, no CDK, so that tests read them too."""

from __future__ import annotations

from collections.abc import Callable

from infra.stacks.delivery import deploy_stacks
from infra.stacks.grants import (
    LOGGED_TABLES,
    SCRATCH_TABLES,
    Grant,
    arn,
    change_catalog,
    change_endpoints,
    create_objects,
    delete_objects,
    executions,
    host_models,
    jobs,
    join_network,
    list_bucket,
    model_groups,
    model_packages,
    pass_roles,
    publish,
    pull_images,
    put_events,
    query,
    read_catalog,
    read_logs,
    read_models,
    read_objects,
    read_records,
    read_secret,
    run_feature_jobs,
    see_endpoints,
    see_shards,
    state_machines,
    take_events,
    tell_bus,
    watch_feature_jobs,
    write_logs,
    write_objects,
)
from infra.stacks.service_delivery import deploy_services
from mlops import bus
from mlops.names import Names, Role
from mlops.registry.drift import seen as drift

READABLE = ("raw/", "features/", "imports/", "downsync/tables/")
"""What of the data bucket queries of people and jobs read."""

UPSYNC, DRIFT, START = "upsync", "drift", "start"
"""The workflows that load features and look for drift on schedule, and that rules start to start
another."""

JOB_LOGS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs")

UNSCOPED = {
    "batch:DescribeComputeEnvironments": "Batch describes on all resources only",
    "batch:DescribeJobDefinitions": "Batch describes on all resources only",
    "batch:DescribeJobQueues": "Batch describes on all resources only",
    "batch:DescribeJobs": "Batch describes on all resources only",
    "sagemaker:ListModelPackageGroups": "SageMaker knows no resource for listing groups",
    "sagemaker:ListModelPackages": "SageMaker knows no resource for listing packages",
    "ecr:GetAuthorizationToken": "a registry's token belongs to no repository",
    "application-autoscaling:DescribeScalableTargets": "scaling describes on all resources only",
    "application-autoscaling:DescribeScalingPolicies": "scaling describes on all resources only",
    "cloudwatch:GetMetricData": "metrics are no resources",
    **{
        f"ec2:Describe{what}": "EC2 describes on all resources only"
        for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
    },
    **{
        f"ec2:{does}": "Lambda and SageMaker make interfaces as the role, of ids that nobody knows"
        for does in (
            *("CreateNetworkInterface", "CreateNetworkInterfacePermission"),
            *("DeleteNetworkInterface", "DeleteNetworkInterfacePermission"),
        )
    },
    "ecs:DeregisterTaskDefinition": "ECS knows no resource for taking a task definition out",
    "ecs:DescribeTaskDefinition": "ECS knows no resource for describing task definitions",
    **{
        f"elasticloadbalancing:Describe{what}": "load balancing describes on all resources only"
        for what in (
            *("ListenerAttributes", "Listeners", "LoadBalancerAttributes", "LoadBalancers"),
            *("Rules", "Tags", "TargetGroupAttributes", "TargetGroups", "TargetHealth"),
        )
    },
    **{
        f"servicediscovery:{does}": "a namespace's ARN is of AWS's making"
        for does in (
            *("CreateHttpNamespace", "DeleteNamespace", "GetNamespace", "GetOperation"),
            *("ListTagsForResource", "TagResource", "UntagResource", "UpdateHttpNamespace"),
        )
    },
    "elasticache:DescribeEngineDefaultParameters": "engine defaults belong to no resource",
    "logs:DescribeLogGroups": "CloudWatch Logs describes groups on all resources",
    "secretsmanager:GetRandomPassword": "a random password belongs to no secret",
    "states:ListStateMachines": "Step Functions knows no resource for listing state machines",
}
"""Actions that AWS offers on all resources only, each with its reason."""


def grants_of(role: Role, names: Names) -> tuple[Grant, ...]:
    """What the role may do, and nothing more."""
    return _GRANTS[role](names)


def _data_scientist(names: Names) -> tuple[Grant, ...]:
    """Reads everything but secrets, writes only scratch tables and datasets, runs workflows."""
    return (
        read_objects("ReadData", names.data_bucket, *READABLE, "downsync/shards/", "datasets/"),
        write_objects("BuildDatasets", names.data_bucket, "datasets/"),
        delete_objects("RemoveDatasets", names.data_bucket, "datasets/rows/"),
        list_bucket("ListData", names.data_bucket),
        read_objects("ReadArtifacts", names.artifact_bucket, ""),
        list_bucket("ListArtifacts", names.artifact_bucket),
        *query(names),
        read_catalog(names),
        change_catalog(names, *SCRATCH_TABLES),
        *read_models(names),
        see_endpoints(names),
        read_records(names),
        *_run_workflows(names),
        see_shards(names),
        read_logs(names, *JOB_LOGS, names.feature_job_logs),
        watch_feature_jobs(),
        _see_starts(names),
    )


def _run_workflows(names: Names) -> tuple[Grant, ...]:
    return (
        Grant(
            "RunWorkflows",
            ("states:DescribeStateMachine", "states:ListExecutions", "states:StartExecution"),
            state_machines(names),
        ),
        Grant(
            "FollowWorkflows",
            (
                "states:DescribeExecution",
                "states:GetExecutionHistory",
                "states:StopExecution",
            ),
            executions(names),
        ),
        Grant("ListWorkflows", ("states:ListStateMachines",), ("*",)),
    )


def _jenkins(names: Names) -> tuple[Grant, ...]:
    """Imports data, applies and builds features, uploads and runs workflows."""
    return (
        *_write_what_jenkins_makes(names),
        *query(names),
        read_catalog(names),
        change_catalog(names, "*"),
        read_secret("LoadFeatures", names, names.redis_secret),
        read_secret("AskMlflow", names, names.mlflow_secret("reader")),
        *read_models(names),
        *_run_workflows(names),
        see_shards(names),
        read_logs(names, *JOB_LOGS, names.feature_job_logs),
        watch_feature_jobs(),
        *_start_workflows_by_rules(names),
        tell_bus(names, "TellOfData", bus.DATA),
        tell_bus(names, "TellOfDrift", bus.MODELS),
        *_deploy_infrastructure(names),
    )


def _write_what_jenkins_makes(names: Names) -> tuple[Grant, ...]:
    data, artifacts = names.data_bucket, names.artifact_bucket
    replaced = ("raw/", "features/", "imports/", "quarantine/", "datasets/rows/")
    unapplied = ("feast/plans/", "feast/flows/", "feast/removals/", "feast/upsync/")
    return (
        read_objects("ReadData", data, ""),
        write_objects("WriteData", data, ""),
        delete_objects("ReplaceData", data, *replaced),
        list_bucket("ListData", data),
        read_objects("ReadArtifacts", artifacts, ""),
        write_objects("Apply", artifacts, "feast/", "workflows/", "approval/", drift.KEY),
        delete_objects("Unapply", artifacts, *unapplied),
        list_bucket("ListArtifacts", artifacts),
    )


def _start_workflows_by_rules(names: Names) -> tuple[Grant, ...]:
    """Change what starts workflows by itself, which acts as the scheduler."""
    return (
        Grant(
            "ChangeStarts",
            (
                "events:DeleteRule",
                "events:DisableRule",
                "events:EnableRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
            ),
            _start_rules(names),
        ),
        _see_starts(names),
        Grant(
            "StartAsScheduler",
            ("iam:PassRole",),
            (names.role_arn(Role.SCHEDULER),),
            {"StringEquals": {"iam:PassedToService": "events.amazonaws.com"}},
        ),
    )


def _see_starts(names: Names) -> Grant:
    actions = ("events:DescribeRule", "events:ListTargetsByRule")
    return Grant("SeeStarts", actions, _start_rules(names))


def _start_rules(names: Names) -> tuple[str, ...]:
    return (arn(names, "events", f"rule/{names.start_rule('*', '*')}"),)


def _deploy_infrastructure(names: Names) -> tuple[Grant, ...]:
    """Have CloudFormation deploy as the role of the infrastructure, and only as that."""
    stacks = f"arn:aws:cloudformation:{names.region}:{names.account}:stack/{names.prefix}-*/*"
    return (
        Grant(
            "DeployStacks",
            (
                "cloudformation:CreateChangeSet",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:UpdateTerminationProtection",
            ),
            (stacks,),
        ),
        pass_roles(
            "DeployAsInfrastructure",
            names,
            "cloudformation",
            Role.INFRASTRUCTURE,
            Role.SERVICE_INFRASTRUCTURE,
        ),
        read_objects("ReadCode", names.assets_bucket, ""),
        write_objects("UploadCode", names.assets_bucket, "lambdas/", "templates/"),
        list_bucket("ListCode", names.assets_bucket),
    )


def _approver(names: Names) -> tuple[Grant, ...]:
    """Decides on model versions, on the record; changes nothing else."""
    return (
        read_objects(
            "ReadModelFiles", names.artifact_bucket, "models/", "deployments/", "approval/"
        ),
        list_bucket("ListModelFiles", names.artifact_bucket),
        read_objects("ReadLineage", names.data_bucket, "datasets/records/", "imports/"),
        list_bucket("ListLineage", names.data_bucket),
        *read_models(names),
        see_endpoints(names),
        Grant("Decide", ("sagemaker:UpdateModelPackage",), model_packages(names)),
        read_records(names),
        Grant("Record", ("dynamodb:PutItem",), (names.records_table_arn,)),
        Grant("Audit", ("dynamodb:Scan",), (names.records_table_arn,)),
        tell_bus(names, "TellOfDecisions", bus.REGISTRY),
    )


def _operator(names: Names) -> tuple[Grant, ...]:
    """Changes which approved versions an endpoint serves, on the record; approves none."""
    return (
        *change_endpoints(names),
        read_objects("ReadObserved", names.artifact_bucket, "observed/"),
        list_bucket("ListDeployments", names.artifact_bucket),
        see_endpoints(names),
        publish(names),
    )


def _training_job(names: Names) -> tuple[Grant, ...]:
    """Joins features, trains, and writes what it made; never registers or approves."""
    return (
        read_objects("ReadData", names.data_bucket, *READABLE, "datasets/"),
        write_objects("BuildDatasets", names.data_bucket, "datasets/rows/"),
        create_objects("RecordDatasets", names.data_bucket, "datasets/records/"),
        list_bucket("ListData", names.data_bucket),
        read_objects(
            "ReadArtifacts",
            names.artifact_bucket,
            "feast/",
            "workflows/",
            "runs/",
            "models/",
            "mlflow/",
        ),
        write_objects("WriteArtifacts", names.artifact_bucket, "runs/", "models/", "mlflow/"),
        list_bucket("ListArtifacts", names.artifact_bucket),
        *query(names),
        read_catalog(names),
        change_catalog(names, *SCRATCH_TABLES),
        *read_models(names),
        read_secret("TellMlflow", names, names.mlflow_secret("writer")),
        join_network(),
        *pull_images(names),
        _write_job_logs(names),
    )


def _write_job_logs(names: Names) -> Grant:
    """SageMaker makes the log of a job as the job's role."""
    return Grant(
        "WriteLogs",
        (
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ),
        tuple(
            f"arn:aws:logs:{names.region}:{names.account}:log-group:{group}*" for group in JOB_LOGS
        ),
    )


def _ingestion(names: Names) -> tuple[Grant, ...]:
    """Takes in what a warehouse hands over: writes raw payments, and nothing else."""
    kept = ("raw/", "imports/", "quarantine/")
    return (
        read_objects("ReadDelivery", names.data_bucket, "landing/", *kept),
        write_objects("WritePayments", names.data_bucket, *kept),
        delete_objects("SweepPayments", names.data_bucket, *kept),
        list_bucket("ListData", names.data_bucket),
        *query(names),
        read_catalog(names),
        change_catalog(names, "payments", "payments_rows", "import_*"),
        tell_bus(names, "TellOfData", bus.DATA),
        *pull_images(names),
        _write_job_logs(names),
    )


def _workflow(names: Names) -> tuple[Grant, ...]:
    """Starts the jobs of a run, reads what they wrote down, registers the model."""
    return (
        _run_jobs(names),
        pass_roles("ActAsTrainingJob", names, "sagemaker", Role.TRAINING_JOB),
        _await_jobs(names),
        *run_feature_jobs(names),
        Grant("SeeWhoseTurn", ("states:DescribeExecution",), executions(names)),
        Grant("StartForRules", ("states:StartExecution",), state_machines(names)),
        read_objects("ReadMetrics", names.artifact_bucket, "runs/", "feast/upsync/", "drift/"),
        write_objects("RecordRun", names.artifact_bucket, "runs/", drift.KEY),
        list_bucket("ListRuns", names.artifact_bucket),
        _register(names),
        publish(names),
        tell_bus(names, "TellOfDrift", bus.MODELS),
    )


def _run_jobs(names: Names) -> Grant:
    return Grant(
        "RunJobs",
        (
            "sagemaker:AddTags",
            "sagemaker:CreateHyperParameterTuningJob",
            "sagemaker:CreateProcessingJob",
            "sagemaker:CreateTrainingJob",
            "sagemaker:DescribeHyperParameterTuningJob",
            "sagemaker:DescribeProcessingJob",
            "sagemaker:DescribeTrainingJob",
            "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
            "sagemaker:StopHyperParameterTuningJob",
            "sagemaker:StopProcessingJob",
            "sagemaker:StopTrainingJob",
        ),
        jobs(names),
    )


def _register(names: Names) -> Grant:
    return Grant(
        "Register",
        (
            "sagemaker:AddTags",
            "sagemaker:CreateModelPackage",
            "sagemaker:CreateModelPackageGroup",
            "sagemaker:DescribeModelPackageGroup",
        ),
        (*model_groups(names), *model_packages(names)),
    )


def _await_jobs(names: Names) -> Grant:
    """Step Functions waits for '.sync' jobs by rules of its own making."""
    rules = (
        "StepFunctionsGetEventsForBatchJobsRule",
        "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
        "StepFunctionsGetEventsForSageMakerTuningJobsRule",
    )
    return Grant(
        "AwaitJobs",
        ("events:DescribeRule", "events:PutRule", "events:PutTargets"),
        tuple(f"arn:aws:events:{names.region}:{names.account}:rule/{rule}" for rule in rules),
    )


def _feature_job(names: Names) -> tuple[Grant, ...]:
    """Loads features from their tables into Redis, and writes down how far."""
    return (
        read_objects("ReadData", names.data_bucket, *READABLE),
        list_bucket("ListData", names.data_bucket),
        read_objects("ReadArtifacts", names.artifact_bucket, "feast/", "workflows/"),
        write_objects("RecordRuns", names.artifact_bucket, "feast/upsync/", "feast/registry.db"),
        delete_objects("ForgetRuns", names.artifact_bucket, "feast/upsync/"),
        list_bucket("ListArtifacts", names.artifact_bucket),
        *query(names),
        read_catalog(names),
        read_secret("LoadFeatures", names, names.redis_secret),
        *pull_images(names),
        write_logs(names, names.feature_job_logs),
    )


def _drift_job(names: Names) -> tuple[Grant, ...]:
    """Holds what was served against manifests, and writes down what it found; tells nobody."""
    return (
        read_objects("ReadServed", names.data_bucket, "downsync/tables/"),
        list_bucket("ListServed", names.data_bucket),
        read_objects(
            "ReadModelFiles",
            names.artifact_bucket,
            "deployments/",
            "models/",
            "drift/",
            "workflows/",
        ),
        write_objects("ReportDrift", names.artifact_bucket, "drift/.executions/"),
        list_bucket("ListModelFiles", names.artifact_bucket),
        *query(names),
        read_catalog(names),
        *read_models(names),
        read_secret("AskMlflow", names, names.mlflow_secret("reader")),
        *pull_images(names),
        write_logs(names, names.feature_job_logs),
    )


def _scheduler(names: Names) -> tuple[Grant, ...]:
    """Starts the workflows that load features, look for drift and start others, and jobs that take
    payments in, when it is time."""
    machines = tuple(names.state_machine_arn(one) for one in (UPSYNC, DRIFT, START))
    jobs_ = (f"arn:aws:sagemaker:{names.region}:{names.account}:processing-job/{names.prefix}-*",)
    return (
        Grant("StartWorkflows", ("states:StartExecution",), machines),
        Grant("StartIngestion", ("sagemaker:CreateProcessingJob",), jobs_),
        pass_roles("ActAsIngestion", names, "sagemaker", Role.INGESTION),
    )


def _workflow_deployer(names: Names) -> tuple[Grant, ...]:
    """Creates or updates the state machine that was uploaded, and notes which is current."""
    return (
        read_objects("ReadDefinitions", names.artifact_bucket, "workflows/"),
        write_objects("NoteCurrent", names.artifact_bucket, "workflows/*/current.json"),
        list_bucket("ListDefinitions", names.artifact_bucket),
        Grant(
            "DeployWorkflows",
            (
                "states:CreateStateMachine",
                "states:DescribeStateMachine",
                "states:ListTagsForResource",
                "states:TagResource",
                "states:UpdateStateMachine",
            ),
            state_machines(names),
        ),
        pass_roles("RunWorkflowsAsTheirRole", names, "states", Role.WORKFLOW),
        publish(names),
        write_logs(names, f"/aws/lambda/{names.function(Role.WORKFLOW_DEPLOYER.value)}"),
    )


def _model_deployer(names: Names) -> tuple[Grant, ...]:
    """Writes deployment documents from what the registry says and what proxies observed."""
    return (
        *read_models(names),
        *change_endpoints(names),
        read_objects("ReadModelFiles", names.artifact_bucket, "models/", "observed/"),
        delete_objects("ForgetObserved", names.artifact_bucket, "observed/"),
        read_objects("ReadBypasses", names.artifact_bucket, "bypasses/"),
        write_objects("NoteBypasses", names.artifact_bucket, "bypasses/"),
        list_bucket("ListDeployments", names.artifact_bucket),
        read_records(names),
        read_secret("AskMlflow", names, names.mlflow_secret("reader")),
        join_network(),
        publish(names),
        *host_models(names, names.role_arn(Role.HOSTING)),
        write_logs(names, f"/aws/lambda/{names.function(Role.MODEL_DEPLOYER.value)}"),
    )


def _run_reporter(names: Names) -> tuple[Grant, ...]:
    """Asks how a run ended, and tells of it."""
    return (
        Grant("SeeHowRunsEnded", ("states:DescribeExecution",), executions(names)),
        publish(names),
        write_logs(names, f"/aws/lambda/{names.function(Role.RUN_REPORTER.value)}"),
    )


def _hosting(names: Names) -> tuple[Grant, ...]:
    """Loads the one model that SageMaker unpacked for it, and writes its log."""
    return (
        read_objects("ReadModels", names.artifact_bucket, "models/"),
        list_bucket("ListModels", names.artifact_bucket),
        *pull_images(names),
        # SageMaker watches the alarms of a deployment with the rights of this role.
        Grant(
            "WatchAlarms",
            ("cloudwatch:DescribeAlarms",),
            (arn(names, "cloudwatch", f"alarm:{names.prefix}-*"),),
        ),
        Grant(
            "WriteLogs",
            (
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ),
            (arn(names, "logs", f"log-group:/aws/sagemaker/Endpoints/{names.prefix}-*"),),
        ),
    )


def _notifier(names: Names) -> tuple[Grant, ...]:
    """Reads where Slack's channel is, and nothing else."""
    return (
        read_secret("ReadWebhook", names, names.slack_secret),
        write_logs(names, f"/aws/lambda/{names.function(Role.NOTIFIER.value)}"),
    )


def _webhook_receiver(names: Names) -> tuple[Grant, ...]:
    """Takes what MLflow tells, once, and tells the bus; reads neither versions nor the record."""
    return (
        read_secret("CheckSignatures", names, names.mlflow_secret("webhook")),
        read_objects("ReadDeliveries", names.artifact_bucket, "webhooks/"),
        create_objects("NoteDeliveries", names.artifact_bucket, "webhooks/"),
        list_bucket("ListDeliveries", names.artifact_bucket),
        tell_bus(names, "TellOfChanges", bus.REGISTRY),
        write_logs(names, f"/aws/lambda/{names.function(Role.WEBHOOK_RECEIVER.value)}"),
    )


def _serving(names: Names) -> tuple[Grant, ...]:
    """Reads plans, models and deployments, and the two secrets; tells what it served."""
    return (
        read_objects("ReadModels", names.artifact_bucket, "feast/", "models/", "deployments/"),
        write_objects("TellObserved", names.artifact_bucket, "observed/"),
        list_bucket("ListModels", names.artifact_bucket),
        read_secret("ReadFeatures", names, names.redis_secret),
        read_secret("CheckCallers", names, names.api_keys_secret),
        put_events(names),
        *pull_images(names),
        write_logs(names, names.service_logs("proxy"), names.service_logs("inference")),
    )


def _downsync(names: Names) -> tuple[Grant, ...]:
    """Takes from the stream and writes its own tables; nothing of anyone else's."""
    return (
        take_events(names),
        read_objects("ReadPlans", names.artifact_bucket, "feast/"),
        list_bucket("ListPlans", names.artifact_bucket),
        read_objects("ReadOwn", names.data_bucket, "downsync/"),
        write_objects("WriteOwn", names.data_bucket, "downsync/"),
        delete_objects("ClearOwn", names.data_bucket, "downsync/"),
        list_bucket("ListOwn", names.data_bucket),
        read_catalog(names),
        change_catalog(names, *LOGGED_TABLES),
        *pull_images(names),
        write_logs(names, names.service_logs("downsync")),
    )


def _mlflow(names: Names) -> tuple[Grant, ...]:
    """Keeps what is tracked: its own database and users, and artifacts below its own prefix."""
    return (
        read_secret(
            "EnterDatabaseAndMakeUsers",
            names,
            *(
                names.mlflow_secret(of)
                for of in ("database", "admin", "writer", "reader", "encryption")
            ),
        ),
        read_objects("ReadArtifacts", names.artifact_bucket, "mlflow/"),
        write_objects("KeepArtifacts", names.artifact_bucket, "mlflow/"),
        list_bucket("ListArtifacts", names.artifact_bucket),
        *pull_images(names),
        write_logs(names, names.service_logs("mlflow")),
    )


_GRANTS: dict[Role, Callable[[Names], tuple[Grant, ...]]] = {
    Role.DATA_SCIENTIST: _data_scientist,
    Role.JENKINS: _jenkins,
    Role.APPROVER: _approver,
    Role.OPERATOR: _operator,
    Role.TRAINING_JOB: _training_job,
    Role.WORKFLOW: _workflow,
    Role.INGESTION: _ingestion,
    Role.FEATURE_JOB: _feature_job,
    Role.DRIFT_JOB: _drift_job,
    Role.SCHEDULER: _scheduler,
    Role.WORKFLOW_DEPLOYER: _workflow_deployer,
    Role.MODEL_DEPLOYER: _model_deployer,
    Role.RUN_REPORTER: _run_reporter,
    Role.NOTIFIER: _notifier,
    Role.WEBHOOK_RECEIVER: _webhook_receiver,
    Role.SERVING: _serving,
    Role.HOSTING: _hosting,
    Role.DOWNSYNC: _downsync,
    Role.MLFLOW: _mlflow,
    Role.INFRASTRUCTURE: deploy_stacks,
    Role.SERVICE_INFRASTRUCTURE: deploy_services,
}
