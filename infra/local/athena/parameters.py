"""Execution parameters: the literals that take the place of a query's question marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot.tokenizer_core import TokenType

from infra.local.athena.dialect import trino_words
from infra.local.athena.errors import QueryFailed
from infra.local.service import AwsError

_EXECUTE = re.compile(r"\s*EXECUTE\s+(\w+|\"[^\"]+\")\s*;?\s*", re.IGNORECASE)


def with_parameters(sql: str, parameters: Sequence[str]) -> str:
    """A request's query with its ExecutionParameters. Raises AwsError when they do not fit."""
    if not parameters:
        return sql
    if executed := _EXECUTE.fullmatch(sql):
        return f"EXECUTE {executed[1]} USING {', '.join(parameters)}"
    try:
        return filled(sql, parameters)
    except QueryFailed as exc:
        raise AwsError("InvalidRequestException", exc.reason.partition(": ")[2]) from exc


def filled(sql: str, parameters: Sequence[str]) -> str:
    """The query with each ? replaced. Raises INVALID_PARAMETER_USAGE when their numbers differ."""
    tokens = trino_words(sql)
    places = [token.start for token in tokens if token.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(parameters):
        raise QueryFailed(
            "INVALID_PARAMETER_USAGE",
            f"Incorrect number of parameters: expected {len(places)} but found {len(parameters)}",
        )
    for place, value in reversed(list(zip(places, parameters, strict=True))):
        sql = f"{sql[:place]}{value}{sql[place + 1 :]}"
    return sql
