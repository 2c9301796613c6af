"""What MLflow knows: its database, how it is entered, and the name that the server answers to.

An administrator's, as the network is: whoever deploys the server neither makes nor removes what it
keeps. Artifacts lie in the artifact bucket, below mlflow/.
"""

from __future__ import annotations

import json
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secrets

from infra.stacks.bucket import removal
from infra.stacks.functions import RETENTION
from infra.stacks.network import DATABASE_PORT, Network
from infra.stacks.profile import Profile
from infra.stacks.registry import mlflow_host
from infra.stacks.services import Services
from mlops.names import Names

GIB, MOST_GIB = 20, 100
ENGINE = "18"


class MlflowData(cdk.Stack):
    """PostgreSQL with TLS alone, its secrets, and a private zone of one name."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        services: Services,
        env: cdk.Environment,
    ) -> None:
        super().__init__(
            scope,
            name,
            env=env,
            description="Database, users and name of the MLflow server",
            termination_protection=profile.keep_data,
        )
        self._names, self._profile, self._network = names, profile, network
        self._secret("admin", "admin")
        self._secret("writer", "jobs")
        self._secret("reader", "reader")
        if profile.hears_mlflow:
            self._key("webhook", "What MLflow signs its webhooks with")
            self._key("encryption", "What MLflow keeps that key by: lost, webhooks are made anew")
        database = self._database(self._secret("database", "mlflow"))
        if profile.keep_data:
            database.apply_removal_policy(cdk.RemovalPolicy.SNAPSHOT)
        self._tell(self._name(services))

    def _tell(self, record: route53.CfnRecordSet) -> None:
        """What 'mlops infra env' hands to whoever asks the registry."""
        told = {
            "Registry": self._profile.registry,
            "MlflowUrl": cdk.Fn.join("", ["https://", record.ref]),
            "MlflowSecret": self._names.mlflow_secret("reader"),
        }
        for output, value in told.items():
            cdk.CfnOutput(self, output, value=value)

    def _secret(
        self, of: Literal["database", "admin", "writer", "reader"], user: str
    ) -> secrets.Secret:
        """PostgreSQL's master password takes neither slash nor at sign nor quotes."""
        return secrets.Secret(
            self,
            f"{of.title()}Password",
            secret_name=self._names.mlflow_secret(of),
            description=f"User '{user}' of the MLflow server's {of}",
            generate_secret_string=secrets.SecretStringGenerator(
                secret_string_template=json.dumps({"username": user}),
                generate_string_key="password",
                exclude_punctuation=True,
                password_length=40,
            ),
            removal_policy=removal(self._profile),
        )

    def _key(self, of: Literal["webhook", "encryption"], what: str) -> None:
        secrets.Secret(
            self,
            f"{of.title()}Key",
            secret_name=self._names.mlflow_secret(of),
            description=what,
            generate_secret_string=secrets.SecretStringGenerator(
                exclude_punctuation=True, password_length=64
            ),
            removal_policy=removal(self._profile),
        )

    def _database(self, secret: secrets.Secret) -> rds.CfnDBInstance:
        profile, called = self._profile, f"{self._names.prefix}-mlflow"
        made = rds.CfnDBInstance(
            self,
            "Database",
            db_instance_identifier=called,
            db_instance_class=profile.mlflow_database,
            engine="postgres",
            engine_version=ENGINE,
            db_name="mlflow",
            port=str(DATABASE_PORT),
            master_username=secret.secret_value_from_json("username").unsafe_unwrap(),
            master_user_password=secret.secret_value_from_json("password").unsafe_unwrap(),
            allocated_storage=str(GIB),
            max_allocated_storage=MOST_GIB,
            storage_type="gp3",
            storage_encrypted=True,
            multi_az=profile.highly_available,
            backup_retention_period=max(1, profile.cache_snapshots),
            deletion_protection=profile.keep_data,
            copy_tags_to_snapshot=True,
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            enable_cloudwatch_logs_exports=["postgresql"],
            db_subnet_group_name=self._subnets(called),
            db_parameter_group_name=self._parameters(),
            vpc_security_groups=[self._network.database],
        )
        made.node.add_dependency(self._log(called))
        secrets.CfnSecretTargetAttachment(
            self,
            "Address",
            secret_id=secret.secret_arn,
            target_id=made.ref,
            target_type="AWS::RDS::DBInstance",
        )
        return made

    def _subnets(self, called: str) -> str:
        return rds.CfnDBSubnetGroup(
            self,
            "Subnets",
            db_subnet_group_name=called,
            db_subnet_group_description="Private subnets of the MLflow server's database",
            subnet_ids=self._network.subnets,
        ).ref

    def _parameters(self) -> str:
        return rds.CfnDBParameterGroup(
            self,
            "Parameters",
            family=f"postgres{ENGINE}",
            description="TLS alone; statements that take long are told",
            parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000"},
        ).ref

    def _log(self, called: str) -> logs.LogGroup:
        """RDS would make it without an end to what it keeps."""
        return logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/rds/instance/{called}/postgresql",
            retention=RETENTION[self._profile.log_days],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )

    def _name(self, services: Services) -> route53.CfnRecordSet:
        """A zone of this one name: every other one of the domain stays who it was."""
        host = mlflow_host(self._names)
        zone = route53.CfnHostedZone(
            self,
            "Zone",
            name=host,
            vpcs=[
                route53.CfnHostedZone.VPCProperty(vpc_id=self._network.vpc, vpc_region=self.region)
            ],
        )
        return route53.CfnRecordSet(
            self,
            "Record",
            hosted_zone_id=zone.ref,
            name=host,
            type="A",
            alias_target=route53.CfnRecordSet.AliasTargetProperty(
                dns_name=services.balancer.attr_dns_name,
                hosted_zone_id=services.balancer.attr_canonical_hosted_zone_id,
            ),
        )
