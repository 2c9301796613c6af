"""The point-in-time join as one sort per view, written for Athena.

Feature rows and entity rows of one key are laid on one line of time, where a running maximum says
which feature row was known last; the feature rows that entity rows follow are then grouped with
them, to hand their values on. No feature table is read twice, and no pairs are formed.

The sort is what costs, and its cost is the width of what it sorts by: so that is time alone, and
which of several feature rows of one time counts is found out for these few, when they are grouped.

The rule. An entity row at time t gets, of the feature rows of its key, the one with the latest
event time e such that e + publication delay <= t and t - e <= ttl. Of several with that event time
it is the one with the latest created time (none counts as earliest); of several with that created
time too, the one with the largest values in the order of the requested features (none counts as
smallest). So the answer depends on the rows alone and not on how the engine reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops.stores.athena.sql import DayColumn, TimeColumn, Window, base_type, is_integer, name

ROW = "entity_row"
"""The entity row's ordinal, in entity tables and results."""
AT = "entity_at"
"""The entity row's time in microseconds since 1970."""
_SO_FAR = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_IS_ENTITY_ROW = "bitwise_and(point, 1) = 1"
_IS_FEATURE_ROW = "bitwise_and(point, 1) = 0"
_PRECEDES_ENTITY_ROW = "bitwise_and(next_point, 1) = 1"
_TIES_WITH_NEXT = "next_point = point"
_TIES = f"{_IS_FEATURE_ROW} AND ({_TIES_WITH_NEXT} OR before = point)"
_NOT_SORTABLE = ("array", "map", "row", "struct")
_FLOATS = ("double", "float", "real")
_INTEGER = range(-(2**31), 2**31)


@dataclass(frozen=True)
class Key:
    """One join key: where it is in the feature table, and in the table of entity rows."""

    column: str
    type: str
    """The feature table's type."""
    kind: str
    """What both sides are compared as: 'varchar', 'bigint', …"""
    entity_column: str

    def stored(self) -> str:
        """The feature table's side."""
        same = self.type in {self.kind, "string" if self.kind == "varchar" else self.kind}
        return name(self.column) if same else f"TRY_CAST({name(self.column)} AS {self.kind})"

    def compared(self) -> str:
        """As it is stored, where an integer of any width can be compared with another."""
        return name(self.column) if is_integer(self.type) else self.stored()


@dataclass(frozen=True)
class Feature:
    """One requested column of a feature table."""

    column: str
    type: str
    output: str

    def sortable(self, value: str) -> str:
        if base_type(self.type) not in _NOT_SORTABLE:
            return value
        return f"json_format(CAST({value} AS json))"

    @property
    def is_float(self) -> bool:
        return base_type(self.type) in _FLOATS


@dataclass(frozen=True)
class View:
    """A feature view, as a join asks for it."""

    title: str
    relation: str
    """A table's full name, or a query in brackets."""
    keys: tuple[Key, ...]
    features: tuple[Feature, ...]
    event_time: TimeColumn
    created: TimeColumn | None = None
    order: TimeColumn | None = None
    """A bigint column with the event time in microseconds, where the event time is cut."""
    day: DayColumn | None = None
    ttl: int | None = None
    """Microseconds; None is for ever."""
    delay: int = 0
    """Microseconds from a row's event time until it can be known."""

    @property
    def time(self) -> TimeColumn:
        return self.order or self.event_time

    def window(self, entities: Window) -> Window:
        """The event times that entity rows of this range of times can see."""
        first = None if entities.first is None or self.ttl is None else entities.first - self.ttl
        last = None if entities.last is None else entities.last - self.delay
        return Window(first, last)

    def conditions(self, window: Window) -> list[str]:
        found = window.conditions(self.event_time, self.day)
        if self.order is not None:
            found += window.conditions(self.order, None)
        return found


@dataclass(frozen=True)
class Carried:
    """A column of the entity rows that the result repeats."""

    column: str
    output: str
    instant: bool = False
    """Whether it holds microseconds since 1970 in place of a time."""

    def time(self, value: str) -> str:
        """The time itself, as Hive's tables hold it: cut to milliseconds."""
        if not self.instant:
            return value
        milliseconds = f"CAST(floor({value} / 1e3) AS bigint)"
        return f"date_add('millisecond', {milliseconds}, TIMESTAMP '1970-01-01 00:00:00.000')"


@dataclass(frozen=True)
class Join:
    """Entity rows and the views that they are joined with."""

    views: tuple[View, ...]
    entities: str
    """The table of entity rows: ROW, AT, the key columns, and what is carried."""
    times: Window = field(default_factory=Window)
    """Of the entity rows."""
    as_of: int | None = None
    """Only feature rows that were created by then."""
    by_created: bool = False
    """Only feature rows that were created by the entity row's time."""
    reach: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The smallest and largest of the entity rows' keys, by column, where they are known."""

    def outputs(self) -> list[str]:
        """The names of the result's features, in order."""
        return [feature.output for view in self.views for feature in view.features]


def join_sql(
    join: Join, carried: Sequence[Carried] = (), *, ordinal: bool = True, sparse: bool = False
) -> str:
    """The join of entity rows with every view: one row per entity row, ROW first if asked for.

    Without ordinals the result stays in Athena, and carried instants are times.
    sparse: where only ordinals and the features of one view are wanted, its rows come as they are,
    without those of entity rows that have a null key; theirs are null.
    """
    steps = [_Steps(join, view, number) for number, view in enumerate(join.views)]
    features = [column for step in steps for column in step.outputs()]
    heading = f"WITH {_lines([part for step in steps for part in step.expressions()])}\n"
    if sparse and len(steps) == 1 and ordinal and not carried:
        return f"{heading}SELECT {', '.join([f'v0.{ROW}', *features])}\nFROM v0"
    columns = [
        *([f"e.{ROW}"] if ordinal else []),
        *(f"{_repeated(c, ordinal)} AS {name(c.output)}" for c in carried),
        *features,
    ]
    joins = [f"LEFT JOIN v{n} ON v{n}.{ROW} = e.{ROW}" for n in range(len(steps))]
    select = f"SELECT {', '.join(columns)}\nFROM {join.entities} e"
    return "\n".join([f"{heading if steps else ''}{select}", *joins])


def _repeated(carried: Carried, ordinal: bool) -> str:
    value = f"e.{name(carried.column)}"
    return value if ordinal else carried.time(value)


@dataclass(frozen=True)
class _Steps:
    """The common table expressions of one view; the last, v<number>, has ROW, f0, f1, …

    A row's mark is a feature row's created time, or an entity row's ordinal: its point says which
    it is, and what all rows carry is what their sort costs.

    Every engine that runs them takes each row of a sorted partition up once: neither pairs are
    formed, nor are rows looked for backwards, as by IGNORE NULLS on Trino, where many entity rows
    of one key follow a feature row.
    """

    join: Join
    view: View
    number: int

    @property
    def by_created(self) -> bool:
        return self.join.by_created and self.view.created is not None

    @property
    def keys(self) -> list[str]:
        return [f"k{place}" for place in range(len(self.view.keys))]

    @property
    def features(self) -> list[str]:
        return [f"f{place}" for place in range(len(self.view.features))]

    @property
    def times(self) -> list[str]:
        """What ties are decided by, before the features: an event time of its own is needed only
        where rows of several event times become known at once.
        """
        return ["event", "mark"] if self.by_created else ["mark"]

    @property
    def columns(self) -> list[str]:
        return [*self.keys, "point", *self.times, *self.features]

    def outputs(self) -> list[str]:
        return [
            f"v{self.number}.f{place} AS {name(feature.output)}"
            for place, feature in enumerate(self.view.features)
        ]

    def expressions(self) -> list[str]:
        n = self.number
        rows = [f"v{n}_rows AS (\n{self._feature_rows()}\nUNION ALL\n{self._entity_rows()}\n)"]
        if self.by_created:
            rows.append(f"v{n}_news AS (\n{self._news(f'v{n}_rows')}\n)")
        source = f"v{n}_news" if self.by_created else f"v{n}_rows"
        return [
            *rows,
            f"v{n}_in_time AS (\n{self._in_time(source)}\n)",
            f"v{n}_latest AS (\n{self._latest(f'v{n}_in_time')}\n)",
            f"v{n}_best AS (\n{self._best(f'v{n}_latest')}\n)",
            f"v{n} AS (\n{self._answers(f'v{n}_best')}\n)",
        ]

    def _feature_rows(self) -> str:
        """At even points; entity rows are at odd ones, so that at one time features come first."""
        view = self.view
        event = view.time.microseconds()
        known = f"{event} + {view.delay}" if view.delay else event
        created = "CAST(NULL AS bigint)" if view.created is None else view.created.microseconds()
        if self.by_created:
            known = f"greatest({known}, {created})"
        times = [event, created] if self.by_created else [created]
        columns = [
            *(f"{self._narrow(key, key.stored())} AS k{n}" for n, key in enumerate(view.keys)),
            f"({known}) * 2 AS point",
            *(f"{time} AS {called}" for time, called in zip(times, self.times, strict=True)),
            *(f"{name(feature.column)} AS f{n}" for n, feature in enumerate(view.features)),
        ]
        conditions = [*view.conditions(view.window(self.join.times)), *self._existing()]
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(columns)}\nFROM {view.relation}{where}"

    def _existing(self) -> list[str]:
        """With a key, and created early enough. A row without a time sorts behind everything."""
        found = [f"{name(key.column)} IS NOT NULL" for key in self.view.keys]
        for key in self.view.keys:
            if key.entity_column in self.join.reach:
                first, last = self.join.reach[key.entity_column]
                found.append(f"{key.compared()} BETWEEN {first} AND {last}")
        created, as_of = self.view.created, self.join.as_of
        if created is not None and as_of is not None:
            found.append(f"{name(created.column)} <= {created.literal(as_of)}")
        if created is not None and self.by_created:
            found.append(f"{name(created.column)} IS NOT NULL")
        return found

    def _narrow(self, key: Key, value: str) -> str:
        """A key as an integer of half the width, where all that entity rows have fit into one."""
        reach = self.join.reach.get(key.entity_column)
        fits = reach is not None and reach[0] in _INTEGER and reach[1] in _INTEGER
        return f"CAST({value} AS integer)" if fits else value

    def _entity_rows(self) -> str:
        keys = [name(key.entity_column) for key in self.view.keys]
        conditions = " AND ".join(f"{column} IS NOT NULL" for column in [*keys, AT])
        narrow = [self._narrow(key, name(key.entity_column)) for key in self.view.keys]
        event, nothing = ["NULL"] * (len(self.times) - 1), ["NULL"] * len(self.features)
        columns = ", ".join([*narrow, f"{AT} * 2 + 1", *event, ROW, *nothing])
        return f"SELECT {columns}\nFROM {self.join.entities}\nWHERE {conditions}"

    def _news(self, source: str) -> str:
        """Without the feature rows that an older event time made stale before they were known.

        An entity row's event time is that of the feature row before it.
        """
        columns = ", ".join(column for column in self.columns if column != "event")
        latest = f"max(event) OVER ({self._by_key(['point', 'event'])} {_SO_FAR}) AS latest"
        inner = f"SELECT {columns}, event, {latest}\nFROM {source}"
        where = f"{_IS_ENTITY_ROW} OR event = latest"
        return f"SELECT {columns}, latest AS event\nFROM (\n{inner}\n)\nWHERE {where}"

    def _in_time(self, source: str) -> str:
        """The one sort of all rows: each with the point of the last feature row before it, and
        with the point that follows. Feature rows that tie come in any order.
        """
        window = self._by_key(["point"])
        columns = [
            *self.columns,
            f"lead(point) OVER ({window}) AS next_point",
            f"max(CASE WHEN {_IS_FEATURE_ROW} THEN point END) OVER ({window} {_BEFORE}) AS before",
        ]
        return f"SELECT {', '.join(columns)}\nFROM {source}"

    def _latest(self, source: str) -> str:
        """Feature rows that an entity row follows, each with the ordinals of all that it answers,
        and with those that tie with it.

        Entity rows that nothing answers any more are of no point at all.
        """
        known = f"CASE WHEN {_IS_FEATURE_ROW} THEN point {self._alive()} END"
        kept = f"{_IS_ENTITY_ROW} OR {_PRECEDES_ENTITY_ROW} OR {_TIES_WITH_NEXT}"
        carried = ", ".join([*self.columns, "next_point", "before"])
        inner = f"SELECT {carried}, {known} AS known\nFROM {source}\nWHERE {kept}"
        columns = [
            f"array_agg(mark) FILTER (WHERE {_IS_ENTITY_ROW}) AS answered",
            *(f"arbitrary({feature}) AS {feature}" for feature in self.features),
            f"array_agg(ROW({', '.join(self._ranks)})) FILTER (WHERE {_TIES}) AS ties",
        ]
        by = ", ".join([*self.keys, "known"])
        return f"SELECT {', '.join(columns)}\nFROM (\n{inner}\n)\nGROUP BY {by}"

    @property
    def _ranks(self) -> list[str]:
        return [*self.times, *self.features]

    def _best(self, source: str) -> str:
        """The row that counts of those that tie, where any do."""
        best = f"reduce(ties, ties[1], (a, b) -> CASE WHEN {self._is_later()} THEN b ELSE a END, "
        columns = ", ".join(["answered", *self.features])
        guarded = f"CASE WHEN ties IS NOT NULL THEN {best}a -> a) END"
        return f"SELECT {columns}, {guarded} AS best\nFROM {source}\nWHERE answered IS NOT NULL"

    def _is_later(self) -> str:
        """Whether row b counts and not row a: by the first column in which they differ."""
        found = [_is_larger(f"a[{n}]", f"b[{n}]") for n in range(1, len(self.times) + 1)]
        for place, feature in enumerate(self.view.features, len(found) + 1):
            a, b = (feature.sortable(f"{row}[{place}]") for row in "ab")
            found.append(_is_larger(a, b, is_float=feature.is_float))
        return f"CASE {' '.join(found)} ELSE false END"

    def _alive(self) -> str:
        if self.view.ttl is None:
            return "ELSE before"
        return f"WHEN point - {self._event_point()} <= {self.view.ttl * 2 + 1} THEN before"

    def _event_point(self) -> str:
        if self.by_created:
            return "event * 2"
        return f"(before - {self.view.delay * 2})" if self.view.delay else "before"

    def _answers(self, source: str) -> str:
        chosen = (
            f"CASE WHEN best IS NULL THEN {feature} ELSE best[{place}] END AS {feature}"
            for place, feature in enumerate(self.features, len(self.times) + 1)
        )
        columns = ", ".join([ROW, *chosen])
        return f"SELECT {columns}\nFROM {source}\nCROSS JOIN UNNEST(answered) AS each ({ROW})"

    def _by_key(self, order: Sequence[str]) -> str:
        return " ".join(
            [f"PARTITION BY {', '.join(self.keys)}"] * bool(self.keys)
            + [f"ORDER BY {', '.join(order)}"]
        )


def _is_larger(a: str, b: str, *, is_float: bool = False) -> str:
    """A branch for where two values differ: none is smallest, and what is no number is largest."""
    no_number = f"is_nan({b}) OR " if is_float else ""
    return f"WHEN {b} IS DISTINCT FROM {a} THEN {a} IS NULL OR {no_number}{b} > {a}"


def _lines(parts: Sequence[str]) -> str:
    return ",\n".join(parts)
