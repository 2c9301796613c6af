"""Where images of services and jobs are kept: one repository each, scanned when pushed."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr

from infra.stacks.profile import Profile
from mlops.names import Names

PURPOSES = ("proxy", "inference", "training", "features", "mlflow")
"""The last stages of infra/images/*.Dockerfile."""
KEPT = 50


class Images(cdk.Stack):
    """A repository for each image."""

    def __init__(
        self, scope: cdk.App, name: str, *, names: Names, profile: Profile, env: cdk.Environment
    ) -> None:
        super().__init__(
            scope,
            name,
            env=env,
            description="Images of services and jobs",
            termination_protection=profile.keep_data,
        )
        for purpose in PURPOSES:
            ecr.CfnRepository(
                self,
                purpose.title(),
                repository_name=f"{names.prefix}-{purpose}",
                empty_on_delete=not profile.keep_data,
                image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(
                    scan_on_push=True
                ),
                lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(
                    lifecycle_policy_text=json.dumps(_lifecycle())
                ),
            )


def _lifecycle() -> dict[str, object]:
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT}
    return {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}
