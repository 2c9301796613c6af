"""MLflow: one run per execution, in an experiment per model. Only this module imports mlflow."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops.aws import Aws
from mlops.registry.mlflow_rest import sign_in
from mlops.settings import Settings
from pipelines.training.graph import Graph
from pipelines.training.run import Run
from pipelines.training.search import OBJECTIVE, Trial

_SQLITE = "sqlite:///"


class Tracking:
    """The tracking store that the settings name: sqlite by default, or a server."""

    def __init__(self, settings: Settings, aws: Aws) -> None:
        import mlflow  # noqa: PLC0415  # takes seconds, and only two steps need it

        self._mlflow = mlflow
        self._names = settings.names
        # The one way to tell MLflow's client who it is.
        os.environ.update(sign_in(settings, aws, os.environ))
        mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
        if settings.mlflow_tracking_uri.startswith(_SQLITE):
            with alone(Path(settings.mlflow_tracking_uri.removeprefix(_SQLITE))):
                mlflow.search_experiments(max_results=1)

    def begin(
        self,
        run: Run,
        metrics: Mapping[str, float],
        *,
        tuned: Mapping[str, Any] | None = None,
        trials: Sequence[Trial] = (),
    ) -> str:
        """Record an execution's parameters and metrics; returns MLflow's id of the run.

        tuned: what a search found. trials: what it tried, each a run below this one.
        """
        settings = run.model_settings
        with self._mlflow.start_run(
            experiment_id=self._experiment(run.workflow), run_name=run.name, tags=_tags(run)
        ) as started:
            self._mlflow.log_params(
                {"algorithm": settings.algorithm, "seed": settings.seed, **_windows(run)}
                | settings.effective_hyperparameters
                | dict(tuned or {})
            )
            self._mlflow.log_metrics(dict(metrics))
            for trial in trials:
                self._trial(trial, started.info.experiment_id)
        return str(started.info.run_id)

    def _trial(self, trial: Trial, experiment: str) -> None:
        """A run below the one that is under way, which does not hand its experiment down."""
        with self._mlflow.start_run(
            experiment_id=experiment,
            run_name=trial.name,
            nested=True,
            tags={"job": trial.status},
        ):
            self._mlflow.log_params(dict(trial.tuned))
            if trial.value is not None:
                self._mlflow.log_metric(OBJECTIVE, trial.value)

    def finish(
        self, run_id: str, graph: Graph, metrics: Mapping[str, float], *, dataset: str
    ) -> None:
        """Add the exported model, what was measured of it, and what it was trained on."""
        import onnx  # noqa: PLC0415  # as above

        with self._mlflow.start_run(run_id=run_id):
            self._mlflow.log_metrics(dict(metrics))
            self._mlflow.set_tag("dataset", dataset)
            self._mlflow.onnx.log_model(
                onnx.load_model_from_string(graph.body),
                name="model",
                # Left to itself, MLflow loads the model in a new process to find these out.
                pip_requirements=["onnxruntime", "numpy"],
            )

    def _experiment(self, model: str) -> str:
        name = f"{self._names.prefix}-{model}"
        found = self._mlflow.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = f"s3://{self._names.artifact_bucket}/mlflow/{model}"
        return str(self._mlflow.create_experiment(name, artifact_location=location))


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """No other process is in here for the same file.

    MLflow makes its tables when a file is first used, and two runs that do so at once fail.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tags(run: Run) -> dict[str, str]:
    return {
        "execution": run.execution,
        "submitted_by": run.submitted_by,
        "trained_by": run.trained_by,
        "code_sha256": run.code_sha256,
    }


def _windows(run: Run) -> dict[str, str]:
    windows = run.windows
    return {
        "train": f"{windows.train.start:%Y-%m-%d}/{windows.train.end:%Y-%m-%d}",
        "test": f"{windows.test.start:%Y-%m-%d}/{windows.test.end:%Y-%m-%d}",
    }
