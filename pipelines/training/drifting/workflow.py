"""The workflow `drift` as a state machine: a job looks, and what it found is told and noted."""

from __future__ import annotations

from typing import Any

from mlops.registry.drift.seen import KEY
from pipelines.training import asl
from pipelines.training.asl import Path, State
from pipelines.training.batch import BatchWorkflow
from pipelines.training.drifting.jobs import EXECUTION, SETTINGS, report_key
from pipelines.training.drifting.settings import DEFAULTS
from pipelines.training.machine import Site

WORKFLOW = "drift"
_REPORT = "$.found.document"


def build(site: Site) -> dict[str, Any]:
    """The state machine, in the Amazon States Language."""
    names = site.names
    batch = BatchWorkflow(
        site,
        WORKFLOW,
        module="pipelines.training.drifting.jobs",
        definition=names.drift_jobs,
        execution=EXECUTION,
        settings=SETTINGS,
    )
    look = batch.job("Look", "look", replaced=_as_reader(site))
    read = batch.read("Read report", report_key("{}"), "found")
    any_drift, telling = _answered(site, batch)
    failure = batch.tell_failure()
    failed = asl.fail("Failed", error_path="$.error.Error", cause_path="$.error.Cause")
    working = [look, read, *telling]
    asl.catch_all(working, then=failure)
    asl.catch_all([failure], then=failed, result_path="$.not_told")
    asl.retry_throttled([*working, failure])
    asl.chain([failure, failed])
    return asl.definition(
        [*batch.read_input(DEFAULTS), look, read, any_drift],
        comment="Holds what every model was served of late against what it was trained on.",
        region=names.region,
    )


def _answered(site: Site, batch: BatchWorkflow) -> tuple[State, list[State]]:
    """The first of the states that tell what was found and note it, and those that may fail."""
    put, told, note = _put_events(), _tell(batch), _note(site)
    missed = batch.tell(
        "Tell what was not looked at",
        "drift: some models were not looked at",
        {"event": "drift_not_looked_for", "cause.$": f"{_REPORT}.failures"},
    )
    incomplete = asl.fail("Incomplete", error="Incomplete", cause_path=f"{_REPORT}.failures")
    failures, new, entries = (
        [asl.positive(f"{_REPORT}.{what}_count")] for what in ("failed", "new", "entries")
    )
    done = asl.succeed("Done")
    all_seen = asl.choose("All looked at", failures, then=missed, otherwise=done)
    any_new = asl.choose("Any new", new, then=told, otherwise=note)
    any_drift = asl.choose("Any drift", entries, then=put, otherwise=all_seen)
    asl.chain([put, any_new])
    asl.chain([told, note, all_seen])
    asl.chain([missed, incomplete])
    return any_drift, [put, told, note, missed]


def _as_reader(site: Site) -> dict[str, str]:
    """It looks at versions, and makes none: MLflow knows it as the reader."""
    if site.settings.mlflow_secret is None:
        return {}
    return {"MLOPS_MLFLOW_SECRET": site.names.mlflow_secret("reader")}


def _put_events() -> State:
    entries = {"Entries": Path(f"{_REPORT}.entries")}
    return asl.call("Tell the bus", "events:putEvents", entries, result_path=None)


def _tell(batch: BatchWorkflow) -> State:
    facts = {"event": "drift_found", "drifted.$": f"{_REPORT}.new"}
    return batch.tell("Tell drift", Path(f"{_REPORT}.subject"), facts)


def _note(site: Site) -> State:
    parameters = {
        "Bucket": site.names.artifact_bucket,
        "Key": KEY,
        "Body": Path(f"{_REPORT}.seen"),
        "ContentType": "application/json",
    }
    return asl.call("Note", "aws-sdk:s3:putObject", parameters, result_path=None)
