"""What the engine is taught: small functions of Trino's and Hive's that DuckDB lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb

from infra.local.athena import binary, decimals, documents, formatting, patterns, texts
from infra.local.athena.collection_macros import COLLECTION_MACROS
from infra.local.athena.macros import MACROS, silent
from infra.local.athena.text_lines import csv_fields, delimited_fields, lower_keys

_TEXT, _NUMBER, _REAL, _BYTES = "VARCHAR", "BIGINT", "DOUBLE", "BLOB"
_PYTHON: list[tuple[str, Callable[..., Any], Any, str]] = [
    ("csv_fields", csv_fields, [_TEXT] * 4, "VARCHAR[]"),
    ("delimited_fields", delimited_fields, [_TEXT] * 4, "VARCHAR[]"),
    ("lowered_keys", lower_keys, [_TEXT], _TEXT),
    ("format", formatting.java_format, [_TEXT, "VARCHAR[]", "VARCHAR[]"], _TEXT),
    ("format_number", formatting.format_number, [_REAL], _TEXT),
    ("parse_data_size", formatting.parse_data_size, [_TEXT], "DECIMAL(38,0)"),
    ("parse_duration", formatting.parse_duration, [_TEXT], "INTERVAL"),
    ("human_seconds", formatting.human_readable_seconds, [_REAL], _TEXT),
    ("divided", decimals.divided, [_TEXT, _TEXT, _NUMBER], _TEXT),
    ("cbrt", formatting.cube_root, [_REAL], _REAL),
    ("from_base", formatting.from_base, [_TEXT, _NUMBER], _NUMBER),
    ("to_base", formatting.to_base, [_NUMBER, _NUMBER], _TEXT),
    ("from_base32", binary.from_base32, [_TEXT], _BYTES),
    ("from_base64url", binary.from_base64url, [_TEXT], _BYTES),
    ("to_base32", binary.to_base32, [_BYTES], _TEXT),
    ("to_base64url", binary.to_base64url, [_BYTES], _TEXT),
    ("sha512", binary.sha512, [_BYTES], _BYTES),
    *(
        (f"hmac_{name}", binary.keyed_hash(name), [_BYTES, _BYTES], _BYTES)
        for name in ("md5", "sha1", "sha256", "sha512")
    ),
    ("crc32", binary.crc32, [_BYTES], _NUMBER),
    ("from_big_endian_32", binary.unpacker(">i"), [_BYTES], "INTEGER"),
    ("from_big_endian_64", binary.unpacker(">q"), [_BYTES], _NUMBER),
    ("from_ieee754_32", binary.unpacker(">f"), [_BYTES], "FLOAT"),
    ("from_ieee754_64", binary.unpacker(">d"), [_BYTES], _REAL),
    ("to_big_endian_32", binary.packer(">i"), ["INTEGER"], _BYTES),
    ("to_big_endian_64", binary.packer(">q"), [_NUMBER], _BYTES),
    ("to_ieee754_32", binary.packer(">f"), ["FLOAT"], _BYTES),
    ("to_ieee754_64", binary.packer(">d"), [_REAL], _BYTES),
    ("reverse", binary.reverse, [_BYTES], _BYTES),
    ("bytes", binary.substring, [_BYTES, _NUMBER, _NUMBER], _BYTES),
    ("left_padded", binary.left_padded, [_BYTES, _NUMBER, _BYTES], _BYTES),
    ("right_padded", binary.right_padded, [_BYTES, _NUMBER, _BYTES], _BYTES),
    ("utf8", binary.utf8, [_BYTES, _TEXT], _TEXT),
    ("left_shift", binary.shifted_left, [_NUMBER] * 3, _NUMBER),
    ("right_shift", binary.shifted_right, [_NUMBER] * 3, _NUMBER),
    ("right_shift_arithmetic", binary.shifted_right_signed, [_NUMBER] * 3, _NUMBER),
    ("bit_count", binary.bit_count, [_NUMBER, _NUMBER], _NUMBER),
    ("nth_position", texts.nth_position, [_TEXT, _TEXT, _NUMBER], _NUMBER),
    ("hamming", texts.hamming, [_TEXT, _TEXT], _NUMBER),
    ("levenshtein", texts.levenshtein, [_TEXT, _TEXT], _NUMBER),
    ("split", texts.split_limited, [_TEXT, _TEXT, _NUMBER], "VARCHAR[]"),
    ("soundex", texts.soundex, [_TEXT], _TEXT),
    ("luhn", texts.luhn_check, [_TEXT], "BOOLEAN"),
    ("normalize", texts.normalize, [_TEXT, _TEXT], _TEXT),
    ("url_part", texts.url_part, [_TEXT, _TEXT], _TEXT),
    ("url_parameter", texts.url_parameter, [_TEXT, _TEXT], "VARCHAR[]"),
    ("url_encode", texts.url_encode, [_TEXT], _TEXT),
    ("url_decode", texts.url_decode, [_TEXT], _TEXT),
    ("normal_cdf", texts.normal_cdf, [_REAL] * 3, _REAL),
    ("inverse_normal_cdf", texts.inverse_normal_cdf, [_REAL] * 3, _REAL),
    ("iso_date", texts.iso_date, [_TEXT], "DATE"),
    ("combinations", texts.combinations, [_NUMBER, _NUMBER], "BIGINT[][]"),
    ("weighted_percentile", texts.weighted_percentile, ["DOUBLE[]", "DOUBLE[]", _REAL], _REAL),
    ("regexp_like", patterns.like, [_TEXT, _TEXT], "BOOLEAN"),
    ("regexp_extract", patterns.extract, [_TEXT, _TEXT, _NUMBER], "VARCHAR[]"),
    ("regexp_extract_all", patterns.extract_all, [_TEXT, _TEXT, _NUMBER], "VARCHAR[]"),
    ("regexp_count", patterns.count, [_TEXT, _TEXT], _NUMBER),
    ("regexp_split", patterns.split, [_TEXT, _TEXT], "VARCHAR[]"),
    ("regexp_position", patterns.position, [_TEXT, _TEXT, _NUMBER, _NUMBER], _NUMBER),
    ("regexp_replace", patterns.replace, [_TEXT, _TEXT, _TEXT], _TEXT),
    (
        "regexp_pieces",
        patterns.pieces,
        [_TEXT, _TEXT],
        "STRUCT(matches STRUCT(before VARCHAR, groups VARCHAR[])[], tail VARCHAR)",
    ),
    ("json_parse", documents.parse, [_TEXT], _TEXT),
    ("json_exact", documents.exact_scalar, [_TEXT, _TEXT], "VARCHAR[]"),
    ("json_item", documents.item, [_TEXT, _NUMBER], "VARCHAR[]"),
    ("json_contains", documents.contains, [_TEXT, _TEXT], "BOOLEAN"),
    ("json_path", documents.path_items, [_TEXT, _TEXT], "VARCHAR[]"),
]
"""Name, function, parameter types and return type of what only Python can say."""


_QUIET: dict[str, Any] = {"exception_handling": "return_null"}


def extend(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every function known to all connections of this engine."""
    for short, function, parameters, returns in _PYTHON:
        name = f"athena_{short}"
        connection.create_function(name, function, parameters, returns)
        connection.create_function(silent(name), function, parameters, returns, **_QUIET)
    for macro in (*MACROS, *COLLECTION_MACROS):
        connection.execute(macro)
