"""Staged files that wait to be committed, how they are to be taken in, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops.errors import InputError
from pipelines.data.ledger import Arrival, Import
from pipelines.data.manifests import ImportManifest
from pipelines.data.staging import Staged
from pipelines.data.validation import Rules


@dataclass(frozen=True)
class ImportOptions:
    """How files are to be taken in."""

    rules: Rules
    imported_by: str
    max_bad_share: float = 0.05
    dry_run: bool = False
    run: str | None = None


@dataclass(frozen=True)
class Unit:
    """A staged file, with every name under which its content came."""

    label: str
    """What people call the file."""
    arrivals: dict[str, Arrival]
    """By name; the first is the one that it came under first."""
    staged: Staged
    columns: Mapping[str, str] = field(default_factory=dict)
    """The schema as found."""

    @property
    def name(self) -> str:
        return next(iter(self.arrivals))

    @property
    def arrival(self) -> Arrival:
        return self.arrivals[self.name]


@dataclass(frozen=True)
class Committed:
    """What became of units, by name."""

    imported: dict[str, ImportManifest] = field(default_factory=dict)
    known: dict[str, Import] = field(default_factory=dict)
    """Their content is current already."""
    refused: dict[str, InputError] = field(default_factory=dict)
    """Too many of their rows are bad, those that the table has already included."""
    retracted: tuple[Import, ...] = ()
    """What readers see no longer."""
