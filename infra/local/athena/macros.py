"""Small functions of Trino's that DuckDB lacks, as macros; each also as its silent TRY variant."""

from __future__ import annotations

_PREFIX, _SILENT = "athena_", "athena_try_"


def silent(sql: str) -> str:
    """The same SQL with NULL where it would raise an error of ours: what TRY needs."""
    return sql.replace(_PREFIX, _SILENT)


def _checks(name: str, argument: str, valid: str, complaint: str) -> list[str]:
    """A macro that passes a valid value on, and raises or yields NULL for any other."""
    start = f"({argument}) AS CASE WHEN {argument} IS NULL OR {valid} THEN {argument} ELSE"
    return [
        f"CREATE MACRO {_PREFIX}{name}{start} error({complaint}) END",
        f"CREATE MACRO {_SILENT}{name}{start} NULL END",
    ]


def _pair(name: str, body: str, **errors: str) -> list[str]:
    """A macro whose errors, in braces, are NULL in its silent variant."""
    quiet = dict.fromkeys(errors, "NULL")
    return [
        f"CREATE MACRO {_PREFIX}{name}{body.format(**errors)}",
        f"CREATE MACRO {_SILENT}{name}{body.format(**quiet)}",
    ]


def _same(name: str, body: str) -> list[str]:
    return [f"CREATE MACRO {prefix}{name}{body}" for prefix in (_PREFIX, _SILENT)]


_TIMESTAMP = r"'\d+-\d{1,2}-\d{1,2}( \d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?)?'"
_DATE = r"'[+-]?\d+-\d{1,2}-\d{1,2}'"

MACROS = [
    *_checks("not_zero", "x", "x <> 0", "'DIVISION_BY_ZERO: Division by zero'"),
    *_checks(
        "integer_text",
        "x",
        "regexp_full_match(x, '[+-]?[0-9]+')",
        "'INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to an integer'",
    ),
    *_checks(
        "timestamp_text",
        "x",
        f"regexp_full_match(trim(x), {_TIMESTAMP})",
        "'INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: ' || x",
    ),
    *_checks(
        "date_text",
        "x",
        f"regexp_full_match(trim(x), {_DATE})",
        "'INVALID_CAST_ARGUMENT: Value cannot be cast to date: ' || x",
    ),
    *_pair(
        "inside",
        "(i, n) AS CASE WHEN i > n THEN {above} WHEN i < 1 THEN {below} ELSE i END",
        above="error('INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to "
        "array length: ' || i || ' > ' || n)",
        below="error('INVALID_FUNCTION_ARGUMENT: Array subscript is negative or zero: ' || i)",
    ),
    *_pair(
        "present",
        "(x, found) AS CASE WHEN found = FALSE THEN {missing} ELSE x END",
        missing="error('INVALID_FUNCTION_ARGUMENT: Key not present in map')",
    ),
    *_pair(
        "parsed",
        "(x, f) AS CASE WHEN x IS NULL THEN NULL ELSE coalesce(try_strptime(x, f), {invalid}) END",
        invalid="error('INVALID_FUNCTION_ARGUMENT: Invalid format: \"' || x || '\"')",
    ),
    *_pair(
        "csv_value",
        "(x, parsed, field) AS CASE WHEN x IS NULL OR parsed IS NOT NULL THEN parsed "
        "ELSE {invalid} END",
        invalid="error('HIVE_BAD_DATA: Error parsing field value ''' || x || ''' for field ' || "
        "field || ': For input string: \"' || x || '\"')",
    ),
    *_pair(
        "json_document",
        "(x, lenient) AS CASE WHEN x IS NULL THEN NULL WHEN json_valid(x) AND json_type(x) = "
        "'OBJECT' THEN x WHEN NOT lenient THEN {invalid} END",
        invalid="error('HIVE_CURSOR_ERROR: Row is not a valid JSON Object: ' || x)",
    ),
    *_same(
        "lower_keys",
        r"""(x) AS CASE WHEN regexp_matches(x, '"[^"]*[A-Z][^"]*"\s*:') """
        "THEN athena_lowered_keys(x) ELSE x END",
    ),
    # Digits of the shortest text that reads back as the number, then one before the point.
    *_same("mantissa", "(t) AS split_part(t, 'e', 1)"),
    *_same("power_of", "(t) AS CAST(coalesce(nullif(split_part(t, 'e', 2), ''), '0') AS INTEGER)"),
    *_same("digits", "(m) AS ltrim(replace(m, '.', ''), '0')"),
    *_same(
        "exponent",
        "(m) AS CASE WHEN m LIKE '0.%' "
        "THEN length(ltrim(split_part(m, '.', 2), '0')) - length(split_part(m, '.', 2)) - 1 "
        "ELSE length(split_part(m, '.', 1)) - 1 END",
    ),
    *_same(
        "science",
        "(t) AS substr(athena_digits(athena_mantissa(t)), 1, 1) || '.' || "
        "coalesce(nullif(rtrim(substr(athena_digits(athena_mantissa(t)), 2), '0'), ''), '0') || "
        "'E' || (athena_exponent(athena_mantissa(t)) + athena_power_of(t))",
    ),
    *_same(
        "scientific",
        "(x) AS CASE WHEN isnan(x) THEN 'NaN' WHEN isinf(x) AND x > 0 THEN 'Infinity' "
        "WHEN isinf(x) THEN '-Infinity' WHEN x = 0 THEN '0.0E0' "
        "WHEN x < 0 THEN '-' || athena_science(CAST(abs(x) AS VARCHAR)) "
        "ELSE athena_science(CAST(x AS VARCHAR)) END",
    ),
    # Java's Double.toString: plain from 0.001 up to 10 million, scientific outside.
    *_same(
        "java_double",
        "(x) AS CASE WHEN x = 0 OR (abs(x) >= 1e-3 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR) "
        "ELSE athena_scientific(x) END",
    ),
]
