"""How a query fails: with Athena's own error names, messages and categories."""

from __future__ import annotations

import re

import duckdb

SYSTEM, USER = 1, 2

_GENERIC_USER_ERROR = 1006
_ERROR_TYPES = {
    "SYNTAX_ERROR": 1100,
    "TABLE_NOT_FOUND": 1301,
    "SCHEMA_NOT_FOUND": 1302,
    "HIVE_PATH_ALREADY_EXISTS": 1411,
    "HIVE_BAD_DATA": 1403,
    "EXCEEDED_MEMORY_LIMIT": 1002,
}


class QueryFailed(Exception):
    """The statement cannot run, or stopped; `reason` is Athena's StateChangeReason."""

    def __init__(self, code: str, message: str, *, category: int = USER) -> None:
        self.code = code
        self.category = category
        self.reason = f"{code}: {message}" if code else message
        super().__init__(self.reason)

    def athena_error(self) -> dict[str, object]:
        """The AthenaError of GetQueryExecution."""
        return {
            "ErrorCategory": self.category,
            "ErrorType": _ERROR_TYPES.get(self.code, _GENERIC_USER_ERROR),
            "Retryable": self.category == SYSTEM,
            "ErrorMessage": self.reason,
        }


class QueryCancelled(Exception):
    """The query was stopped, by its user or by a limit."""


def unsupported(what: str, where: str = "") -> QueryFailed:
    """The local Athena lacks something that Athena has; it says so by name."""
    return QueryFailed("NOT_SUPPORTED", f"{where}The local Athena does not support {what}")


def no_iceberg(what: str, where: str = "") -> QueryFailed:
    """Iceberg is refused as a whole, with what to do instead."""
    return unsupported(
        f"Iceberg tables ({what}). Use a Hive table: write Parquet by CTAS or INSERT, and replace "
        "a partition, or a view over generations, where rows must change",
        where,
    )


_PYTHON = re.compile(
    r"Python exception occurred while executing the UDF: \w+: (.*?)\n\nAt:.*", re.DOTALL
)
_OWN = re.compile(r"\b([A-Z][A-Z_]+[A-Z]): (.*)", re.DOTALL)
_CAST = re.compile(r'Could not convert string ["\'](.*)["\'] to ([A-Z0-9 (),_]+)')
_GROUPED = re.compile(r'column "?([^"]+)"? must appear in the GROUP BY clause')


def from_duckdb(error: duckdb.Error) -> QueryFailed:
    """Name the engine's failure as Athena would."""
    text = _PYTHON.sub(r"\1", str(error).removeprefix("Invalid Input Error: "))
    if isinstance(error, duckdb.InvalidInputException) and (own := _OWN.match(text)):
        return QueryFailed(own[1], own[2])
    for part, (code, message) in _MEANT.items():
        if part in text:
            return QueryFailed(code, message or text)
    if cast := _CAST.search(text):
        return QueryFailed("INVALID_CAST_ARGUMENT", f"Cannot cast '{cast[1]}' to {cast[2]}")
    if grouped := _GROUPED.search(text):
        return QueryFailed(
            "EXPRESSION_NOT_AGGREGATE",
            f"'{grouped[1]}' must be an aggregate expression or appear in GROUP BY clause",
        )
    return _by_kind(error, text)


_MEANT = {
    "More than one row returned by a subquery": (
        "SUBQUERY_MULTIPLE_ROWS",
        "Scalar sub-query has returned multiple rows",
    ),
    "Map keys must be unique": (
        "INVALID_FUNCTION_ARGUMENT",
        "Duplicate map keys are not allowed",
    ),
    "Map keys can not be NULL": ("INVALID_FUNCTION_ARGUMENT", "map key cannot be null"),
    "out of range for the destination type": ("NUMERIC_VALUE_OUT_OF_RANGE", ""),
    "regex": ("INVALID_FUNCTION_ARGUMENT", ""),
}
"""Parts of the engine's messages, and what Trino says then; '' keeps the engine's words."""
_NOT_PARQUET = ("No magic bytes found", "too small to be a Parquet file", "Invalid footer")


def _by_kind(error: duckdb.Error, text: str) -> QueryFailed:
    if any(part in text for part in _NOT_PARQUET):
        return QueryFailed("HIVE_BAD_DATA", f"Not valid Parquet file: {text}")
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return QueryFailed(code, text)
    return QueryFailed("GENERIC_USER_ERROR", text)


_CODES: dict[type[duckdb.Error], str] = {
    duckdb.ConversionException: "INVALID_CAST_ARGUMENT",
    duckdb.OutOfRangeException: "NUMERIC_VALUE_OUT_OF_RANGE",
    duckdb.OutOfMemoryException: "EXCEEDED_MEMORY_LIMIT",
    duckdb.HTTPException: "HIVE_CANNOT_OPEN_SPLIT",
    duckdb.IOException: "HIVE_CANNOT_OPEN_SPLIT",
    duckdb.BinderException: "SYNTAX_ERROR",
    duckdb.ParserException: "SYNTAX_ERROR",
}
