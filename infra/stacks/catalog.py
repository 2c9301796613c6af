"""The Glue database of the offline store, and the workgroup that queries it."""

from __future__ import annotations

from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from constructs import Construct

from infra.stacks.profile import Profile
from mlops.names import Names


def add_catalog(scope: Construct, names: Names, profile: Profile) -> None:
    """Tables come and go with the feature definitions; the database stays."""
    glue.CfnDatabase(
        scope,
        "Database",
        catalog_id=names.account,
        database_input=glue.CfnDatabase.DatabaseInputProperty(
            name=names.database,
            description="Raw payments and feature tables",
            location_uri=f"s3://{names.data_bucket}/",
        ),
    )
    _workgroup(scope, names, profile)


def _workgroup(scope: Construct, names: Names, profile: Profile) -> None:
    """Results go to staging unless a statement names its own place.

    The configuration is not enforced: an enforced output location makes Athena refuse every
    CREATE TABLE AS with an external_location, which is how feature tables are written.
    The limit on bytes scanned holds either way.
    """
    athena.CfnWorkGroup(
        scope,
        "Workgroup",
        name=names.workgroup,
        description="Queries of the feature platform",
        recursive_delete_option=not profile.keep_data,
        work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
            enforce_work_group_configuration=False,
            publish_cloud_watch_metrics_enabled=True,
            bytes_scanned_cutoff_per_query=profile.scan_limit_gib * 1024**3,
            engine_version=athena.CfnWorkGroup.EngineVersionProperty(
                selected_engine_version="Athena engine version 3"
            ),
            result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                output_location=f"s3://{names.staging_bucket}/athena/",
                encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                    encryption_option="SSE_S3"
                ),
            ),
        ),
    )
