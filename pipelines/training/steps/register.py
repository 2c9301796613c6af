"""The register job, where MLflow holds the registry: Step Functions has no call for it."""

from __future__ import annotations

import json
import logging

from mlops.aws import Aws
from mlops.registry.opening import open_mlflow
from mlops.settings import load_settings
from pipelines.training.container import Container, run_step
from pipelines.training.run import read_run
from pipelines.training.steps import PACKAGE, REGISTRATION

_log = logging.getLogger(__name__)


def register(container: Container) -> None:
    """Register what the export job described; an execution that is redriven does so once."""
    run = read_run(container.input("run"))
    text = (container.input("registration") / REGISTRATION).read_text(encoding="utf-8")
    settings = load_settings()
    registry = open_mlflow(settings, Aws(region=settings.region))
    version = registry.register(run.workflow, json.loads(text))
    _log.info("registered %s", version.package_arn)
    path = container.output("package") / PACKAGE
    path.write_text(json.dumps(version.package_arn), encoding="utf-8")


if __name__ == "__main__":
    run_step(register)
