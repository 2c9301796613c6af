"""From a batch of feature rows to keys and packed rows; what cannot be written is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mlops.errors import InputError
from mlops.stores.redis.arrow import (
    column_cells,
    created_times,
    event_times,
    row_keys,
    take_column,
)
from mlops.stores.redis.encoding import Cells, Mask, Times, pack_rows, pack_tombstones
from mlops.stores.redis.schema import NO_CREATED, TIME_LIMIT
from mlops.stores.redis.views import StoredView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Batch:
    """Feature rows of one view, as Arrow."""

    view: StoredView
    rows: pa.RecordBatch
    """Columns named as the join keys and features; others are not looked at."""
    event_time: str
    """Column of times, or of whole microseconds since 1970."""
    created: str | None = None
    """Column of the same kinds; a row without a value was created before all others. Without a
    column, all rows are created now."""
    deleted: str | None = None
    """Column of truth values: True is a row that is gone from its event time on. Without it, the
    view's own field says so, where it has one."""


@dataclass(frozen=True)
class Limits:
    """What a row may be."""

    ahead: timedelta = timedelta(minutes=5)
    """How far an event time may lie ahead of the platform's clock."""
    row_bytes: int = 1 << 20
    """A row that is larger makes every reader of its entity wait."""


@dataclass(frozen=True)
class Refusal:
    """A row that was not written."""

    row: int
    """Its place in the batch, from 0."""
    reason: str


@dataclass(frozen=True)
class Encoded:
    """Packed rows of one view and where they go, in the order of the batch."""

    view: StoredView
    keys: Sequence[bytes]
    rows: Sequence[bytes]
    refused: Sequence[Refusal] = ()
    latest: int = 0
    """The latest event time, in microseconds."""


def encode(batch: Batch, *, now: datetime, limits: Limits) -> Encoded:
    """Pack a batch. Raises InputError where a column is missing or of another type."""
    event, without = event_times(batch.rows, batch.event_time)
    if batch.created is None:
        created = np.full(len(event), to_microseconds(now))
    else:
        created = created_times(batch.rows, batch.created)
    cells = [column_cells(column, batch.rows) for column in batch.view.schema.columns]
    encoded = encode_cells(
        batch.view,
        row_keys(batch.view.keys, batch.rows),
        cells,
        np.where(without, TIME_LIMIT + 1, event),
        created,
        now=now,
        limits=limits,
        deleted=_deleted(batch),
    )
    return replace(encoded, refused=[_named(r, batch, without) for r in encoded.refused])


def encode_cells(
    view: StoredView,
    keys: Sequence[bytes | None],
    cells: Sequence[Cells],
    event: Times,
    created: Times,
    *,
    now: datetime,
    limits: Limits,
    deleted: Mask | None = None,
) -> Encoded:
    """Pack rows whose columns are taken apart already; a key of None has no value."""
    rows = pack_rows(view.schema, cells, event, created)
    deleted = _deleted_by_field(view, cells) if deleted is None else deleted
    if deleted is not None and deleted.any():
        gone = deleted.nonzero()[0]
        for place, row in zip(gone, pack_tombstones(event[gone], created[gone]), strict=True):
            rows[place] = row
    refused = list(_refusals(keys, rows, event, created, now, limits))
    if not refused:
        latest = int(event.max()) if len(event) else 0
        return Encoded(view, keys, rows, latest=latest)  # type: ignore[arg-type]  # none is None
    bad = {refusal.row for refusal in refused}
    good = [place for place in range(len(rows)) if place not in bad]
    return Encoded(
        view,
        [key for place in good if (key := keys[place]) is not None],
        [rows[place] for place in good],
        refused,
        int(event[good].max()) if good else 0,
    )


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _refusals(
    keys: Sequence[bytes | None],
    rows: Sequence[bytes],
    event: Times,
    created: Times,
    now: datetime,
    limits: Limits,
) -> Iterator[Refusal]:
    """The first fault of each bad row; looks row by row only where there is a fault."""
    newest = to_microseconds(now + limits.ahead)
    checks: list[tuple[Mask, Callable[[int], str]]] = [
        (
            np.fromiter((key is None for key in keys), np.bool_, len(keys)),
            lambda _: "a join key has no value",
        ),
        (np.abs(event) > TIME_LIMIT, lambda _: "its event time is missing, or not of 1684 to 2255"),
        (event > newest, lambda row: _too_early(int(event[row]), now, limits)),
        (
            (np.abs(created) > TIME_LIMIT) & (created != NO_CREATED),
            lambda _: "its created time is not of 1684 to 2255",
        ),
        (
            np.fromiter(map(len, rows), np.int64, len(rows)) > limits.row_bytes,
            lambda row: f"it takes {len(rows[row]):,} bytes, over {limits.row_bytes:,}",
        ),
    ]
    faults = [mask for mask, _ in checks]
    for row in np.logical_or.reduce(faults).nonzero()[0].tolist():
        reason = next(reason for mask, reason in checks if mask[row])
        yield Refusal(row, reason(row))


def _too_early(event: int, now: datetime, limits: Limits) -> str:
    ahead = timedelta(microseconds=event - to_microseconds(now))
    return (
        f"its event time lies {ahead} ahead of the clock ({now:%Y-%m-%d %H:%M:%S}), "
        f"over the {limits.ahead} that are allowed"
    )


def _named(refusal: Refusal, batch: Batch, without: Any) -> Refusal:
    names = ", ".join(batch.view.keys.names)
    if refusal.reason.startswith("a join key"):
        return replace(refusal, reason=f"a join key ({names}) has no value")
    if without[refusal.row] and "missing" in refusal.reason:
        return replace(refusal, reason=f"'{batch.event_time}' has no value")
    return refusal


def _deleted_by_field(view: StoredView, cells: Sequence[Cells]) -> Mask | None:
    if view.deleted is None:
        return None
    place = [column.name for column in view.schema.columns].index(view.deleted)
    slots = cells[place].slots
    assert slots is not None, f"{view.deleted} is Bool"
    mask: Mask = slots.astype(np.bool_) & ~cells[place].nulls
    return mask


def _deleted(batch: Batch) -> Mask | None:
    if batch.deleted is None:
        return None
    column = take_column(batch.rows, batch.deleted)
    if not pa.types.is_boolean(column.type):
        raise InputError(f"'{batch.deleted}' must be true or false; it is {column.type}.")
    mask: Mask = column.fill_null(False).to_numpy(zero_copy_only=False)
    return mask
