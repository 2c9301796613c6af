"""Reads a declarative Jenkinsfile as a tree of named blocks; enough for tests of its structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t]+|//[^\n]*|/\*.*?\*/)
  | (?P<newline>\n)
  | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
  | (?P<word>[A-Za-z_][\w.]*|\d+)
  | (?P<mark>[{}()\[\],:=])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass
class Block:
    """`name arguments { children }`; a step without braces has no children."""

    name: str
    arguments: list[str] = field(default_factory=list)
    children: list[Block] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Block]:
        """Every block of that name below this one, in the order of the file."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.all(name)

    def one(self, name: str) -> Block:
        (found,) = [child for child in self.children if child.name == name]
        return found

    @property
    def names(self) -> list[str]:
        return [child.name for child in self.children]


def parse(text: str) -> Block:
    """The file's blocks below a nameless one. Raises ValueError where it is no such file."""
    tokens = list(_tokens(text))
    root, rest = _children(Block(""), tokens)
    if rest:
        raise ValueError(f"a brace too many before {rest[:3]}")
    return root


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"cannot read {text[position : position + 20]!r}")
        position = found.end()
        if found.lastgroup != "skip":
            yield found.group()


def _children(block: Block, tokens: list[str]) -> tuple[Block, list[str]]:
    while tokens:
        token, tokens = tokens[0], tokens[1:]
        if token == "\n":
            continue
        if token == "}":
            if not block.name:
                raise ValueError("a brace closes nothing")
            return block, tokens
        child, tokens = _statement(Block(token), tokens)
        block.children.append(child)
    if block.name:
        raise ValueError(f"the block '{block.name}' is not closed")
    return block, []


def _statement(block: Block, tokens: list[str]) -> tuple[Block, list[str]]:
    """Arguments up to the line's end, or up to a brace outside of parentheses."""
    depth = 0
    while tokens:
        token = tokens[0]
        if token == "}" or (token == "\n" and depth == 0):
            return block, tokens
        tokens = tokens[1:]
        if token == "{" and depth == 0:
            return _children(block, tokens)
        depth += (token in "([") - (token in ")]")
        if token not in ("\n", "(", ")", ","):
            block.arguments.append(token.strip("'\"") if token[0] in "'\"" else token)
    return block, []
