"""Views of the same entities loaded side by side: one call to Redis for several rows of a key.

That costs Redis half as much. It is done where it is possible, shard by shard: where the views'
keys are the same and what is staged of the shard is small enough to be sorted. Whatever is not
loaded so is loaded view by view afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.stores.athena.staging import Storage
from pipelines.features.upsync.loading import Patience, advanced, opened, view_of
from pipelines.features.upsync.online import OnlineTarget
from pipelines.features.upsync.state import Progress, RunPlan, Runs

MOST_BYTES = 64 << 20
"""Of staged files, of all views of a shard: they are in memory at once."""
_ROWS = 20_000


@dataclass(frozen=True)
class TogetherLoader:
    """Loads shards that several runs have in common."""

    runs: Runs
    storage: Storage
    online: OnlineTarget
    patience: Patience
    check: Callable[[], None]
    """Raises Conflict when a view is not ours any more; asked before every write."""

    def load(self, plans: Sequence[RunPlan]) -> None:
        """Load what can be loaded side by side."""
        for group in groups(plans):
            for number in range(len(group[0].tasks)):
                if self._fits(group, number):
                    self._load_shard(group, number)

    def _fits(self, group: Sequence[RunPlan], number: int) -> bool:
        """Small, of rows, and begun by nobody."""
        tasks = [plan.tasks[number] for plan in group]
        begun = any(self.runs.progress(plan, number)[1] is not None for plan in group)
        return (
            not begun
            and all(task.kind == "rows" for task in tasks)
            and sum(task.bytes for task in tasks) <= MOST_BYTES
        )

    def _load_shard(self, group: Sequence[RunPlan], number: int) -> None:
        tables = [self._sorted(plan, number) for plan in group]
        if not _same_keys(group, tables):
            return
        views = [view_of(plan) for plan in group]
        server = self.patience.until_it_answers(self.online.identity)
        progress = [Progress(server=server) for _ in group]
        for start in range(0, tables[0].num_rows, _ROWS):
            rows = [_slice(table, start) for table in tables]
            pairs = list(zip(views, rows, strict=True))
            self.check()
            write = partial(self.online.write_together, pairs)
            outcomes = self.patience.until_it_answers(write)
            progress = [
                advanced(before, batch, outcome, file=0, rows=start + batch.num_rows, seconds=0.0)
                for before, batch, outcome in zip(progress, rows, outcomes, strict=True)
            ]
        self.patience.until_it_answers(self.online.settle)
        if self.patience.until_it_answers(self.online.identity) == server:
            for plan, done in zip(group, progress, strict=True):
                note = done.model_copy(update={"done": True})
                self.runs.save_progress(plan, number, note, replacing=None)

    def _sorted(self, plan: RunPlan, number: int) -> pa.Table:
        """The shard's rows by key."""
        files = plan.tasks[number].files
        parts = [pq.read_table(opened(self.storage, uri, size)) for uri, size in files]
        keys = [(key.name, "ascending") for key in plan.join_keys]
        return pa.concat_tables(parts).sort_by(keys).combine_chunks()


def groups(plans: Iterable[RunPlan]) -> list[list[RunPlan]]:
    """Runs of views with the same join keys and as many shards, where there is more than one."""
    found: dict[tuple[Any, ...], list[RunPlan]] = defaultdict(list)
    for plan in plans:
        if plan.tasks and not plan.ties:
            keys = tuple(sorted((key.name, key.dtype) for key in plan.join_keys))
            found[plan.project, keys, len(plan.tasks)].append(plan)
    return [group for group in found.values() if len(group) > 1]


def _same_keys(group: Sequence[RunPlan], tables: Sequence[pa.Table]) -> bool:
    names = [key.name for key in group[0].join_keys]
    first = tables[0].select(names)
    return all(table.select(names).equals(first) for table in tables[1:])


def _slice(table: pa.Table, start: int) -> pa.RecordBatch:
    [batch] = table.slice(start, _ROWS).to_batches()
    return batch
