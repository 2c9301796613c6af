"""Events as they stand in a stream's records: JSON, versioned.

    {"v": 1, "events": [EVENT, …]}

    EVENT = {"id": "…", "kind": "served", "view": "customer_spend", "schema": "3f0c…",
             "time": 1533722400000000, "created": 1533722400012345,
             "key": {"customer_id": "1042"}, "values": {"customer_count_1d": 3, …},
             "facts": {"model": "fraud", "version": 4, …}}

Times are microseconds since 1970 in UTC; values as in `mlops.downsync.values`. All events of a
record belong to keys of one bucket. A reader takes versions that it knows and sets aside others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from mlops.downsync.flow import Flow, Kind
from mlops.downsync.thinning import key_digest
from mlops.downsync.values import ValueType, value_type

VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The first microsecond of the year 1 and the last of the year 9999."""
_LONGEST_ID = 64

FACTS: Mapping[Kind, Mapping[str, str]] = {
    Kind.SERVED: {
        "model": "String",
        "model_version": "Int64",
        "service": "String",
        "request_id": "String",
        "stored_time": "UnixTimestamp",
        "is_complete": "Bool",
        "score": "Float64",
    },
    Kind.READ: {
        "service": "String",
        "read_by": "String",
        "request_id": "String",
        "stored_time": "UnixTimestamp",
        "is_complete": "Bool",
    },
    Kind.PUSHED: {"push_source": "String", "pushed_by": "String"},
}
"""What else is known of an event, by its kind: columns beside the view's own, with their types."""


@dataclass(frozen=True, slots=True)
class Event:
    """A row of a view at a moment."""

    id: str
    kind: Kind
    view: str
    schema: str
    time_us: int
    """Event time: from when the values hold."""
    created_us: int
    """When it was served or pushed, by the platform's clock."""
    key: Mapping[str, Any]
    digest: bytes
    """Of the key."""
    values: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes of a record, or a part of it, that are no event."""

    reason: str
    raw: Any
    """JSON, or the record's bytes where they are none."""


def microseconds(moment: datetime) -> int:
    """Since 1970, of an aware time."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


class Encoder:
    """Writes events of one flow; compiled once, used for each event."""

    def __init__(self, flow: Flow) -> None:
        self._start = orjson.dumps({"view": flow.view, "schema": flow.schema_version})[1:-1]
        self._features = _writers({feature.name: feature.dtype for feature in flow.features})
        self._facts = {kind: _writers(columns) for kind, columns in FACTS.items()}

    def encode(self, event: Event) -> bytes:
        """One event as JSON. Raises TypeError or ValueError for a value of another type."""
        body = {
            "id": event.id,
            "kind": event.kind.value,
            "time": event.time_us,
            "created": event.created_us,
            "key": event.key,
            "values": _written(event.values, self._features),
            "facts": _written(event.facts, self._facts[event.kind]),
        }
        return b"{" + self._start + b"," + orjson.dumps(body, option=orjson.OPT_NAIVE_UTC)[1:]


_Writers = Sequence[tuple[str, Callable[[Any], Any]]]


def _writers(types: Mapping[str, str]) -> _Writers:
    """Of those whose values orjson does not write as they must be."""
    return [
        (name, write)
        for name, dtype in types.items()
        if (write := _type_of(dtype).to_json) is not None
    ]


def _written(values: Mapping[str, Any], writers: _Writers) -> dict[str, Any]:
    written = dict(values)
    for name, write in writers:
        value = values.get(name)
        if value is not None:
            written[name] = write(value)
    return written


def pack(events: Sequence[bytes]) -> bytes:
    """A record that holds these encoded events."""
    return b'{"v":%d,"events":[' % VERSION + b",".join(events) + b"]}"


def unpack(data: bytes) -> Iterator[dict[str, Any] | Unreadable]:
    """What a record holds, event by event, in order."""
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        yield Unreadable(f"the record is no JSON: {exc}", data)
        return
    problem = _problem_of(record)
    if problem:
        yield Unreadable(problem, record)
        return
    for event in record["events"]:
        yield event if isinstance(event, dict) else Unreadable("the event is no object", event)


def _problem_of(record: Any) -> str | None:
    if not isinstance(record, dict) or not isinstance(record.get("events"), list):
        return "the record has no events"
    if record.get("v") != VERSION:
        return f"the record has version {record.get('v')!r}; this consumer reads {VERSION}"
    return None


class Decoder:
    """Reads events of one flow, strictly."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._keys = {f.name: _type_of(f.dtype) for f in flow.keys}
        self._features = {f.name: _type_of(f.dtype) for f in flow.features}
        self._facts = {
            kind: {name: _type_of(dtype) for name, dtype in columns.items()}
            for kind, columns in FACTS.items()
        }

    def decode(self, raw: Mapping[str, Any]) -> Event:
        """Features and facts that the flow does not know (any more) are left out.

        Raises ValueError that says which part is wrong.
        """
        kind = Kind(raw.get("kind", ""))
        key = _read(raw, "key", self._keys)
        if missing := sorted(name for name in self._keys if key.get(name) is None):
            raise ValueError(f"the key has no {', '.join(missing)}")
        return Event(
            id=_identifier(raw),
            kind=kind,
            view=self.flow.view,
            schema=str(raw.get("schema", "")),
            time_us=_time(raw, "time"),
            created_us=_time(raw, "created"),
            key=key,
            digest=key_digest(raw["key"]),
            values=_read(raw, "values", self._features),
            facts=_read(raw, "facts", self._facts[kind]),
        )


def _type_of(dtype: str) -> ValueType:
    found = value_type(dtype)
    if found is None:
        raise ValueError(f"no event carries values of type {dtype}")
    return found


def _identifier(raw: Mapping[str, Any]) -> str:
    found = raw.get("id")
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_ID:
        raise ValueError(f"'id' must be a text of 1 to {_LONGEST_ID} characters")
    return found


def _time(raw: Mapping[str, Any], name: str) -> int:
    found = raw.get(name)
    if type(found) is not int or not _EARLIEST <= found <= _LATEST:
        raise ValueError(f"'{name}' must be microseconds since 1970")
    return found


def _read(raw: Mapping[str, Any], part: str, types: Mapping[str, ValueType]) -> dict[str, Any]:
    given = raw.get(part, {})
    if not isinstance(given, dict):
        raise ValueError(f"'{part}' is no object")  # noqa: TRY004 - what is read is wrong
    values = {}
    for name, value in given.items():
        kind = types.get(name)
        if kind is None or value is None:
            continue
        try:
            values[name] = kind.from_json(value)
        except ValueError as exc:
            raise ValueError(f"'{part}.{name}' must be {kind.says}") from exc
    return values
