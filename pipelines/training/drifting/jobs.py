"""The check as a Batch job: `python3 -m pipelines.training.drifting.jobs`.

It reads, and leaves a report for the state machine, which tells what was found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial

from pydantic import ValidationError

from mlops.aws import Aws
from mlops.deployment import list_endpoints
from mlops.errors import InputError, MlopsError
from mlops.objects import S3Documents
from mlops.registry.drift.desk import look_for_drift, read_seen
from mlops.settings import load_settings
from pipelines.training.drifting.checking import Report, check_models
from pipelines.training.drifting.settings import DriftSettings

EXECUTION, SETTINGS = "DRIFT_EXECUTION", "DRIFT_SETTINGS"
"""Variables that the state machine sets: the execution's name, and its settings as JSON."""


def report_key(execution: str) -> str:
    return f"drift/.executions/{execution}.json"


def read_settings(environ: Mapping[str, str]) -> DriftSettings:
    """Raises InputError for wrong settings."""
    try:
        return DriftSettings.model_validate_json(environ.get(SETTINGS) or "{}")
    except ValidationError as exc:
        raise InputError(
            f"Execution '{environ[EXECUTION]}' was started with wrong settings: {exc}"
        ) from exc


def check(environ: Mapping[str, str]) -> Report:
    """Look at every model, and write the report."""
    wanted, settings = read_settings(environ), load_settings(environ)
    aws = Aws(region=settings.region)
    documents = S3Documents(aws, settings.names.artifact_bucket)
    report = check_models(
        wanted.models or list_endpoints(documents),
        partial(look_for_drift, settings, aws, days=wanted.days),
        read_seen(documents),
        above=wanted.above,
        now=settings.build_clock().now(),
    )
    documents.put(report_key(environ[EXECUTION]), report.model_dump_json(indent=1).encode())
    return report


def main(environ: Mapping[str, str]) -> int:
    """The exit code is the error's, so that Batch knows what another attempt does not heal."""
    try:
        lines = check(environ).lines or ("no model is served",)
    except MlopsError as exc:
        _say(f"error: {exc}")
        return exc.exit_code
    for line in lines:
        _say(line)
    return 0


def _say(text: str) -> None:
    """Into the job's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(os.environ))
