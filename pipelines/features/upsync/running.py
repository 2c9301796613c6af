"""One view from its last run to now: what was left is finished first, then what is new."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mlops.clock import Clock
from mlops.errors import MlopsError, NotFound, Unavailable
from mlops.objects import Documents
from mlops.stores.athena.staging import Storage
from pipelines.features.buildlog import Piece
from pipelines.features.lease import Lease, Leases
from pipelines.features.materialized import note_interval
from pipelines.features.upsync.changes import Selection, select, timing_of
from pipelines.features.upsync.loading import Loader, Patience
from pipelines.features.upsync.online import OnlineTarget
from pipelines.features.upsync.state import Position, Progress, RunPlan, RunReport, Runs
from pipelines.features.upsync.together import TogetherLoader

_ROUNDS = 5
_PARALLEL = 3


class Plans(Protocol):
    """Decides on a run, and has its rows staged."""

    def pieces(self, view: Any) -> tuple[Piece, ...] | None:
        """What readers of the view's table see, by build; None for a table that we do not build."""

    def plan(
        self,
        view: Any,
        selection: Selection,
        *,
        run: str,
        now: datetime,
        known: Position | None,
        pieces: tuple[Piece, ...] | None,
        shards: int,
    ) -> RunPlan:
        """Unload what is selected, and say what is to be loaded from where."""

    def estimate(
        self, view: Any, selection: Selection, pieces: tuple[Piece, ...] | None
    ) -> tuple[int, int, int]:
        """Rows, packed bytes and bytes that Athena would read, of a run that is not made."""


_Steps = Generator[tuple[RunPlan, Lease], None, list[RunReport]]
Told = Callable[[str, str], None]
"""Called with a view and what just happened to it."""


@dataclass(frozen=True)
class Options:
    """How a view is loaded."""

    now: datetime
    """The platform's clock."""
    full: bool = False
    shards: int = 1
    wait: float = 0.0
    """Seconds to wait for another run of the view."""
    patience: float = 120.0
    """Seconds to wait for an online store that refuses writes."""


@dataclass(frozen=True)
class Upsync:
    """Everything that a run reads and writes, as one holder of leases."""

    planner: Plans
    runs: Runs
    registry: Documents
    """The artifact bucket, for Feast's registry."""
    leases: Leases
    storage: Storage
    online: OnlineTarget
    clock: Clock
    """The machines'."""
    holder: str
    told: Told = lambda *_: None

    def run(self, view: Any, options: Options) -> list[RunReport]:
        """Load what is new of a view; a run that somebody left is finished before.

        Raises Conflict when another run of the view is under way, Refused when the clock stands
        before the last run's and the run is not full, Unavailable when the online store does not
        take writes. Then nothing is marked as done, and the same command goes on.
        """
        return _Turn(self._turn(view, options)).finish()

    def run_all(self, views: Sequence[Any], options: Options) -> list[RunReport]:
        """Load several views: while one waits for Athena another one is written, and views of the
        same entities are written side by side.

        Raises the first error, once every other view has been loaded.
        """
        turns = [_Turn(self._turn(view, options)) for view in views]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            begun = [step for step in pool.map(_Turn.begin, turns) if step is not None]
            try:
                self._together(options, [lease for _, lease in begun]).load([p for p, _ in begun])
            except Exception as exc:  # noqa: BLE001 - it is raised again, out of each view's turn
                for turn in turns:
                    turn.fail(exc)
            started = [pool.submit(turn.finish) for turn in turns]
        return [report for done in started for report in done.result()]

    def _turn(self, view: Any, options: Options) -> _Steps:
        """One view from its lease to its record; gives out a plan before it loads it, so that
        others may load some of it.
        """
        lease = self.leases.take(view.name, self.holder, wait=options.wait)
        with _given_back(lease), lease.kept():
            reports = []
            if (left := self.left(lease)) is not None:
                self.told(view.name, f"going on with run {left.run}")
                if (report := self.complete(left, lease, options)) is not None:
                    reports.append(report.model_copy(update={"resumed": True}))
            for _ in range(_ROUNDS):
                prepared = self.prepare(view, lease, options)
                if isinstance(prepared, RunReport):
                    return [*reports, prepared]
                yield prepared, lease
                if (report := self.complete(prepared, lease, options)) is not None:
                    return [*reports, report]
        raise Unavailable(
            f"Redis lost its data while '{view.name}' was being loaded, {_ROUNDS} times. Run the "
            "command again when it is stable."
        )

    def _together(self, options: Options, leases: Sequence[Lease]) -> TogetherLoader:
        def check() -> None:
            for lease in leases:
                lease.check()

        patience = Patience(options.patience, lambda what: self.told("several views", what))
        return TogetherLoader(self.runs, self.storage, self.online, patience, check)

    def preview(self, view: Any, options: Options) -> RunReport:
        """What a run would load; nothing is changed, and no lease is needed."""
        began = time.monotonic()
        selection, pieces = self.select(view, options)
        rows = size = scanned = 0
        if not selection.is_empty:
            rows, size, scanned = self.planner.estimate(view, selection, pieces)
        known = self.known(view.name)
        return RunReport(
            view=view.name,
            state="would load" if rows or selection.gone else "up to date",
            reason=selection.reason,
            full=selection.full,
            oldest=selection.span.oldest,
            until=selection.span.until,
            through=known.through if known else None,
            rows=rows,
            bytes=size,
            scanned=scanned,
            seconds=round(time.monotonic() - began, 2),
        )

    def select(self, view: Any, options: Options) -> tuple[Selection, tuple[Piece, ...] | None]:
        """What lies between the last run and now, and what readers of the table see."""
        timing, pieces = timing_of(view), self.planner.pieces(view)
        known = self.known(view.name)
        selection = select(timing, known, pieces, now=options.now, full=options.full)
        return selection, pieces

    def known(self, view: str) -> Position | None:
        """How far the view is in this online store; None where it was replaced or is new."""
        position, _ = self.runs.position(view)
        return position if position and self.online.mark(view) == position.run else None

    def left(self, lease: Lease) -> RunPlan | None:
        """The run that a former holder left, if it can be finished."""
        plan = self.runs.plan(lease.view, lease.run) if lease.run else None
        if plan is None:
            return None
        position, _ = self.runs.position(lease.view)
        follows = plan.previous is None or (position and position.run in (plan.previous, plan.run))
        staged = {uri for task in plan.tasks for uri, _ in task.files}
        there = set()
        for folder in {uri.rpartition("/")[0] for uri in staged}:
            there |= {uri for uri, _ in self.storage.keys(f"{folder}/")}
        return plan if follows and staged <= there else None

    def prepare(self, view: Any, lease: Lease, options: Options) -> RunPlan | RunReport:
        """Plan a run; a report where nothing can have changed."""
        began = time.monotonic()
        selection, pieces = self.select(view, options)
        known = self.known(view.name)
        if selection.is_empty:
            return _up_to_date(view.name, selection, known, time.monotonic() - began)
        run = new_run(self.clock.now())
        plan = self.planner.plan(
            view,
            selection,
            run=run,
            now=options.now,
            known=known,
            pieces=pieces,
            shards=options.shards,
        )
        self.runs.save_plan(plan)
        lease.renew(run)
        return plan

    def complete(self, plan: RunPlan, lease: Lease, options: Options) -> RunReport | None:
        """Load what is left of a run and record it; None where the online store lost its data."""
        loader = self.loader(lease, options, plan.view)
        for _ in range(_ROUNDS):
            progress = []
            for number in range(len(plan.tasks)):
                progress.append(loader.load(plan, number))
                self.told(plan.view, f"shard {number + 1} of {len(plan.tasks)} loaded")
            lease.check()
            if self.is_whole(progress):
                return self.record(plan, progress)
        raise Unavailable(
            f"Redis was restarted while '{plan.view}' was being loaded, {_ROUNDS} times. Run the "
            "command again when it is stable; nothing was marked as done."
        )

    def loader(self, lease: Lease, options: Options, view: str) -> Loader:
        def told(what: str) -> None:
            self.told(view, what)

        patience = Patience(options.patience, told)
        return Loader(self.runs, self.storage, self.online, patience, lease.check)

    def is_whole(self, progress: Sequence[Progress]) -> bool:
        """Whether every shard is done, in the online store that runs now."""
        server = self.online.identity() if progress else ""
        return all(shard.done and shard.server == server for shard in progress)

    def record(self, plan: RunPlan, progress: Sequence[Progress]) -> RunReport | None:
        """Write down that a run is done: in Feast's registry, in S3, and in the online store.

        Its mark comes last: a run that is not marked is loaded again, and never missed. None where
        the rows that the run goes on from are there no more.
        """
        position, document = self.runs.position(plan.view)
        if position is None or position.run != plan.run:
            if plan.previous is not None and self.online.mark(plan.view) != plan.previous:
                return None
            note_interval(self.registry, plan.view, plan.span.oldest, plan.span.until)
            position = self._position(plan, position, progress)
            self.runs.save_position(position, replacing=document)
        self.online.set_mark(plan.view, plan.run)
        report = report_of(plan, position, progress, self.clock.now())
        self.runs.save_report(report)
        self.runs.prune(plan.view)
        self.storage.delete(uri for task in plan.tasks for uri, _ in task.files)
        return report

    def _position(
        self, plan: RunPlan, before: Position | None, progress: Sequence[Progress]
    ) -> Position:
        """What was seen before counts as long as the run goes on from it."""
        seen = before if plan.previous is not None else None
        events = [shard.event for shard in progress] + [seen.through if seen else None]
        created = [shard.created for shard in progress] + [seen.created if seen else None]
        return Position(
            run=plan.run,
            view=plan.view,
            span=plan.span,
            through=max(filter(None, events), default=None),
            created=max(filter(None, created), default=None),
            pieces=plan.pieces,
            finished=self.clock.now(),
        )


class _Turn:
    """A view's turn, in steps."""

    def __init__(self, steps: _Steps) -> None:
        self._steps = steps
        self._reports: list[RunReport] | None = None
        self._error: BaseException | None = None

    def begin(self) -> tuple[RunPlan, Lease] | None:
        """Go on to the next plan; None at the end."""
        try:
            return next(self._steps)
        except StopIteration as end:
            self._reports = end.value
        except Exception as exc:  # noqa: BLE001 - `finish` raises it
            self._error = exc
        return None

    def fail(self, error: Exception) -> None:
        """End the turn with an error, unless it has ended."""
        if self._reports is None and self._error is None:
            try:
                self._steps.throw(error)
            except Exception as exc:  # noqa: BLE001 - as above
                self._error = exc

    def finish(self) -> list[RunReport]:
        """Go on to the end. Raises what the turn raised."""
        while self._reports is None and self._error is None:
            self.begin()
        if self._error is not None:
            raise self._error
        assert self._reports is not None
        return self._reports


@contextmanager
def _given_back(lease: Lease) -> Iterator[None]:
    """Whatever ends the block early leaves its run to whoever comes next."""
    try:
        yield
    except BaseException:
        with suppress(MlopsError):  # it runs out by itself; what ended the block must be told
            lease.release(unfinished=True)
        raise
    else:
        lease.release()


def new_run(now: datetime) -> str:
    """A name that sorts by when it was given."""
    return f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def report_of(
    plan: RunPlan, position: Position, progress: Sequence[Progress], now: datetime
) -> RunReport:
    read = sum(shard.read for shard in progress)
    return RunReport(
        view=plan.view,
        state="loaded" if read else "up to date",
        run=plan.run,
        reason=plan.reason,
        full=plan.full,
        oldest=plan.span.oldest,
        until=plan.span.until,
        through=position.through,
        rows=read,
        written=sum(shard.written for shard in progress),
        older=sum(shard.older for shard in progress),
        removed=sum(shard.removed for shard in progress),
        refused=sum(shard.refused for shard in progress),
        reasons=tuple(reason for shard in progress for reason in shard.reasons)[:5],
        bytes=sum(shard.bytes for shard in progress),
        scanned=plan.scanned,
        seconds=round((now - plan.started).total_seconds(), 2),
    )


def _up_to_date(
    view: str, selection: Selection, known: Position | None, seconds: float
) -> RunReport:
    return RunReport(
        view=view,
        state="up to date",
        reason=selection.reason,
        full=selection.full,
        oldest=selection.span.oldest,
        until=selection.span.until,
        through=known.through if known else None,
        rows=0,
        seconds=round(seconds, 2),
    )


def select_views(available: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """The named views, or all that are online. Raises NotFound."""
    online = {view.name: view for view in available if view.online}
    unknown = [name for name in names if name not in online]
    if unknown:
        raise NotFound(
            f"No online view is named {', '.join(unknown)}. There are "
            f"{', '.join(sorted(online)) or 'none'}; see 'mlops features list'."
        )
    return [online[name] for name in names or sorted(online)]


def is_optional(view: Any) -> bool:
    """Whether the view says that its table may be missing: not every environment has its data."""
    return str(view.tags.get("optional", "")).lower() == "true"
