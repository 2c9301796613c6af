"""Record what Velox, the engine of Presto's functions, answers to random arguments.

    python3.11 -m venv /tmp/velox && /tmp/velox/bin/pip install pyvelox==0.2.0 pyarrow
    /tmp/velox/bin/python tests/record_velox.py > tests/unit/athena/velox/functions.sql

The local Athena is held to the recorded answers (tests/unit/athena/test_documented.py): an oracle
that knows nothing of DuckDB. Left out is what Trino is known to do otherwise than Presto: doubles
as text, BETWEEN with a NULL bound that does not matter, and digits in canonical JSON.
"""

from __future__ import annotations

import math
import os
import random
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

ROWS = 6
_TEXTS = ["", "a", "ab", "abc", "a,b,,c", "Hello World", " x ", "aaa", "1", "-12", "a-b-c",
          "foo1bar22", "x=1,y=2", "  ", "ba", "b", "ABC"]  # fmt: skip
_SECONDS = [0.0, 1577836800.0, 1582934400.0, 1580428800.0, 1583020800.5, 951782400.0,
            983318400.0, 1e9, 1.6e9, 1609459199.0, 1640995200.0, -86400.0]  # fmt: skip
_ARGUMENTS: dict[str, tuple[str, list[Any]]] = {
    "s": ("varchar", [None, *_TEXTS]),
    "t": ("varchar", [None, *_TEXTS]),
    "q": ("varchar", [",", "-", "a", "b", "x", " "]),
    "i": ("bigint", [None, 0, 1, 2, 3, -1, -2, -7, 100, 2**31, -(2**31)]),
    "j": ("bigint", [None, 0, 1, 5, -1, 7, 2**31]),
    "k": ("bigint", [None, 0, 1, 2, 3, -1, -2, 5]),
    "p": ("bigint", [1, 2, 3, 4]),
    "d": ("double", [None, 0.0, 1.0, -1.0, 2.5, -2.5, 1e10, 0.0015, 0.5, 1.25, math.inf]),
    "e": ("double", [None, 0.0, 1.0, 2.0, -0.5, 3.0]),
    "f": ("double", _SECONDS),
    "g": ("double", _SECONDS),
    "l": ("array(bigint)", [None, [], [1], [1, 2, 3], [3, 1, 2], [1, None], [1, 1, 2],
                            [2, None, 1, 2, None], [5, -1, 0]]),
    "m": ("array(bigint)", [None, [], [1], [2, 3], [None], [2, None, 1, 2], [5, -1, 0]]),
    "n": ("array(varchar)", [None, [], ["a"], ["a", "b"], ["b", None, "a"], ["", "x"]]),
}  # fmt: skip
_MOMENT, _OTHER = "from_unixtime({f})", "from_unixtime({g})"
_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond")
_EXPRESSIONS = """
length({s}); lower({s}); upper({s}); reverse({s}); trim({s}); ltrim({s}); rtrim({s});
concat({s}, {t}); strpos({s}, {t}); strpos({s}, {q}, {p}); replace({s}, {q});
replace({s}, {q}, {t}); split({s}, {q}); split({s}, {q}, {p}); split_part({s}, {q}, {p});
substr({s}, {k}); substr({s}, {k}, {p}); lpad({s}, {p}, {q}); rpad({s}, {p}, {q});
starts_with({s}, {t}); codepoint({q}); chr(97 + {p}); levenshtein_distance({s}, {t});
to_hex(to_utf8({s})); to_base64(to_utf8({s})); to_hex(md5(to_utf8({s})));
to_hex(sha256(to_utf8({s}))); crc32(to_utf8({s})); url_encode({s}); url_decode({s});
to_hex(hmac_sha256(to_utf8({s}), to_utf8('k'))); to_base64url(to_utf8({s}));
to_hex(to_big_endian_64({i})); to_hex(to_ieee754_64({d})); concat({s}, {t}, {q});
regexp_like({s}, '[0-9]+'); regexp_like({s}, '^a.*b$'); regexp_extract({s}, '[a-z]+');
regexp_extract({s}, '([a-z])([0-9])?', 2); regexp_extract_all({s}, '[a-z]');
regexp_replace({s}, '[a-z]', 'X'); regexp_replace({s}, '([a-z])', '<$1>');
regexp_replace({s}, '(a)|b', '[$1]'); regexp_split({s}, '[,-]'); abs({i}); abs({d}); sign({i});
sign({d}); ceil({d}); floor({d}); round({d}); truncate({d}); sqrt({d}); cbrt({d}); exp({e});
ln({d}); log2({d}); log10({d}); power({d}, {e}); mod({i}, {p}); {i} / {p}; {i} + {k}; {i} * {k};
{i} - {j}; {d} / {e}; {d} * {e}; sin({d}); cos({d}); tan({e}); asin({e}); acos({e}); atan({d});
atan2({d}, {e}); radians({d}); is_nan({d}); is_finite({d}); is_infinite({d});
greatest({i}, {j}); least({i}, {j}); bitwise_and({i}, {j}); bitwise_or({i}, {j});
bitwise_xor({i}, {j}); bitwise_not({i}); bit_count({i}, 64); width_bucket({e}, 0.0, 10.0, {p});
to_base({i}, 16); {i} = {j}; {i} <> {j}; {i} < {j}; {s} < {t}; coalesce({i}, {j});
if({i} > {j}, {s}, {t}); {i} in (1, 2, 3); {i} > 0 and {j} > 0; {i} > 0 or {j} > 0;
{s} like 'a%'; {s} like '_b%'; {i} is distinct from {j}; cardinality({l}); contains({l}, {k});
array_position({l}, {p}); array_max({l}); array_min({l}); array_distinct({l}); array_sort({l});
array_intersect({l}, {m}); array_except({l}, {m}); array_union({l}, {m});
arrays_overlap({l}, {m}); array_remove({l}, {p}); array_join({l}, '-');
array_join({n}, {q}, '?'); element_at({l}, {p}); element_at({l}, -1); slice({l}, {p}, {p});
slice({l}, -2, {p}); reverse({l}); concat({l}, {m}); sequence(0, {p}); array_max({n});
contains({n}, 'a'); cardinality({n}); trim_array({l}, 0); transform({l}, x -> x + 1);
filter({l}, x -> x > 1); any_match({l}, x -> x > 1); all_match({l}, x -> x > 1);
none_match({l}, x -> x > 1); reduce({l}, 0, (a, b) -> a + coalesce(b, 0), a -> a * 2);
zip_with({l}, {m}, (a, b) -> coalesce(a, 0) + coalesce(b, 0));
transform({l}, a -> reduce({m}, 0, (x, y) -> x + a * coalesce(y, 1), x -> x));
json_array_contains('[1, 2, 3]', {k}); cast({i} as varchar); cast({e} as bigint);
try_cast({s} as bigint); try_cast({s} as double); try_cast({s} as boolean);
cast({i} as boolean); normal_cdf(0.0, 1.0, {e});
"""


def expressions() -> list[str]:
    """The expressions above, and those of every unit of time."""
    joined = [one.strip() for one in _EXPRESSIONS.split(";") if one.strip()]
    fields = ("day_of_week", "day_of_year", "year_of_week", *_UNITS)
    joined += [f"{name}({_MOMENT})" for name in fields]
    joined += [f"date_diff('{unit}', {_MOMENT}, {_OTHER})" for unit in _UNITS]
    joined += [f"to_unixtime(date_trunc('{u}', {_MOMENT}))" for u in _UNITS[:-1]]
    joined += [f"to_unixtime(date_add('{u}', {{k}}, {_MOMENT}))" for u in _UNITS]
    patterns = ("%Y-%m-%d %H:%i:%s", "%a %b %c %e %f %h %j %k %l %M %p %r %T %v %W %x %y")
    return [*joined, *(f"date_format({_MOMENT}, '{pattern}')" for pattern in patterns)]


def literal(value: Any, kind: str) -> str:
    """A value in Trino's SQL."""
    if value is None:
        return f"CAST(NULL AS {kind})"
    if isinstance(value, list):
        items = ", ".join("NULL" if v is None else literal(v, kind[6:-1]) for v in value)
        return f"CAST(ARRAY[{items}] AS {kind})"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float):
        return "infinity()" if math.isinf(value) else f"DOUBLE '{value!r}'"
    return f"BIGINT '{value}'"


def shown(value: Any) -> str:
    """A value as Athena's results show it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join("null" if v is None else shown(v) for v in value) + "]"
    return java_double(value) if isinstance(value, float) else str(value)


def java_double(value: float) -> str:
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    digits, _, exponent = f"{Decimal(repr(value)).normalize():E}".partition("E")
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}"


def main() -> Iterator[str]:
    import pyarrow as pa
    import pyvelox.legacy as velox  # type: ignore[import-not-found]  # installed to record, only

    kinds = {
        "varchar": pa.string(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "array(bigint)": pa.list_(pa.int64()),
        "array(varchar)": pa.list_(pa.string()),
    }
    chance = random.Random(7)
    for expression in expressions():
        names = list(dict.fromkeys(re.findall(r"\{(\w)\}", expression)))
        compiled = velox.Expression.from_string(expression.format(**{n: n for n in _ARGUMENTS}))
        seen: set[str] = set()
        for _ in range(ROWS * 3):
            values = {n: chance.choice(_ARGUMENTS[n][1]) for n in names or ["p"]}
            sql = expression.format(**{n: literal(v, _ARGUMENTS[n][0]) for n, v in values.items()})
            if sql in seen or len(seen) == ROWS:
                continue
            seen.add(sql)
            columns = {
                n: velox.import_from_arrow(pa.array([v], type=kinds[_ARGUMENTS[n][0]]))
                for n, v in values.items()
            }
            try:
                answer = velox.export_to_arrow(compiled.evaluate(columns)).to_pylist()[0]
            except Exception as exc:  # noqa: BLE001 - whatever Velox says, it is no answer
                sys.stderr.write(f"{sql}: {str(exc)[:200]!r}\n")
                continue
            yield (
                f"SELECT {sql};  -- => {shown(answer)}" if answer != "" else f"SELECT {sql};  -- =>"
            )


if __name__ == "__main__":
    heading = "-- Answers of Velox, the engine of Presto's functions; see tests/record_velox.py\n\n"
    sys.stdout.write(heading)
    sys.stdout.writelines(f"{line}\n" for line in main())
    sys.stdout.flush()
    os._exit(0)  # its destructors crash
