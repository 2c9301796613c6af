"""Upsync as Batch jobs: `python3 -m pipelines.features.upsync.jobs plan|load|finish|give-back`.

`plan` takes the views' leases and has Athena unload what changed; `load` is a child of an array
job, or a job alone, and loads one shard; `finish` records what is done. They find each other by
the execution's name, under which `plan` and `finish` leave documents for the state machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.errors import Conflict, InputError, MlopsError, NotFound
from mlops.settings import load_settings
from pipelines.features.lease import Lease
from pipelines.features.upsync.running import Options, Upsync
from pipelines.features.upsync.settings import UpsyncSettings
from pipelines.features.upsync.site import OnlineSession
from pipelines.features.upsync.state import RunPlan, RunReport

EXECUTION, SETTINGS = "UPSYNC_EXECUTION", "UPSYNC_SETTINGS"
"""Variables that the state machine sets: the execution's name, and its settings as JSON."""
INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
LEASE_SECONDS = 900.0
"""Jobs wait for room between one another, and nobody renews a lease meanwhile."""
PLANNED, FINISHED = "planned.json", "finished.json"


class Part(BaseModel):
    """A shard of a run."""

    model_config = ConfigDict(frozen=True)

    view: str
    run: str
    task: int


class Started(BaseModel):
    """A run that is under way."""

    model_config = ConfigDict(frozen=True)

    view: str
    run: str
    left: bool
    """Whether somebody left it, so that what is new is still to be loaded when it is done."""


class Planned(BaseModel):
    """What is to be loaded; the state machine reads `parts_count` and `array_size`."""

    model_config = ConfigDict(frozen=True)

    parts: tuple[Part, ...]
    runs: tuple[Started, ...]
    parts_count: int
    array_size: int
    """Batch's arrays have two children at least; one too many has nothing to do."""
    up_to_date: tuple[RunReport, ...] = ()


class Finished(BaseModel):
    """What was loaded; the state machine reads `again`."""

    reports: tuple[RunReport, ...]
    again: bool
    """Whether runs that somebody left were finished, so that what is new is still to be loaded."""


def documents_key(execution: str, name: str) -> str:
    return f"feast/upsync/.executions/{execution}/{name}"


@dataclass(frozen=True)
class Execution:
    """One execution of the workflow, in one of its jobs."""

    name: str
    settings: UpsyncSettings
    session: OnlineSession
    upsync: Upsync

    @property
    def options(self) -> Options:
        return Options(
            self.session.now,
            full=self.settings.full,
            shards=self.settings.shards,
            wait=self.settings.wait,
            patience=self.settings.patience,
        )

    def plan(self) -> None:
        """Take every view's lease, and plan its run or go on with the one that was left."""
        views = self.session.views(self.settings.views, lambda view, what: _say(f"{view}: {what}"))
        plans: list[RunPlan] = []
        started: list[Started] = []
        up_to_date: list[RunReport] = []
        for view in views:
            lease = self._lease(view.name, wait=self.settings.wait)
            with lease.kept():
                left = self.upsync.left(lease)
                prepared = left or self.upsync.prepare(view, lease, self.options)
            if isinstance(prepared, RunReport):
                lease.release()
                up_to_date.append(prepared)
            else:
                plans.append(prepared)
                started.append(Started(view=view.name, run=prepared.run, left=left is not None))
        parts = [Part(view=p.view, run=p.run, task=n) for p in plans for n in range(len(p.tasks))]
        planned = Planned(
            parts=tuple(parts),
            runs=tuple(started),
            parts_count=len(parts),
            array_size=max(2, len(parts)),
            up_to_date=tuple(up_to_date),
        )
        self._write(PLANNED, planned)

    def load(self, index: int) -> None:
        """Load one shard; what is done already is left alone."""
        parts = self._planned().parts
        if index >= len(parts):
            _say(f"nothing to do for child {index}: there are {len(parts)} shards")
            return
        part = parts[index]
        lease = self._lease(part.view)
        with lease.kept():
            loader = self.upsync.loader(lease, self.options, part.view)
            progress = loader.load(self._run(part.view, part.run), part.task)
        _say(f"{part.view}, shard {part.task}: {progress.model_dump_json()}")

    def finish(self) -> None:
        """Record every run; what a restarted Redis may have lost is loaded again here."""
        planned = self._planned()
        reports: list[RunReport] = list(planned.up_to_date)
        again = False
        for started in planned.runs:
            lease = self._lease(started.view)
            plan = self._run(started.view, started.run)
            with lease.kept():
                report = self.upsync.complete(plan, lease, self.options)
            lease.release()
            again = again or report is None or started.left
            reports += [report] if report else []
        self._write(FINISHED, Finished(reports=tuple(reports), again=again))

    def give_back(self) -> None:
        """Leave the runs to the next execution, at once instead of when the leases run out."""
        views = self.session.views(self.settings.views)
        for view in views:
            try:
                self._lease(view.name).release(unfinished=True)
            except Conflict as exc:
                _say(str(exc))

    def _lease(self, view: str, *, wait: float = 0.0) -> Lease:
        return self.upsync.leases.take(view, self.upsync.holder, wait=wait)

    def _planned(self) -> Planned:
        try:
            document = self.session.artifacts.get(documents_key(self.name, PLANNED))
        except NotFound as exc:
            raise NotFound(f"Execution '{self.name}' has planned nothing.") from exc
        return Planned.model_validate_json(document.body)

    def _run(self, view: str, run: str) -> RunPlan:
        plan = self.upsync.runs.plan(view, run)
        if plan is None:
            raise NotFound(f"Run {run} of view '{view}' is gone. Start the workflow again.")
        return plan

    def _write(self, name: str, document: BaseModel) -> None:
        body = document.model_dump_json(indent=1).encode()
        self.session.artifacts.put(documents_key(self.name, name), body)
        _say(body.decode())


def open_execution(environ: Mapping[str, str]) -> Execution:
    """From the variables that the state machine set. Raises InputError for wrong settings."""
    name = environ[EXECUTION]
    try:
        settings = UpsyncSettings.model_validate_json(environ.get(SETTINGS) or "{}")
    except ValidationError as exc:
        raise InputError(f"Execution '{name}' was started with wrong settings: {exc}") from exc
    platform = load_settings({**environ, "MLOPS_CLOCK": settings.clock})
    session = OnlineSession(platform)
    upsync = session.upsync(
        f"execution {name}", told=lambda view, what: _say(f"{view}: {what}"), seconds=LEASE_SECONDS
    )
    return Execution(name, settings, session, upsync)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit code is the error's, so that Batch knows what another attempt does not heal."""
    try:
        execution = open_execution(environ)
        does: dict[str, Any] = {
            "plan": execution.plan,
            "load": lambda: execution.load(int(environ.get(INDEX, "0"))),
            "finish": execution.finish,
            "give-back": execution.give_back,
        }
        does[arguments[0]]()
    except MlopsError as exc:
        _say(f"error: {exc}")
        return exc.exit_code
    return 0


def _say(text: str) -> None:
    """Into the job's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
