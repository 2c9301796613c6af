"""What a run asks of Athena: the rows to load, and the rows that hold no more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from feast.feature_view import DUMMY_ENTITY_VAL

from mlops.plan import PlannedField
from mlops.stores.athena.join import Feature
from mlops.stores.athena.pull import Pull, latest_sql
from mlops.stores.athena.sql import DayColumn, Window, name, text, to_microseconds
from pipelines.features.buildlog import Days
from pipelines.features.upsync.changes import Gone, Selection
from pipelines.features.upsync.state import CREATED, EVENT, OLD_CREATED, OLD_EVENT, Span

SHARD = "__shard"
MOST_SHARDS = 100
"""Athena writes at most so many partitions in one UNLOAD."""
_DIGITS = "0123456789ABCDEF"
_HASHED = 5
"""Hexadecimal digits of a key's hash that are looked at: a million buckets."""
BUCKETS: int = 16**_HASHED
_HASHABLE = ("String", "Int32", "Int64")


@dataclass(frozen=True)
class Reading:
    """A view on its source: the source's columns, and what the view calls them."""

    pull: Pull
    keys: tuple[PlannedField, ...]
    features: tuple[PlannedField, ...]

    @property
    def rows(self) -> list[str]:
        """What is selected of a row: keys, features, and its times in microseconds."""
        features = [
            f"{_utc(feature)} AS {name(field.name)}"
            for feature, field in zip(self.pull.features, self.features, strict=True)
        ]
        return [*self.key_columns(), *features, *self.times(EVENT, CREATED)]

    def key_columns(self) -> list[str]:
        """A view without entities has Feast's stand-in for one, which is no column."""
        if not self.pull.keys:
            return [f"{text(DUMMY_ENTITY_VAL)} AS {name(field.name)}" for field in self.keys]
        pairs = zip(self.pull.keys, self.keys, strict=True)
        return [f"{name(column)} AS {name(field.name)}" for column, field in pairs]

    def times(self, event: str, created: str) -> list[str]:
        wrote = self.pull.created.microseconds() if self.pull.created else "CAST(NULL AS bigint)"
        at = self.pull.conditions_column.microseconds()
        return [f"{at} AS {name(event)}", f"{wrote} AS {name(created)}"]


def rows_sql(reading: Reading, selection: Selection, *, shards: int = 1) -> str:
    """The latest of the changed rows of each key; with several shards, the last column is it."""
    given = _any_of(_conditions(reading.pull, selection))
    select = [*reading.rows, *_shard(reading, shards)]
    return latest_sql(reading.pull, window_of(selection.span), given=given, select=select)


def current_sql(reading: Reading, span: Span, *, buckets: int = BUCKETS, seed: str = "") -> str:
    """What should stand online: the latest row of each key, or of a part of the keys.

    buckets: keys whose seeded hash is below it, of BUCKETS.
    """
    given = [] if buckets >= BUCKETS else [f"{key_hash(reading.pull.keys, seed)} < {buckets}"]
    return latest_sql(reading.pull, window_of(span), given=given, select=reading.rows)


def exchanges_sql(before: Reading, after: Reading, selection: Selection, gone: Gone) -> str:
    """Keys whose latest row before is not what stands there now, with the row that does, if any.

    Only rows are named that the last run can have loaded: by their own times.
    """
    keys = [name(field.name) for field in before.keys]
    old_select = [*before.key_columns(), *before.times(OLD_EVENT, OLD_CREATED)]
    old = latest_sql(replace(before.pull, features=()), window_of(gone.before), select=old_select)
    new = latest_sql(after.pull, window_of(selection.span), select=after.rows)
    shown = [f"old.{key}" for key in keys]
    shown += [f"new.{name(field.name)}" for field in after.features]
    shown += [f"new.{name(column)}" for column in (EVENT, CREATED)]
    shown += [f"old.{name(column)}" for column in (OLD_EVENT, OLD_CREATED)]
    same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
    e, c, oe, oc = (name(column) for column in (EVENT, CREATED, OLD_EVENT, OLD_CREATED))
    # A later created time with the same event time is newer by itself.
    stays = f"new.{e} > old.{oe} OR (new.{e} = old.{oe} AND new.{c} > old.{oc})"
    return (
        f"SELECT {', '.join(shown)}\nFROM (\n{old}\n) old\n"  # ours
        f"LEFT JOIN (\n{new}\n) new ON {same}\n"
        f"WHERE ({_suspects(gone)}) AND NOT coalesce({stays}, false)"
    )


def bucket_of(values: Sequence[Any], seed: str = "") -> int:
    """`key_hash` in Python, of a key's values in the view's order."""
    joined = "|".join([seed, *map(str, values)] if seed or len(values) > 1 else map(str, values))
    return int(hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest()[:_HASHED], 16)


def is_hashable(fields: Sequence[PlannedField]) -> bool:
    """Whether the keys have one text here and in Athena."""
    return bool(fields) and all(field.dtype in _HASHABLE for field in fields)


def key_hash(keys: Sequence[str], seed: str = "") -> str:
    """A number from 0 to BUCKETS - 1: the first hexadecimal digits of an MD5 of the key's text."""
    texts = [f"CAST({name(key)} AS varchar)" for key in keys] or [text(DUMMY_ENTITY_VAL)]
    joined = texts[0] if not seed and len(texts) == 1 else " || '|' || ".join([text(seed), *texts])
    digits = f"to_hex(md5(to_utf8({joined})))"
    places = [
        f"(strpos('{_DIGITS}', substr({digits}, {place}, 1)) - 1) * {16 ** (_HASHED - place)}"
        for place in range(1, _HASHED + 1)
    ]
    return f"({' + '.join(places)})"


def window_of(span: Span) -> Window:
    oldest = None if span.oldest is None else to_microseconds(span.oldest)
    return Window(oldest, to_microseconds(span.until))


def _shard(reading: Reading, shards: int) -> list[str]:
    if shards == 1:
        return []
    shard = f"mod({key_hash(reading.pull.keys)}, {shards})"
    return [f"lpad(CAST({shard} AS varchar), 2, '0') AS {name(SHARD)}"]


def _conditions(pull: Pull, selection: Selection) -> list[str]:
    """Any of which makes a row one that may differ; none where all rows are asked for."""
    if selection.everything:
        return []
    found = []
    if selection.published_after is not None:
        time = pull.conditions_column
        after = time.literal(to_microseconds(selection.published_after))
        found.append(f"{name(time.column)} > {after}")
    if selection.days and pull.day is not None:
        found += [_between(pull.day, days) for days in selection.days]
    if selection.created_from is not None and pull.created is not None:
        column = name(pull.created.column)
        since = pull.created.literal(to_microseconds(selection.created_from))
        found += [f"{column} >= {since}", f"{column} IS NULL"]
    return found


def _any_of(conditions: Sequence[str]) -> list[str]:
    return [f"({' OR '.join(conditions)})"] if conditions else []


def _between(day: DayColumn, days: Days) -> str:
    column = name(day.column)
    return f"{column} BETWEEN '{days.first}' AND '{days.last}'"


def _suspects(gone: Gone) -> str:
    """Of which old rows it is asked whether they still hold."""
    event = f"old.{name(OLD_EVENT)}"
    found = [_within_days(event, gone.days)] if gone.days else []
    if gone.after is not None:
        found.append(f"{event} > {to_microseconds(gone.after)}")
    return " OR ".join(found)


def _within_days(event: str, days: Iterable[Days]) -> str:
    spans = [(_midnight(d.first), _midnight(d.last + timedelta(days=1)) - 1) for d in days]
    return " OR ".join(f"{event} BETWEEN {first} AND {last}" for first, last in spans)


def _midnight(day: date) -> int:
    return to_microseconds(datetime.combine(day, time(), tzinfo=UTC))


def _utc(feature: Feature) -> str:
    if "with time zone" in feature.type:
        return f"CAST({name(feature.column)} AT TIME ZONE 'UTC' AS timestamp)"
    return name(feature.column)
