"""Small functions of Trino's that the engine lacks, as macros, each with its silent variant."""

from __future__ import annotations

_PREFIX, _SILENT = "athena_", "athena_try_"


def silent(sql: str) -> str:
    """The same SQL with NULL where it would raise an error of ours: what TRY needs."""
    return sql.replace(_PREFIX, _SILENT)


def checks(name: str, argument: str, valid: str, complaint: str) -> list[str]:
    """A macro that passes a valid value on, and raises or yields NULL for any other."""
    start = f"({argument}) AS CASE WHEN {argument} IS NULL OR {valid} THEN {argument} ELSE"
    return [
        f"CREATE MACRO {_PREFIX}{name}{start} error({complaint}) END",
        f"CREATE MACRO {_SILENT}{name}{start} NULL END",
    ]


def pair(name: str, body: str, **errors: str) -> list[str]:
    """A macro whose errors, in braces, are NULL in its silent variant."""
    loud, quiet = body, silent(body)
    for place, error in errors.items():
        loud = loud.replace(f"{{{place}}}", error)
        quiet = quiet.replace(f"{{{place}}}", "NULL")
    return [f"CREATE MACRO {_PREFIX}{name}{loud}", f"CREATE MACRO {_SILENT}{name}{quiet}"]


def same(name: str, body: str) -> list[str]:
    return [f"CREATE MACRO {_PREFIX}{name}{body}", f"CREATE MACRO {_SILENT}{name}{silent(body)}"]


_TIMESTAMP = r"'\d+-\d{1,2}-\d{1,2}( \d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?)?'"
_DATE = r"'[+-]?\d+-\d{1,2}-\d{1,2}'"

_BLANKS = "'" + "".join(map(chr, [*range(9, 14), *range(28, 33), 0x1680, *range(0x2000, 0x2007),
    *range(0x2008, 0x200B), 0x2028, 0x2029, 0x205F, 0x3000])) + "'"  # fmt: skip
"""What Java calls whitespace."""
_NUMBER = r"'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(NaN|Infinity)'"

MACROS = [
    *same("blanks", f"() AS {_BLANKS}"),
    *pair(
        "split_part",
        "(x, d, i) AS CASE WHEN i <= 0 THEN {index} WHEN i <= len(string_split(x, d)) "
        "THEN split_part(x, d, i) END",
        index="error('INVALID_FUNCTION_ARGUMENT: Index must be greater than zero')",
    ),
    *pair(
        "pairs",
        "(x, e, k) AS CASE WHEN x = '' THEN [] ELSE list_transform(string_split(x, e), "
        "lambda p: CASE WHEN len(string_split(p, k)) = 2 "
        "THEN {'k': split_part(p, k, 1), 'v': split_part(p, k, 2)} ELSE {bad} END) END",
        bad="error('INVALID_FUNCTION_ARGUMENT: Key-value delimiter must appear exactly once in "
        "each entry. Bad input: ''' || p || '''')",
    ),
    *same(
        "bucket",
        "(x, a, b, n) AS CASE WHEN a < b THEN CASE WHEN x < a THEN 0 WHEN x >= b THEN n + 1 "
        "ELSE CAST(floor((x - a) / ((b - a) / n)) AS BIGINT) + 1 END "
        "ELSE CASE WHEN x > a THEN 0 WHEN x <= b THEN n + 1 "
        "ELSE CAST(floor((a - x) / ((a - b) / n)) AS BIGINT) + 1 END END",
    ),
    *same(
        "ln",
        "(x) AS CASE WHEN x > 0 THEN ln(x) WHEN x = 0 THEN '-inf'::DOUBLE "
        "WHEN x IS NOT NULL THEN 'nan'::DOUBLE END",
    ),
    # The engine's own array_to_string takes constants to put between.
    *same(
        "joined",
        "(l, s) AS CASE WHEN len(list_filter(l, lambda x: x IS NOT NULL)) > 0 THEN list_reduce("
        "list_filter(l, lambda x: x IS NOT NULL), lambda a, b: a || s || b) "
        "WHEN l IS NOT NULL AND s IS NOT NULL THEN '' END",
    ),
    *same(
        "wilson",
        "(s, n, z, side) AS (s / n + z * z / (2 * n) + side * z * sqrt((s / n * (1 - s / n) "
        "+ z * z / (4 * n)) / n)) / (1 + z * z / n)",
    ),
    *same(
        "json_length",
        "(x) AS CASE WHEN json_valid(x) AND json_type(x) = 'ARRAY' "
        "THEN CAST(json_array_length(x) AS BIGINT) END",
    ),
    *checks(
        "number_text",
        "x",
        f"regexp_full_match(trim(x), {_NUMBER})",
        "'INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to a number'",
    ),
    *checks(
        "boolean_text",
        "x",
        "lower(x) IN ('t', 'true', '1', 'f', 'false', '0')",
        "'INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to BOOLEAN'",
    ),
    *checks(
        "time_text",
        "x",
        r"regexp_full_match(trim(x), '\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?')",
        "'INVALID_CAST_ARGUMENT: Value cannot be cast to time: ' || x",
    ),
    # As Java does, letter by letter: the one letter where the engine does not.
    *same("upper", "(x) AS replace(upper(replace(x, 'ß', chr(57344))), chr(57344), 'ß')"),
    *same(
        "half_up",
        "(n, d) AS ((2 * abs(n) + abs(d)) // (2 * abs(d))) * CASE WHEN (n < 0) = (d < 0) "
        "THEN 1::HUGEINT ELSE -1::HUGEINT END",
    ),
    *checks("not_zero", "x", "x <> 0", "'DIVISION_BY_ZERO: Division by zero'"),
    *checks(
        "integer_text",
        "x",
        "regexp_full_match(x, '[+-]?[0-9]+')",
        "'INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to an integer'",
    ),
    *checks(
        "timestamp_text",
        "x",
        f"regexp_full_match(trim(x), {_TIMESTAMP})",
        "'INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: ' || x",
    ),
    *checks(
        "iso_text",
        "x",
        r"regexp_full_match(x, '\d{4}-\d{2}-\d{2}(T(\d{2}(:\d{2}(:\d{2}([.,]\d+)?)?)?)?"
        r"(Z|[+-]\d{2}(:?\d{2})?)?)?')",
        "'INVALID_FUNCTION_ARGUMENT: Invalid format: \"' || x || '\"'",
    ),
    *checks(
        "date_text",
        "x",
        f"regexp_full_match(trim(x), {_DATE})",
        "'INVALID_CAST_ARGUMENT: Value cannot be cast to date: ' || x",
    ),
    *pair(
        "inside",
        "(i, n) AS CASE WHEN i > n THEN {above} WHEN i < 1 THEN {below} ELSE i END",
        above="error('INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to "
        "array length: ' || i || ' > ' || n)",
        below="error('INVALID_FUNCTION_ARGUMENT: Array subscript is negative or zero: ' || i)",
    ),
    *pair(
        "present",
        "(x, found) AS CASE WHEN found = FALSE THEN {missing} ELSE x END",
        missing="error('INVALID_FUNCTION_ARGUMENT: Key not present in map')",
    ),
    *pair(
        "parsed",
        "(x, f) AS CASE WHEN x IS NULL THEN NULL ELSE coalesce(try_strptime(x, f), {invalid}) END",
        invalid="error('INVALID_FUNCTION_ARGUMENT: Invalid format: \"' || x || '\"')",
    ),
    *pair(
        "csv_value",
        "(x, parsed, field) AS CASE WHEN x IS NULL OR parsed IS NOT NULL THEN parsed "
        "ELSE {invalid} END",
        invalid="error('HIVE_BAD_DATA: Error parsing field value ''' || x || ''' for field ' || "
        "field || ': For input string: \"' || x || '\"')",
    ),
    *pair(
        "json_document",
        "(x, lenient) AS CASE WHEN x IS NULL THEN NULL WHEN json_valid(x) AND json_type(x) = "
        "'OBJECT' THEN x WHEN NOT lenient THEN {invalid} END",
        invalid="error('HIVE_CURSOR_ERROR: Row is not a valid JSON Object: ' || x)",
    ),
    *same(
        "lower_keys",
        r"""(x) AS CASE WHEN regexp_matches(x, '"[^"]*[A-Z][^"]*"\s*:') """
        "THEN athena_lowered_keys(x) ELSE x END",
    ),
    # Digits of the shortest text that reads back as the number, then one before the point.
    *same("mantissa", "(t) AS split_part(t, 'e', 1)"),
    *same("power_of", "(t) AS CAST(coalesce(nullif(split_part(t, 'e', 2), ''), '0') AS INTEGER)"),
    *same("digits", "(m) AS ltrim(replace(m, '.', ''), '0')"),
    *same(
        "exponent",
        "(m) AS CASE WHEN m LIKE '0.%' "
        "THEN length(ltrim(split_part(m, '.', 2), '0')) - length(split_part(m, '.', 2)) - 1 "
        "ELSE length(split_part(m, '.', 1)) - 1 END",
    ),
    *same(
        "science",
        "(t) AS substr(athena_digits(athena_mantissa(t)), 1, 1) || '.' || "
        "coalesce(nullif(rtrim(substr(athena_digits(athena_mantissa(t)), 2), '0'), ''), '0') || "
        "'E' || (athena_exponent(athena_mantissa(t)) + athena_power_of(t))",
    ),
    *same(
        "scientific",
        "(x) AS CASE WHEN isnan(x) THEN 'NaN' WHEN isinf(x) AND x > 0 THEN 'Infinity' "
        "WHEN isinf(x) THEN '-Infinity' WHEN x = 0 THEN '0.0E0' "
        "WHEN x < 0 THEN '-' || athena_science(CAST(abs(x) AS VARCHAR)) "
        "ELSE athena_science(CAST(x AS VARCHAR)) END",
    ),
    # Java's Double.toString: plain from 0.001 up to 10 million, scientific outside.
    *same(
        "java_double",
        "(x) AS CASE WHEN x = 0 OR (abs(x) >= 1e-3 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR) "
        "ELSE athena_scientific(x) END",
    ),
]
