"""What serves an environment's endpoints, as its settings say."""

from __future__ import annotations

from mlops.aws import Aws
from mlops.deploying.sagemaker import Fleet, SageMakerTarget
from mlops.deploying.targets import ServiceTarget, Target
from mlops.objects import Documents
from mlops.settings import Settings


def open_target(settings: Settings, aws: Aws, documents: Documents) -> Target:
    """Our own services, or SageMaker's endpoints (MLOPS_TARGET)."""
    if settings.target == "service":
        return ServiceTarget(documents)
    own = ("env", "account", "region", "project")
    environment = {f"MLOPS_{name.upper()}": str(getattr(settings, name)) for name in own}
    fleet = Fleet(settings.sagemaker_instance, settings.sagemaker_instances, environment)
    return SageMakerTarget(aws, settings.names, fleet)
