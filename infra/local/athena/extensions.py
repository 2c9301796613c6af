"""What the engine is taught: small functions of Trino's and Hive's that DuckDB lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb

from infra.local.athena.macros import MACROS, silent
from infra.local.athena.text_lines import csv_fields, delimited_fields, lower_keys

_PYTHON: list[tuple[str, Callable[..., Any], Any, str]] = [
    ("athena_csv_fields", csv_fields, ["VARCHAR"] * 4, "VARCHAR[]"),
    ("athena_delimited_fields", delimited_fields, ["VARCHAR"] * 4, "VARCHAR[]"),
    ("athena_lowered_keys", lower_keys, ["VARCHAR"], "VARCHAR"),
]
"""Name, function, parameter types and return type of what only Python can say."""


_QUIET: dict[str, Any] = {"exception_handling": "return_null"}


def extend(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every function known to all connections of this engine."""
    for name, function, parameters, returns in _PYTHON:
        connection.create_function(name, function, parameters, returns)
        connection.create_function(silent(name), function, parameters, returns, **_QUIET)
    for macro in MACROS:
        connection.execute(macro)
