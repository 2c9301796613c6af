"""Putting the approval rules of files in force, and telling what that changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import NotFound
from mlops.registry.policy import FILE, Applied, load_rules, save_rules

if TYPE_CHECKING:
    from mlops.registry.desk import Desk


@dataclass(frozen=True)
class RulesChange:
    """The rules of a model's file, beside those that are in force."""

    applied: Applied
    before: Applied

    @property
    def is_new(self) -> bool:
        return self.before.applied_at is None

    @property
    def changes(self) -> bool:
        """Whether applying them does anything."""
        return self.is_new or self.applied.rules != self.before.rules

    def differences(self) -> Iterator[str]:
        """Each rule that is another than before; of a model without any, than the platform's."""
        old = self.before.rules.model_dump(mode="json")
        for name, value in self.applied.rules.model_dump(mode="json").items():
            if value != old[name]:
                yield f"{name}: {json.dumps(old[name])} → {json.dumps(value)}"


def plan_rules(desk: Desk, model: str, path: Path | None) -> RulesChange:
    """What applying a file's rules would change. Raises NotFound, InputError, Refused."""
    in_force = load_rules(desk.documents, model)
    return RulesChange(desk.rules_of_file(model, path or Path("pipelines", model, FILE)), in_force)


def apply_rules(desk: Desk, change: RulesChange) -> None:
    """Put them in force, where they are not."""
    if change.changes:
        save_rules(desk.documents, change.applied)


def models_with_rules() -> list[str]:
    """Every folder of pipelines/ that has rules. Raises NotFound where there is none."""
    found = sorted(path.parent.name for path in Path("pipelines").glob(f"*/{FILE}"))
    if not found:
        raise NotFound(
            f"There is no pipelines/*/{FILE} here. Run from the repository, or name a model."
        )
    return found
