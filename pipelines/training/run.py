"""What one execution was started with: written once by the workflow, read by every job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.errors import InputError
from pipelines.training.search import TRIALS, Trial, to_trials
from pipelines.training.settings import TrainingSettings, Windows, load_defaults

RUN = "run.json"


class Run(BaseModel):
    """One execution of a workflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: str
    execution: str
    """ARN of the Step Functions execution."""
    name: str
    started: datetime
    submitted_by: str
    """ARN of the identity that started it."""
    trained_by: str
    """ARN of the role that its jobs act as."""
    code_sha256: str
    settings: Mapping[str, Any]

    @property
    def model_settings(self) -> TrainingSettings:
        """The settings, as the model's own type. Raises InputError naming what is wrong."""
        try:
            return type(load_defaults(self.workflow)).model_validate(self.settings)
        except ValidationError as exc:
            raise InputError(f"Execution '{self.name}' was started with {exc}") from exc

    @property
    def windows(self) -> Windows:
        return self.model_settings.windows(self.started.date())


def read_run(folder: Path) -> Run:
    """The run document of a job's input channel."""
    return Run.model_validate_json((folder / RUN).read_bytes())


def read_trials(folder: Path) -> list[Trial]:
    """What the run's search tried; nothing where it did not search."""
    path = folder / TRIALS
    return to_trials(json.loads(path.read_bytes())) if path.exists() else []
