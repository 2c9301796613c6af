"""Execution parameters: the literals that take the place of a query's question marks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot.tokenizer_core import TokenType

from infra.local.athena.dialect import trino_words
from infra.local.athena.errors import QueryFailed
from infra.local.service import AwsError


def with_parameters(sql: str, parameters: Sequence[str]) -> str:
    """The query with each ? replaced. Raises AwsError when their numbers differ."""
    if not parameters:
        return sql
    try:
        tokens = trino_words(sql)
    except QueryFailed as exc:
        raise AwsError("InvalidRequestException", exc.reason) from exc
    places = [token.start for token in tokens if token.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(parameters):
        raise AwsError(
            "InvalidRequestException",
            f"Incorrect number of parameters: expected {len(places)} but found {len(parameters)}",
        )
    for place, value in reversed(list(zip(places, parameters, strict=True))):
        sql = f"{sql[:place]}{value}{sql[place + 1 :]}"
    return sql
