"""The online store as Feast knows it: `type: mlops.stores.redis.store.RedisOnlineStore`.

All of Feast's ways in and out end here: materialize, pushes, `write_to_online_store`, on-demand
views that are written, `get_online_features` and `feast serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, StrictStr

from mlops.clock import Clock, parse_clock
from mlops.errors import InputError, Refused
from mlops.stores.redis.async_link import AsyncLink, open_async_link
from mlops.stores.redis.batches import Encoded, Limits, Refusal, encode_cells, to_microseconds
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.decoding import ViewColumns
from mlops.stores.redis.feast_reads import FeastRead, FeastReads
from mlops.stores.redis.feast_views import MessageKeys, join_keys, online_view
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.removal import remove_project, remove_view
from mlops.stores.redis.responses import feast_rows, fill_response
from mlops.stores.redis.schema import NO_CREATED, TIME_LIMIT
from mlops.stores.redis.schema_book import Decoded
from mlops.stores.redis.target import parse_target
from mlops.stores.redis.values import message_cells
from mlops.stores.redis.writing import OnlineWriter, WriteReport

_TOLD = 5
"""Refused rows whose reasons an error tells."""


class RedisOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # untyped
    """`online_store` of feature_store.yaml."""

    type: Literal["mlops.stores.redis.store.RedisOnlineStore"] = (
        "mlops.stores.redis.store.RedisOnlineStore"
    )
    url: StrictStr = Field(repr=False)
    """See `mlops.stores.redis.target`."""
    clock: StrictStr = "system"
    """'system', or the instant at which the platform's clock stands."""
    future_tolerance_seconds: float = 300.0
    """How far an event time may lie ahead of the clock."""
    max_row_bytes: int = 1 << 20
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    connections: int = 32
    overwrite: bool = False
    """Write rows over newer ones, too."""


class _Call(NamedTuple):
    """What Feast hands over, in its order, for a call of `get_online_features`."""

    grouped_refs: Any
    join_key_values: Any
    join_key_by_entity: Any
    response: Any
    full_names: bool
    with_versions: bool

    def plan(self, reads: FeastReads) -> FeastRead:
        return reads.plan(self.grouped_refs, self.join_key_values, self.join_key_by_entity)

    def answer(self, read: FeastRead, columns: Sequence[ViewColumns]) -> None:
        fill_response(
            self.response,
            read,
            columns,
            full_names=self.full_names,
            with_versions=self.with_versions,
        )


class RedisOnlineStore(OnlineStore):  # type: ignore[misc]  # Feast is untyped
    """Packed rows in Redis, written newest-wins and read in one round trip."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._async_link: AsyncLink | None = None
        self._planned: dict[str, FeastReads] = {}

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    # Writing

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: Sequence[tuple[Any, dict[str, Any], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write Feast's rows; a row without a created time is created now.

        Raises InputError when rows were refused, with their reasons; the others are written.
        """
        settings = config.online_store
        clock = parse_clock(settings.clock)
        limits = Limits(
            ahead=timedelta(seconds=settings.future_tolerance_seconds),
            row_bytes=settings.max_row_bytes,
        )
        encoded = _encode(config.project, table, data, clock=clock, limits=limits)
        writer = OnlineWriter(self._open(config), clock, limits)
        reports = writer.write_encoded([[encoded]], now=clock.now(), overwrite=settings.overwrite)
        if progress is not None:
            progress(len(data))
        _raise_refused(table.name, reports[table.name])

    async def online_write_batch_async(
        self, config: Any, table: Any, data: Any, progress: Callable[[int], Any] | None
    ) -> None:
        """As `online_write_batch`, in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    # Reading

    def online_read(
        self,
        config: Any,
        table: Any,
        entity_keys: Sequence[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Per entity its event time and messages; none for what is absent or outside its TTL."""
        read = self._plan(config, table, entity_keys, requested_features)
        return feast_rows(read.requests[0], self._read(config, read)[0])

    async def online_read_async(
        self,
        config: Any,
        table: Any,
        entity_keys: Sequence[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        read = self._plan(config, table, entity_keys, requested_features)
        return feast_rows(read.requests[0], (await self._read_async(config, read))[0])

    def _read_features_per_fv(self, config: Any, *asked: Any) -> None:
        """What Feast calls for `get_online_features`: all views in one round trip."""
        call = _Call(*asked)
        read = call.plan(self._reads(config))
        call.answer(read, self._read(config, read))

    async def _read_features_per_fv_async(self, config: Any, *asked: Any) -> None:
        call = _Call(*asked)
        read = call.plan(self._reads(config))
        call.answer(read, await self._read_async(config, read))

    def _plan(
        self, config: Any, table: Any, keys: Sequence[Any], requested: list[str] | None
    ) -> FeastRead:
        names = requested or [feature.name for feature in table.features]
        return self._reads(config).plan_keys(table, keys, names)

    def _read(self, config: Any, read: FeastRead) -> list[ViewColumns]:
        link = self._open(config)
        found = self._decoded(config, read, link.fetch(read.asks) if read.asks else [])
        if found.question:
            found.learn(link.command(*found.question))
        return found.columns

    async def _read_async(self, config: Any, read: FeastRead) -> list[ViewColumns]:
        link = self._open_async(config)
        found = self._decoded(config, read, await link.fetch(read.asks) if read.asks else [])
        if found.question:
            found.learn(await link.command(*found.question))
        return found.columns

    def _decoded(self, config: Any, read: FeastRead, answers: Sequence[Any]) -> Decoded:
        moment = to_microseconds(parse_clock(config.online_store.clock).now())
        decode = partial(read.decode, answers, moment)
        return Decoded(self._reads(config).book, answers, decode)

    # What Feast keeps in step with its registry

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Remove the rows of views that are gone; connects only if there are some.

        Raises Refused where a view that is kept holds what cannot be stored.
        """
        for table in tables_to_keep:
            online_view(config.project, table)
        for table in tables_to_delete:
            remove_view(self._open(config), config.project, table.name, join_keys(table))

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Remove everything of the project, and nothing of another."""
        remove_project(self._open(config), config.project)

    def retrieve_online_documents(self, *args: Any, **kwargs: Any) -> Any:
        raise Refused(_NO_VECTORS)

    def retrieve_online_documents_v2(self, *args: Any, **kwargs: Any) -> Any:
        raise Refused(_NO_VECTORS)

    # Connections

    async def close(self) -> None:
        if self._async_link is not None:
            await self._async_link.close()
            self._async_link = None
        if self._link is not None:
            self._link.close()
            self._link = None

    def _open(self, config: Any) -> Link:
        if self._link is None:
            settings = config.online_store
            self._link = open_link(parse_target(settings.url), limits=_limits(settings))
        return self._link

    def _open_async(self, config: Any) -> AsyncLink:
        if self._async_link is None:
            settings = config.online_store
            self._async_link = open_async_link(parse_target(settings.url), limits=_limits(settings))
        return self._async_link

    def _reads(self, config: Any) -> FeastReads:
        reads = self._planned.get(config.project)
        if reads is None:
            reads = self._planned[config.project] = FeastReads(config.project)
        return reads


_NO_VECTORS = (
    "The Redis online store holds features by entity and searches no vectors. Use a store that "
    "does (Feast lists them) for documents, or ask for features by their ids."
)


def _limits(settings: RedisOnlineStoreConfig) -> RedisLimits:
    return RedisLimits(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
        connections=settings.connections,
    )


def _encode(
    project: str,
    table: Any,
    data: Sequence[tuple[Any, dict[str, Any], datetime, datetime | None]],
    *,
    clock: Clock,
    limits: Limits,
) -> Encoded:
    """Pack Feast's rows. Raises InputError for a value, key or feature that does not fit."""
    view, keys, now = online_view(project, table), MessageKeys(project, table), clock.now()
    known = {column.name for column in view.schema.columns} | set(join_keys(table))
    unknown = sorted({name for _, values, _, _ in data for name in values} - known)
    if unknown:
        raise InputError(
            f"View '{table.name}' has no feature {', '.join(unknown)}; it has "
            f"{', '.join(column.name for column in view.schema.columns)}."
        )
    cells = [
        message_cells(column, [values.get(column.name) for _, values, _, _ in data])
        for column in view.schema.columns
    ]
    event = [_moment(event, TIME_LIMIT + 1) for _, _, event, _ in data]
    created = [_moment(created or now, NO_CREATED) for _, _, _, created in data]
    return encode_cells(
        view,
        [keys.key(key.join_keys, key.entity_values) for key, _, _, _ in data],
        cells,
        np.array(event, dtype=np.int64),
        np.array(created, dtype=np.int64),
        now=now,
        limits=limits,
    )


def _moment(moment: datetime, missing: int) -> int:
    """Microseconds; pandas' NaT, which equals nothing, is missing."""
    return to_microseconds(moment) if moment == moment else missing


def _raise_refused(view: str, report: WriteReport) -> None:
    if not report.refused:
        return
    told = "; ".join(_tell(refusal) for refusal in report.refused[:_TOLD])
    more = f" and {len(report.refused) - _TOLD} more" if len(report.refused) > _TOLD else ""
    raise InputError(
        f"{len(report.refused)} of {report.rows} rows of view '{view}' were refused: {told}{more}. "
        f"Of the others {report.written} were written and {report.skipped} were not newer."
    )


def _tell(refusal: Refusal) -> str:
    return refusal.reason if refusal.row < 0 else f"row {refusal.row}: {refusal.reason}"
