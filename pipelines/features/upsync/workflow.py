"""The upsync workflow as a state machine: plan, load in an array of jobs, record.

It is compiled, checked and deployed as the training workflows are, and runs on schedule.
"""

from __future__ import annotations

from typing import Any

from mlops.errors import Conflict
from pipelines.features.upsync.jobs import EXECUTION, FINISHED, PLANNED, SETTINGS, documents_key
from pipelines.features.upsync.settings import DEFAULTS
from pipelines.training import asl
from pipelines.training.asl import Path, State
from pipelines.training.batch import BatchWorkflow
from pipelines.training.executions import BUSY
from pipelines.training.machine import Site

WORKFLOW = "upsync"


def build(site: Site) -> dict[str, Any]:
    """The state machine, in the Amazon States Language.

    Raises SettingsError where the online store's address is not known.
    """
    site.settings.require_redis_url()
    return _Machine(site).definition()


class _Machine:
    """Builds the states. They carry `run` (what it was started with), `planned`, `finished`."""

    def __init__(self, site: Site) -> None:
        self._names = site.names
        self._batch = BatchWorkflow(
            site,
            WORKFLOW,
            module="pipelines.features.upsync.jobs",
            definition=site.names.feature_jobs,
            execution=EXECUTION,
            settings=SETTINGS,
        )

    def definition(self) -> dict[str, Any]:
        job, read = self._batch.job, self._batch.read
        failed = asl.fail("Failed", error_path="$.error.Error", cause_path="$.error.Cause")
        told, back = self._batch.tell_failure(), job("Give back", "give-back")
        plan = job("Plan", "plan")
        read_plan = read("Read plan", documents_key("{}", PLANNED), "planned")
        load = job("Load", "load", array_size=Path("$.planned.document.array_size"))
        finish = job("Finish", "finish")
        read_end = read("Read end", documents_key("{}", FINISHED), "end")
        done = asl.succeed("Done")
        again = asl.choose(
            "Again", [asl.is_true("$.end.document.again")], then=plan, otherwise=done
        )
        any_part = asl.positive("$.planned.document.parts_count")
        choice = asl.choose("Anything new", [any_part], then=load, otherwise=finish)
        working = [plan, read_plan, load, finish, read_end]
        asl.catch_all(working, then=back)
        asl.catch_all([back], then=told, result_path="$.not_given_back")
        asl.catch_all([told], then=failed, result_path="$.not_told")
        asl.retry_throttled([*working, back, told])
        asl.chain([back, self._busy(otherwise=told)])
        asl.chain([told, failed])
        asl.chain([load, finish, read_end, again])
        return asl.definition(
            [*self._batch.read_input(DEFAULTS), plan, read_plan, choice],
            comment="Loads features from the offline store into the online store.",
            region=self._names.region,
        )

    def _busy(self, *, otherwise: State) -> State:
        """A view that somebody else is loading is no failure; whoever hears of it, hears that."""
        cause = "Another run is loading these features; read the log of this one for who it is."
        because = asl.constant("Because", {"cause": cause}, result_path="$.busy")
        busy = asl.fail(BUSY, error=BUSY, cause_path="$.busy.cause")
        asl.chain([because, busy])
        held = f'*"ExitCode":{Conflict.exit_code},*'
        return asl.choose(
            "Is it busy", [asl.like("$.error.Cause", held)], then=because, otherwise=otherwise
        )
