"""Parsing with sqlglot: Trino's grammar, with every call left as it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.hive import Hive
from sqlglot.dialects.trino import Trino
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.trino import TrinoParser
from sqlglot.tokenizer_core import Token, TokenType

from infra.local.athena.errors import QueryFailed
from infra.local.athena.types import Type, from_sqlglot

_SPECIAL_SYNTAX = ("CAST", "TRY_CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM", "LISTAGG")


def _called(name: str) -> Callable[[TrinoParser], exp.Expr]:
    """The parser of CAST(… AS …), which marks it: DECIMAL '1.5' parses to the same otherwise."""

    def parse(parser: TrinoParser) -> exp.Expr:
        node: exp.Expr = TrinoParser.FUNCTION_PARSERS[name](parser)
        node.meta["called"] = True
        return node

    return parse


class PlainTrino(Trino):
    """Trino, but a function call is a name with arguments: nothing is guessed about it."""

    INDEX_OFFSET = 0

    class Parser(TrinoParser):
        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {name: _called(name) for name in _SPECIAL_SYNTAX}


def _single_words(keywords: dict[str, TokenType]) -> dict[str, TokenType]:
    return {word: kind for word, kind in keywords.items() if " " not in word}


class _TrinoWords(Trino):
    """Trino's tokens, word by word: no statement is swallowed whole as a command."""

    class Tokenizer(Trino.Tokenizer):
        COMMANDS: ClassVar = set()
        KEYWORDS: ClassVar = _single_words(Trino.Tokenizer.KEYWORDS)


class _HiveWords(Hive):
    """Hive's tokens, word by word."""

    class Tokenizer(Hive.Tokenizer):
        COMMANDS: ClassVar = set()
        KEYWORDS: ClassVar = _single_words(Hive.Tokenizer.KEYWORDS)


def trino_words(sql: str) -> list[Token]:
    """Raises SYNTAX_ERROR."""
    return _tokenize(_TrinoWords(), sql)


def hive_words(sql: str) -> list[Token]:
    """Raises SYNTAX_ERROR."""
    return _tokenize(_HiveWords(), sql)


def _tokenize(dialect: Dialect, sql: str) -> list[Token]:
    try:
        return dialect.tokenize(sql)
    except TokenError as exc:
        raise QueryFailed("SYNTAX_ERROR", f"line 1:1: {exc}") from exc


def parse_query(sql: str) -> exp.Query:
    """One query. Raises SYNTAX_ERROR with the place."""
    try:
        found = sqlglot.parse(sql, dialect=PlainTrino)
    except (ParseError, TokenError) as exc:
        raise _syntax_error(exc) from exc
    parsed = [tree for tree in found if tree is not None]
    tree = exp.select("*").from_(parsed[0]) if isinstance(parsed[0], exp.Values) else parsed[0]
    if len(parsed) != 1 or not isinstance(tree, exp.Query):
        raise QueryFailed("SYNTAX_ERROR", "line 1:1: Only one sql statement is allowed, a query")
    return tree


def _syntax_error(error: Exception) -> QueryFailed:
    details = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    if not details:
        return QueryFailed("SYNTAX_ERROR", f"line 1:1: {error}")
    highlight = str(details.get("highlight") or "<EOF>")
    column = int(details.get("col") or 1) - max(len(highlight) - 1, 0)
    return QueryFailed(
        "SYNTAX_ERROR",
        f"line {details.get('line')}:{max(column, 1)}: mismatched input '{highlight}'. "
        f"{details.get('description')}",
    )


@lru_cache(maxsize=1024)
def parse_trino_type(text: str) -> Type:
    return from_sqlglot(exp.DataType.build(text, dialect=PlainTrino))


@lru_cache(maxsize=1024)
def parse_hive_type(text: str) -> Type:
    """A type as Glue writes it: bigint, string, array<struct<a:int>>, …"""
    return from_sqlglot(exp.DataType.build(text, dialect="hive"))
