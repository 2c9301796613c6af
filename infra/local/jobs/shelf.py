"""JSON documents in a folder: what must survive a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Shelf:
    """Documents by name, one file each; a write is whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[str, Any]:
        return {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(self._folder.glob("*.json"))
        }

    def save(self, name: str, document: Any) -> None:
        path = self._folder / f"{name}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(document), encoding="utf-8")
        fresh.replace(path)

    def delete(self, name: str) -> None:
        (self._folder / f"{name}.json").unlink(missing_ok=True)
