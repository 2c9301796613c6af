"""What the platform's AWS resources are called: one place, used by CDK and by every client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """Who acts. Each is an IAM role of its own, on AWS and locally."""

    DATA_SCIENTIST = "data-scientist"
    JENKINS = "jenkins"
    APPROVER = "approver"
    OPERATOR = "operator"
    TRAINING_JOB = "training-job"
    WORKFLOW = "workflow"
    INGESTION = "ingestion"
    FEATURE_JOB = "feature-job"
    DRIFT_JOB = "drift-job"
    SCHEDULER = "scheduler"
    WORKFLOW_DEPLOYER = "workflow-deployer"
    MODEL_DEPLOYER = "model-deployer"
    RUN_REPORTER = "run-reporter"
    NOTIFIER = "notifier"
    WEBHOOK_RECEIVER = "webhook-receiver"
    SERVING = "serving"
    HOSTING = "hosting"
    DOWNSYNC = "downsync"
    MLFLOW = "mlflow"
    INFRASTRUCTURE = "infrastructure"
    SERVICE_INFRASTRUCTURE = "service-infrastructure"


@dataclass(frozen=True)
class Names:
    """Resource names of one environment, derived and never configured one by one."""

    project: str
    env: str
    account: str
    region: str

    @property
    def prefix(self) -> str:
        return f"{self.project}-{self.env}"

    def bucket(self, purpose: str) -> str:
        return f"{self.prefix}-{purpose}-{self.account}-{self.region}"

    @property
    def data_bucket(self) -> str:
        """Raw tables and feature tables."""
        return self.bucket("data")

    @property
    def artifact_bucket(self) -> str:
        """Registry, plans, workflow code, models, deployment documents."""
        return self.bucket("artifacts")

    @property
    def staging_bucket(self) -> str:
        """Query results and unloads; a lifecycle rule empties it."""
        return self.bucket("staging")

    @property
    def assets_bucket(self) -> str:
        """Packages of Lambda code and large templates."""
        return self.bucket("assets")

    @property
    def database(self) -> str:
        return f"{self.project}_{self.env}".replace("-", "_")

    @property
    def workgroup(self) -> str:
        return self.prefix

    @property
    def topic_arn(self) -> str:
        """Failed and finished runs, versions that wait, deployments."""
        return f"arn:aws:sns:{self.region}:{self.account}:{self.prefix}-events"

    @property
    def records_table(self) -> str:
        """The append-only approval record (DynamoDB)."""
        return f"{self.prefix}-records"

    @property
    def records_table_arn(self) -> str:
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.records_table}"

    @property
    def downsync_stream(self) -> str:
        """Kinesis stream of what was served and pushed, on its way to the offline store."""
        return f"{self.prefix}-downsync"

    @property
    def downsync_stream_arn(self) -> str:
        return f"arn:aws:kinesis:{self.region}:{self.account}:stream/{self.downsync_stream}"

    @property
    def feature_jobs(self) -> str:
        """Batch compute environment, job queue and job definition of jobs that load features."""
        return f"{self.prefix}-features"

    @property
    def drift_jobs(self) -> str:
        """Batch job definition of the jobs that look for drift, on the queue of the others."""
        return f"{self.prefix}-drift"

    @property
    def feature_job_logs(self) -> str:
        return f"/aws/batch/{self.feature_jobs}"

    @property
    def redis_secret(self) -> str:
        """Secrets Manager name of the Redis password."""
        return f"{self.prefix}/redis"

    @property
    def api_keys_secret(self) -> str:
        """Secrets Manager name of the callers' hashed API keys."""
        return f"{self.prefix}/api-keys"

    def service_logs(self, purpose: str) -> str:
        """Log group of what runs all the time."""
        return f"/aws/ecs/{self.prefix}-{purpose}"

    @property
    def certificate_parameter(self) -> str:
        """Parameter Store's name of the certificate's ARN that callers of the proxy see."""
        return f"/{self.prefix}/certificate"

    @property
    def domain_parameter(self) -> str:
        """Parameter Store's name of the domain whose names the balancer answers to."""
        return f"/{self.prefix}/domain"

    def mlflow_secret(
        self,
        of: Literal["database", "admin", "writer", "reader", "webhook", "encryption"],
    ) -> str:
        """Secrets Manager name of how MLflow's server enters its database, or of one of its users.

        Jobs are the writer, and own what they make; what looks at versions alone is the reader.
        By 'webhook' it signs what it tells of its registry, and by 'encryption' it keeps that key.
        """
        return f"{self.prefix}/mlflow-{of}"

    @property
    def alarms_topic_arn(self) -> str:
        """What somebody must look at: alarms, and the budget."""
        return f"arn:aws:sns:{self.region}:{self.account}:{self.prefix}-alarms"

    @property
    def slack_secret(self) -> str:
        """Secrets Manager name of the address of Slack's incoming webhook; unset is without."""
        return f"{self.prefix}/slack"

    def function(self, purpose: str) -> str:
        return f"{self.prefix}-{purpose}"

    def function_arn(self, purpose: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.function(purpose)}"

    def role_name(self, role: Role) -> str:
        return f"{self.prefix}-{role.value}"

    def role_arn(self, role: Role) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.role_name(role)}"

    def state_machine_arn(self, workflow: str) -> str:
        return f"arn:aws:states:{self.region}:{self.account}:stateMachine:{self.prefix}-{workflow}"

    def start_rule(self, workflow: str, why: str) -> str:
        """The rule of EventBridge by which a workflow starts by itself."""
        return f"{self.prefix}-start-{workflow}-{why}"

    def image(self, purpose: str) -> str:
        """The container image of jobs or services, in the account's own registry."""
        registry = f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"
        return f"{registry}/{self.prefix}-{purpose}:latest"

    def model_group(self, model: str) -> str:
        return f"{self.prefix}-{model}"
