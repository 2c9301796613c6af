"""What runs write down: how far a view is, what a run does, how far a shard is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import NotFound
from mlops.objects import Document, Documents
from mlops.plan import PlannedField
from pipelines.features.buildlog import Piece

EVENT, CREATED = "__event_us", "__created_us"
OLD_EVENT, OLD_CREATED = "__old_event_us", "__old_created_us"
"""Columns of staged rows: microseconds since 1970."""
KEPT_RUNS = 20
"""Ended runs of a view whose documents are kept."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Frozen):
    """Event times that can be read online: both ends included; None is open."""

    oldest: datetime | None
    until: datetime


class Position(_Frozen):
    """How far a view is: what its last run left the online store with."""

    version: Literal[1] = 1
    run: str
    view: str
    span: Span
    through: datetime | None
    """Event time of the newest row that was loaded."""
    created: datetime | None
    """The latest created time that was seen."""
    pieces: tuple[Piece, ...] | None
    """What readers of the table saw, where it is one that we build."""
    finished: datetime


class Task(_Frozen):
    """The rows of one shard: staged files with their sizes."""

    kind: Literal["rows", "exchanges"]
    files: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files)


class RunPlan(_Frozen):
    """One run of one view, as it was decided on; its shards are in `tasks`."""

    version: Literal[1] = 1
    run: str
    view: str
    project: str
    join_keys: tuple[PlannedField, ...]
    features: tuple[PlannedField, ...]
    ttl_seconds: int
    deleted: str | None = None
    """The Bool feature that is true in a deleted row."""
    now: datetime
    """The platform's clock."""
    started: datetime
    """The machine's."""
    span: Span
    reason: str
    """Why it loads what it loads."""
    full: bool
    ties: bool
    """Whether a row takes the place of one with the same times: of a full run, and where no created
    time could tell a corrected row from the one before."""
    previous: str | None
    """The run that it goes on from."""
    pieces: tuple[Piece, ...] | None
    scanned: int
    """Bytes that Athena read."""
    tasks: tuple[Task, ...]


class Progress(_Frozen):
    """How far a shard is. A row is counted once, in the attempt that brought it into Redis."""

    server: str | None = None
    """Which Redis it was written to; one that restarted is another, since it may have lost rows."""
    file: int = 0
    rows: int = 0
    """Of that file, done."""
    done: bool = False
    read: int = 0
    written: int = 0
    older: int = 0
    """Not newer than what stood there."""
    removed: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    """Of the first refusals."""
    bytes: int = 0
    """Of packed rows, keys not counted."""
    seconds: float = 0.0
    event: datetime | None = None
    created: datetime | None = None
    """The newest that were seen."""


class RunReport(BaseModel):
    """What a run did for one view, or would do."""

    view: str
    state: Literal["loaded", "up to date", "would load"]
    run: str | None = None
    reason: str
    full: bool
    oldest: datetime | None
    until: datetime
    through: datetime | None
    rows: int = Field(ge=0)
    """Read from the offline store; in a dry run, what would be."""
    written: int = 0
    older: int = 0
    removed: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    bytes: int = 0
    """Packed, as they go to Redis; in a dry run an estimate."""
    scanned: int = 0
    """Read by Athena."""
    resumed: bool = False
    seconds: float = 0.0


class Runs:
    """The documents of one environment's runs."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    def position(self, view: str) -> tuple[Position | None, Document | None]:
        """How far the view is, and the document that a conditional write replaces."""
        try:
            document = self.documents.get(_position_key(view))
        except NotFound:
            return None, None
        return Position.model_validate_json(document.body), document

    def save_position(self, position: Position, *, replacing: Document | None) -> None:
        """Raises Conflict when another run finished meanwhile."""
        key, body = _position_key(position.view), position.model_dump_json(indent=1).encode()
        if replacing is None:
            self.documents.create(key, body)
        else:
            self.documents.put(key, body, etag=replacing.etag)

    def plan(self, view: str, run: str) -> RunPlan | None:
        """None where the run was not planned to its end."""
        try:
            document = self.documents.get(f"{_run_prefix(view, run)}plan.json")
        except NotFound:
            return None
        return RunPlan.model_validate_json(document.body)

    def save_plan(self, plan: RunPlan) -> None:
        body = plan.model_dump_json(indent=1).encode()
        self.documents.create(f"{_run_prefix(plan.view, plan.run)}plan.json", body)

    def progress(self, plan: RunPlan, task: int) -> tuple[Progress, Document | None]:
        try:
            document = self.documents.get(_task_key(plan, task))
        except NotFound:
            return Progress(), None
        return Progress.model_validate_json(document.body), document

    def save_progress(
        self, plan: RunPlan, task: int, progress: Progress, *, replacing: Document | None
    ) -> Document:
        """Raises Conflict when another process works on the same shard."""
        body = progress.model_dump_json().encode()
        if replacing is None:
            return self.documents.create(_task_key(plan, task), body)
        return self.documents.put(_task_key(plan, task), body, etag=replacing.etag)

    def save_report(self, report: RunReport) -> None:
        assert report.run is not None
        body = report.model_dump_json(indent=1).encode()
        self.documents.put(f"{_run_prefix(report.view, report.run)}report.json", body)

    def reports(self, view: str) -> Iterator[RunReport]:
        """Of ended runs, the newest first."""
        keys = [k for k in self.documents.keys(_runs_prefix(view)) if k.endswith("/report.json")]
        for key in reversed(keys):
            yield RunReport.model_validate_json(self.documents.get(key).body)

    def prune(self, view: str) -> None:
        """Forget all but the newest runs."""
        keys = list(self.documents.keys(_runs_prefix(view)))
        runs = sorted({key.removeprefix(_runs_prefix(view)).partition("/")[0] for key in keys})
        for run in runs[:-KEPT_RUNS]:
            for key in keys:
                if key.startswith(_run_prefix(view, run)):
                    self.documents.delete(key)


def _position_key(view: str) -> str:
    return f"feast/upsync/{view}/position.json"


def _runs_prefix(view: str) -> str:
    return f"feast/upsync/{view}/runs/"


def _run_prefix(view: str, run: str) -> str:
    return f"{_runs_prefix(view)}{run}/"


def _task_key(plan: RunPlan, task: int) -> str:
    return f"{_run_prefix(plan.view, plan.run)}shard-{task:04d}.json"
