"""Macros over lists, maps and sequences: where the engine's own differ on NULLs and limits."""

from __future__ import annotations

from infra.local.athena.macros import pair, same

MOST_ENTRIES = 10_000
"""Of a sequence, as Trino has it."""


def _raises(message: str) -> str:
    return f"error('INVALID_FUNCTION_ARGUMENT: {message}')"


_DIRECTION = _raises(
    "sequence stop value should be greater than or equal to start value if step is greater than "
    "zero otherwise stop should be less than or equal to start"
)
_TOO_LONG = _raises(f"result of sequence function must not have more than {MOST_ENTRIES} entries")
_MICROS = "epoch_us(TIMESTAMP ''1970-01-01'' + {0})".replace("''", "'")


def _steps(name: str, count: str, items: str) -> list[str]:
    """A sequence of checked direction and length; count: its steps, below 0 the wrong way."""
    return pair(
        name,
        "(a, b, s) AS CASE WHEN a IS NULL OR b IS NULL OR s IS NULL THEN NULL "
        f"WHEN {count} IS NULL OR {count} < 0 THEN {{direction}} "
        f"WHEN {count} >= {MOST_ENTRIES} THEN {{long}} ELSE {items} END",
        direction=_DIRECTION,
        long=_TOO_LONG,
    )


_DAYS = f"((CAST(b AS DATE) - CAST(a AS DATE)) * 86400000000 / nullif({_MICROS.format('s')}, 0))"
_TIMES = f"((epoch_us(b) - epoch_us(a)) / nullif({_MICROS.format('s')}, 0))"
_MONTHS = (
    "(date_sub('month', CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP)) / "
    "nullif(datepart('year', s) * 12 + datepart('month', s), 0))"
)
_WHOLE = "CAST(floor({0}) AS BIGINT)"

COLLECTION_MACROS = [
    *_steps("sequence", "((b - a) / nullif(s, 0))", "generate_series(a, b, s)"),
    *_steps(
        "day_sequence",
        _DAYS,
        f"list_transform(range(0, {_WHOLE.format(_DAYS)} + 1), "
        "lambda i: CAST(CAST(a AS TIMESTAMP) + i * s AS DATE))",
    ),
    *_steps(
        "time_sequence",
        _TIMES,
        f"list_transform(range(0, {_WHOLE.format(_TIMES)} + 1), lambda i: a + i * s)",
    ),
    *_steps(
        "month_sequence",
        _MONTHS,
        f"list_transform(range(0, {_WHOLE.format(_MONTHS)} + 1), "
        "lambda i: CAST(a AS TIMESTAMP) + i * s)",
    ),
    *pair(
        "index",
        "(i) AS CASE WHEN i = 0 THEN {zero} ELSE i END",
        zero=_raises("SQL array indices start at 1"),
    ),
    *pair(
        "slice",
        "(l, s, n) AS CASE WHEN n < 0 THEN {negative} WHEN s > 0 THEN list_slice(l, s, s + n - 1) "
        "WHEN -s > len(l) THEN list_slice(l, 1, 0) "
        "ELSE list_slice(l, len(l) + s + 1, len(l) + s + n) END",
        negative=_raises("length must be greater than or equal to 0"),
    ),
    *pair(
        "trim_array",
        "(l, n) AS CASE WHEN n < 0 OR n > len(l) THEN {size} ELSE list_slice(l, 1, len(l) - n) END",
        size=_raises("size must be between 0 and the cardinality of the array"),
    ),
    *same("holds", "(l, x) AS coalesce(list_position(l, x), 0) > 0"),
    *same(
        "contains",
        "(l, x) AS CASE WHEN l IS NULL OR x IS NULL THEN NULL WHEN list_contains(l, x) THEN TRUE "
        "WHEN list_count(l) < len(l) THEN NULL ELSE FALSE END",
    ),
    *same(
        "contains_sequence",
        "(l, s) AS CASE WHEN l IS NOT NULL AND s IS NOT NULL THEN len(s) = 0 OR "
        "len(list_filter(range(1, len(l) - len(s) + 2), "
        "lambda i: list_slice(l, i, i + len(s) - 1) = s)) > 0 END",
    ),
    *same(
        "distinct",
        "(l) AS CASE WHEN len(list_distinct(l)) = len(l) THEN l "
        "ELSE list_filter(l, lambda x, i: list_position(l, x) = i) END",
    ),
    *same(
        "overlap",
        "(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN len(a) = 0 OR len(b) = 0 "
        "THEN FALSE WHEN list_has_any(a, b) THEN TRUE "
        "WHEN list_count(a) < len(a) OR list_count(b) < len(b) THEN NULL ELSE FALSE END",
    ),
    *same(
        "ngrams",
        "(l, n) AS CASE WHEN l IS NULL OR n IS NULL THEN NULL WHEN len(l) <= n THEN [l] "
        "ELSE list_transform(range(1, len(l) - n + 2), lambda i: list_slice(l, i, i + n - 1)) END",
    ),
    # Three-valued: what is tested may be NULL.
    *same(
        "every",
        "(l) AS CASE WHEN l IS NULL THEN NULL WHEN list_contains(l, FALSE) THEN FALSE "
        "WHEN list_count(l) < len(l) THEN NULL ELSE TRUE END",
    ),
    *same(
        "some",
        "(l) AS CASE WHEN l IS NULL THEN NULL WHEN list_contains(l, TRUE) THEN TRUE "
        "WHEN list_count(l) < len(l) THEN NULL ELSE FALSE END",
    ),
    *pair(
        "comparison",
        "(c) AS CASE WHEN c IN (-1, 0, 1) THEN c ELSE {invalid} END",
        invalid=_raises("Lambda comparator must return either -1, 0, or 1"),
    ),
    # Lists of {k, v} as maps: an equal key again, or one that is NULL, is left out.
    *same(
        "first_entries",
        "(l) AS CASE WHEN len(list_distinct(list_transform(l, lambda e: e.k))) = len(l) THEN l "
        "ELSE list_filter(l, lambda e, i: e.k IS NOT NULL AND "
        "list_position(list_transform(l, lambda o: o.k), e.k) = i) END",
    ),
    *same(
        "multimap",
        "(l) AS CASE WHEN l IS NOT NULL THEN map_from_entries(list_transform("
        "athena_distinct(list_filter(list_transform(l, lambda e: e.k), lambda k: k IS NOT NULL)), "
        "lambda key: {{'k': key, 'v': list_transform(list_filter(l, lambda e: e.k = key), "
        "lambda e: e.v)}})) END".replace("{{", "{").replace("}}", "}"),
    ),
    *pair(
        "unique_map",
        "(l) AS CASE WHEN len(athena_first_entries(l)) < len(l) THEN {duplicate} "
        "ELSE map_from_entries(l) END",
        duplicate="error('INVALID_FUNCTION_ARGUMENT: Duplicate keys (' || list_filter("
        "list_transform(l, lambda e: e.k), lambda k, i: list_position("
        "list_transform(l, lambda o: o.k), k) < i)[1] || ') are not allowed')",
    ),
    *same(
        "most_frequent",
        "(h, n) AS map_from_entries(list_transform(list_slice(list_reverse_sort(list_transform("
        "map_entries(h), lambda e: {'n': CAST(e.value AS BIGINT), 'k': e.key})), 1, n), "
        "lambda o: {'k': o.k, 'v': o.n}))",
    ),
    *same(
        "cosine",
        "(a, b) AS CASE WHEN list_count(map_values(a)) + list_count(map_values(b)) = "
        "len(map_values(a)) + len(map_values(b)) THEN list_sum(list_transform(map_keys(a), "
        "lambda k: coalesce(a[k] * b[k], 0e0))) / "
        "(sqrt(list_sum(list_transform(map_values(a), lambda x: x * x))) * "
        "sqrt(list_sum(list_transform(map_values(b), lambda x: x * x)))) END",
    ),
]
