"""Reads Dockerfiles: their stages, what each inherits, and what it does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    name: ROOT / "infra" / "images" / f"{name}.Dockerfile" for name in ("serving", "jobs", "mlflow")
}


@dataclass(frozen=True)
class Instruction:
    kind: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments: of the JSON form, or split, without options like --from and --mount."""
        if self.text.startswith("["):
            return list(json.loads(self.text))
        return [word for word in self.text.split() if not word.startswith("--")]

    def option(self, name: str) -> str | None:
        found = re.search(rf"--{name}=(\S+)", self.text)
        return found[1] if found else None


@dataclass(frozen=True)
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, kind: str) -> list[Instruction]:
        return [one for one in self.instructions if one.kind == kind]


def parse(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """The arguments before the first stage with their defaults, and the stages by name."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for kind, rest in _lines(text):
        if kind == "FROM":
            base, _, name = rest.partition(" AS ")
            current = stages[name] = Stage(name, base)
        elif current is None:
            assert kind == "ARG", kind
            name, _, default = rest.partition("=")
            arguments[name] = default
        else:
            current.instructions.append(Instruction(kind, rest))
    return arguments, stages


def _lines(text: str) -> Iterator[tuple[str, str]]:
    without = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", without).splitlines():
        if line.strip():
            kind, _, rest = line.partition(" ")
            yield kind, rest.strip()


def inherited(stage: Stage, stages: Mapping[str, Stage]) -> list[Instruction]:
    """What a stage does, after what it is built on does."""
    below = stages.get(stage.base)
    return [*(inherited(below, stages) if below else ()), *stage.instructions]
