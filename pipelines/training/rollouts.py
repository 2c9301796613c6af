"""Whether what serves in an environment can roll a model's versions out as its settings say."""

from __future__ import annotations

from mlops.deploying.blue_green import unsupported
from mlops.errors import Refused
from mlops.settings import Settings
from pipelines.training.settings import TrainingSettings


def require_rollout(chosen: TrainingSettings, settings: Settings) -> None:
    """Raises Refused with all that the environment's target cannot do of the model's rollout.

    Without this a version would be trained and approved before anybody heard of it.
    """
    strategy = chosen.rollout_in(settings.env)
    if strategy is None or settings.target != "sagemaker":
        return
    if problems := unsupported(strategy):
        raise Refused(
            f"Versions of '{chosen.model}' cannot be rolled out in '{settings.env}' as its "
            f"settings say, for SageMaker's endpoints serve there: {problems}. Change 'rollouts' "
            f"in pipelines/{chosen.model}/settings.py, or the environment's 'target' in "
            "infra/stacks/profile.py."
        )
