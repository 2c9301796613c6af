"""What holds model versions and their record, as variables of whoever decides or rolls out."""

from __future__ import annotations

from infra.stacks.profile import Profile
from mlops.names import Names

RECORDS = "dynamodb"
"""On AWS the record is the environment's table: a folder is for who runs without AWS."""


def mlflow_host(names: Names) -> str:
    """By which name MLflow answers; an administrator named the domain once."""
    return f"mlflow.{{{{resolve:ssm:{names.domain_parameter}}}}}"


def webhook_target(names: Names) -> str:
    """What the balancer hands MLflow's webhooks to; the function knows it by this name."""
    return f"{names.prefix}-webhooks"


def registry_variables(names: Names, profile: Profile) -> dict[str, str]:
    """Said and not left to what the code takes for granted, so that a template shows it."""
    variables = {"MLOPS_REGISTRY": profile.registry, "MLOPS_RECORDS": RECORDS}
    if profile.mlflow_database is None:
        return variables
    return variables | {
        "MLOPS_MLFLOW_TRACKING_URI": f"https://{mlflow_host(names)}",
        "MLOPS_MLFLOW_SECRET": names.mlflow_secret("reader"),
    }
