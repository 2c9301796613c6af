"""Rows of a logged table: its columns, and Parquet files of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.downsync.events import FACTS, Event, moment_of
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.thinning import key_digest
from mlops.downsync.values import value_type

_OWN: Mapping[str, tuple[pa.DataType, str]] = {
    "event_time": (pa.timestamp("ms"), "timestamp"),
    "created": (pa.timestamp("ms"), "timestamp"),
    "event_us": (pa.int64(), "bigint"),
    "event_id": (pa.string(), "string"),
    "schema_version": (pa.string(), "string"),
}


@dataclass(frozen=True)
class LoggedTable:
    """The table of one kind of a view's rows; partitioned by the UTC day of the event time.

    Times have milliseconds, as Athena's do; `event_us` holds the event time in full.
    """

    name: str
    schema: pa.Schema
    columns: Mapping[str, str]
    """Athena's types, in the order of the schema."""

    @classmethod
    def of(cls, flow: Flow, kind: Kind) -> LoggedTable:
        fields = [(f.name, f.dtype) for f in (*flow.keys, *flow.features)]
        types = {n.lower(): _typed(d) for n, d in [*fields, *FACTS[kind].items()]} | dict(_OWN)
        return cls(
            flow.table(kind),
            pa.schema({name: arrow for name, (arrow, _) in types.items()}),
            {name: athena for name, (_, athena) in types.items()},
        )

    def parquet(self, flow: Flow, events: Sequence[Event]) -> bytes:
        """One file of these rows, in their order."""
        columns: dict[str, Any] = {
            field.name: [e.key[field.name] for e in events] for field in flow.keys
        }
        for field in flow.features:
            columns[field.name] = [event.values.get(field.name) for event in events]
        for fact in FACTS[events[0].kind]:
            columns[fact] = [event.facts.get(fact) for event in events]
        columns |= {
            "event_time": [event.time_us // 1000 for event in events],
            "created": [event.created_us // 1000 for event in events],
            "event_us": [event.time_us for event in events],
            "event_id": [event.id for event in events],
            "schema_version": [event.schema for event in events],
        }
        arrays = [pa.array(c, f.type) for c, f in zip(columns.values(), self.schema, strict=True)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_arrays(arrays, schema=self.schema), sink, compression="snappy")
        return bytes(sink.getvalue())


def _typed(dtype: str) -> tuple[pa.DataType, str]:
    found = value_type(dtype)
    if found is None:
        raise ValueError(f"no table holds values of type {dtype}")
    return found.arrow, found.athena


def day_of(event: Event) -> str:
    """The partition of a row."""
    return moment_of(event.time_us).date().isoformat()


def read_key_times(body: bytes, keys: Sequence[str]) -> Iterable[tuple[bytes, int]]:
    """(key digest, event time) of every row of a file. keys: the flow's names of the join keys."""
    names = [name.lower() for name in keys]
    table = pq.read_table(pa.BufferReader(body), columns=[*names, "event_us"])
    columns = [table[name].to_pylist() for name in names]
    times = table["event_us"].to_pylist()
    for values, time_us in zip(zip(*columns, strict=True), times, strict=True):
        yield key_digest(dict(zip(keys, values, strict=True))), time_us
