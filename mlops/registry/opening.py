"""The registry, the record and the identity that the settings name; used by composition roots."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from mlops.aws import Aws
from mlops.errors import Refused
from mlops.registry.dynamodb import DynamoRecords
from mlops.registry.files import FileRecords
from mlops.registry.mlflow import MlflowRegistry
from mlops.registry.mlflow_rest import MlflowServer, open_server, os_user, sign_in
from mlops.registry.record import Records
from mlops.registry.sagemaker import SageMakerRegistry
from mlops.registry.versions import ModelRegistry
from mlops.settings import Settings


def open_registry(settings: Settings, aws: Aws) -> ModelRegistry:
    """SageMaker's, or MLflow's with the credentials of its own clients (MLFLOW_TRACKING_…)."""
    if settings.registry == "mlflow":
        return open_mlflow(settings, aws)
    return SageMakerRegistry(aws, settings.names)


def open_mlflow(settings: Settings, aws: Aws) -> MlflowRegistry:
    """Raises SettingsError where the settings name no server."""
    return MlflowRegistry(open_mlflow_server(settings, aws), settings.names)


def open_mlflow_server(settings: Settings, aws: Aws) -> MlflowServer:
    """Raises SettingsError where the settings name none."""
    return open_server(settings.mlflow_tracking_uri, sign_in(settings, aws, os.environ))


def open_records(settings: Settings, aws: Aws) -> Records:
    """The table of the environment, or a folder of files."""
    if settings.records != "dynamodb":
        return FileRecords(Path(urlsplit(settings.records).path))
    return DynamoRecords(aws, settings.names.records_table)


def identify(settings: Settings, aws: Aws) -> str:
    """Who acts, as an ARN: by AWS's word, or by that of the MLflow server that holds the registry.

    Raises Refused where that server asks nobody who they are, except on the local AWS, where the
    system's user is taken.
    """
    if settings.registry == "sagemaker":
        return aws.identity
    who = open_mlflow_server(settings, aws).identity()
    if who is None and settings.env != "local":
        raise Refused(
            f"MLflow at {settings.mlflow_tracking_uri} asks nobody who they are, so nobody can "
            "decide. Start it with 'mlflow server --app-name basic-auth'."
        )
    return who or os_user()
