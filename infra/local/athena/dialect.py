"""Parsing with sqlglot: Trino's grammar, with every call left as it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.hive import Hive
from sqlglot.dialects.trino import Trino
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.trino import TrinoParser
from sqlglot.tokenizer_core import Token, TokenType

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.types import Type, from_sqlglot

_SPECIAL_SYNTAX = ("CAST", "TRY_CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM", "LISTAGG")


def _called(name: str) -> Callable[[TrinoParser], exp.Expr]:
    """The parser of CAST(… AS …), which marks it: DECIMAL '1.5' parses to the same otherwise."""

    def parse(parser: TrinoParser) -> exp.Expr:
        node: exp.Expr = TrinoParser.FUNCTION_PARSERS[name](parser)
        node.meta["called"] = True
        return node

    return parse


def _json_value(parser: TrinoParser) -> exp.Expr:
    return parser._parse_json_value(json_path=False)


def _json_exists(parser: TrinoParser) -> exp.Expr:
    document = parser._parse_bitwise()
    parser._match(TokenType.COMMA)
    path = parser._parse_bitwise()
    if parser._match_text_seq("PASSING"):
        raise unsupported("PASSING in JSON_EXISTS")
    handling = next(
        (
            w
            for w in ("TRUE", "FALSE", "UNKNOWN", "ERROR")
            if parser._match_text_seq(w, "ON", "ERROR")
        ),
        None,
    )
    return exp.JSONExists(this=document, path=path, on_condition=handling)


def _json_array(parser: TrinoParser) -> exp.Expr:
    items = parser._parse_csv(lambda: parser._parse_format_json(parser._parse_assignment()))
    handling = parser._parse_on_handling("NULL", "NULL", "ABSENT")
    if parser._match_text_seq("RETURNING"):
        raise unsupported("RETURNING of JSON_ARRAY")
    return exp.JSONArray(expressions=items, null_handling=handling)


def _all(parser: TrinoParser) -> exp.Expr:
    """ALL (VALUES …) beside ALL (SELECT …), which is all that sqlglot takes."""
    if query := parser._parse_select():
        return exp.All(this=query)
    values = parser._parse_derived_table_values()
    if values is None:
        return exp.Anonymous(this="all", expressions=parser._parse_csv(parser._parse_assignment))
    return exp.All(this=exp.Subquery(this=values))


_SYNTAX: dict[str, Callable[[TrinoParser], exp.Expr]] = {
    "JSON_VALUE": _json_value,
    "JSON_EXISTS": _json_exists,
    "JSON_ARRAY": _json_array,
    "JSON_QUERY": TrinoParser._parse_json_query,
    "JSON_OBJECT": lambda parser: parser._parse_json_object(agg=False),
    "ALL": _all,
}


class PlainTrino(Trino):
    """Trino, but a function call is a name with arguments: nothing is guessed about it."""

    INDEX_OFFSET = 0

    class Parser(TrinoParser):
        FUNCTIONS: ClassVar = {}
        # Other dialects' :: and <=> are no SQL of Trino's.
        COLUMN_OPERATORS: ClassVar = {
            kind: parse
            for kind, parse in TrinoParser.COLUMN_OPERATORS.items()
            if kind == TokenType.DOT
        }
        EQUALITY: ClassVar = {
            kind: node
            for kind, node in TrinoParser.EQUALITY.items()
            if kind != TokenType.NULLSAFE_EQ
        }
        FUNCTION_PARSERS: ClassVar = {
            **{name: _called(name) for name in _SPECIAL_SYNTAX},
            **_SYNTAX,
        }


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


_PLAIN = PlainTrino()


_BEFORE_AN_EXPRESSION = frozenset({
    TokenType.SELECT, TokenType.COMMA, TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.EQ,
    TokenType.DPIPE, TokenType.ARROW, TokenType.WHERE, TokenType.AND, TokenType.OR,
    TokenType.THEN, TokenType.ELSE, TokenType.DISTINCT,
})  # fmt: skip


def _check_tokens(sql: str, tokens: list[Token]) -> None:
    """Refuse what the parser would read past, or read as no dialect of Trino's does."""
    for token, following in pairwise(tokens):
        kind, next_ = token.token_type, following.token_type
        if kind == TokenType.GROUP_BY and next_ == TokenType.DISTINCT:
            raise unsupported("GROUP BY DISTINCT", _where(following))
        if next_ == TokenType.HEX_STRING and sql[following.start] == "0":
            raise unsupported(f"the integer 0x{following.text}", _where(following))
        if next_ == TokenType.L_BRACKET and kind in _BEFORE_AN_EXPRESSION:
            message = f"{_where(following)}mismatched input '['; an array is ARRAY[…]"
            raise QueryFailed("SYNTAX_ERROR", message)
        touching = following.start == token.end + 1 and following.text[:1].isidentifier()
        if kind == TokenType.NUMBER and touching:
            raise QueryFailed(
                "SYNTAX_ERROR",
                f"{_where(following)}identifiers must not start with a digit; surround the "
                "identifier with double quotes",
            )


def _where(token: Token) -> str:
    return f"line {token.line}:{token.col - (token.end - token.start)}: "


def parse_query(sql: str) -> exp.Query:
    """One query. Raises SYNTAX_ERROR with the place."""
    try:
        tokens = _PLAIN.tokenize(sql)
        _check_tokens(sql, tokens)
        found = _PLAIN.parser().parse(tokens, sql)
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
