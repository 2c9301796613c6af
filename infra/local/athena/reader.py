"""Reading tokens one after the other: what the two statement parsers share."""

from __future__ import annotations

from sqlglot.tokenizer_core import Token, TokenType

from infra.local.athena.errors import QueryFailed
from infra.local.athena.statements import Name


class Reader:
    """A cursor over a statement's tokens."""

    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self.sql = sql
        self.tokens = [token for token in tokens if token.text != "" or token.start != token.end]
        while self.tokens and self.tokens[-1].token_type == TokenType.SEMICOLON:
            self.tokens.pop()
        self.index = 0

    @property
    def token(self) -> Token | None:
        return self.tokens[self.index] if self.index < len(self.tokens) else None

    def peek(self, *words: str) -> bool:
        """Whether these words come next, in any case."""
        found = self.tokens[self.index : self.index + len(words)]
        return len(found) == len(words) and all(
            token.text.upper() == word and token.token_type != TokenType.STRING
            for token, word in zip(found, words, strict=True)
        )

    def take(self, *words: str) -> bool:
        """Step over these words if they come next."""
        if not self.peek(*words):
            return False
        self.index += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise self.mismatch(f"expecting '{' '.join(words)}'")

    def next(self) -> Token:
        token = self.token
        if token is None:
            raise self.mismatch("the statement ends too early")
        self.index += 1
        return token

    def string(self) -> str:
        token = self.next()
        if token.token_type != TokenType.STRING:
            self.index -= 1
            raise self.mismatch("expecting a string")
        return token.text

    def identifier(self) -> str:
        return self.word().lower()

    def word(self) -> str:
        """An identifier in the letters that it is written in."""
        token = self.next()
        if token.token_type == TokenType.STRING or not token.text or not _is_word(token):
            self.index -= 1
            raise self.mismatch("expecting an identifier")
        return token.text

    def expression(self) -> str:
        """What stands here up to the next comma that no bracket holds, as it is written."""
        start, depth, end = self.next(), 0, 0
        self.index -= 1
        while self.token is not None and not (depth == 0 and self.token.text == ","):
            token = self.next()
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
            end = token.end
        return self.sql[start.start : end + 1]

    def name(self) -> Name:
        """A name of one to three parts; Hive also takes `db.table` in one pair of backticks."""
        where = self.where()
        parts = self.identifier().split(".")
        while self.take("."):
            parts.append(self.identifier())
        if len(parts) > 3:
            raise self.mismatch("a name has at most three parts")
        catalog, database, table = ["", "", *parts][-3:]
        return Name(table, database, catalog, where)

    def end(self) -> None:
        if self.token is not None:
            raise self.mismatch("expecting the end of the statement")

    def where(self) -> str:
        """'line 1:8: ' of the next token."""
        offset = self.token.start if self.token else len(self.sql)
        line = self.sql.count("\n", 0, offset) + 1
        return f"line {line}:{offset - (self.sql.rfind(chr(10), 0, offset) + 1) + 1}: "

    def mismatch(self, wanted: str) -> QueryFailed:
        found = self.token.text if self.token else "<EOF>"
        return QueryFailed("SYNTAX_ERROR", f"{self.where()}mismatched input '{found}', {wanted}")

    def blanked(self, start: int, end: int) -> str:
        """The statement with everything outside [start, end) made blank, lines kept."""
        before = "".join("\n" if c == "\n" else " " for c in self.sql[:start])
        return before + self.sql[start:end]


def _is_word(token: Token) -> bool:
    return (
        token.token_type == TokenType.IDENTIFIER or token.text[0].isalpha() or token.text[0] == "_"
    )
