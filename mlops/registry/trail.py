"""Whether the registry and the record tell the same story."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlops.registry.record import Entry, latest, standing_approvals
from mlops.registry.versions import ModelVersion, Pointer, Status, newest_approved

_MARK = re.compile(r"\[record ([0-9a-f]{64})\]$")


@dataclass(frozen=True)
class Trail:
    """What does not fit; one sentence each."""

    problems: tuple[str, ...]
    """Changed around the record, or the record lost entries."""
    unfinished: tuple[str, ...]
    """Recorded, but not yet in the registry; running the command again completes it."""


def note_for(entry: Entry) -> str:
    """What stands beside the status in the registry: the reason, and which entry it is."""
    return f"{entry.reason} [record {entry.hash}]"


def noted_hash(note: str) -> str:
    """The entry that a note names, by its hash; empty when it names none."""
    found = _MARK.search(note)
    return found[1] if found else ""


def matches(version: ModelVersion, entry: Entry) -> bool:
    """Whether the registry has carried out this very entry."""
    return version.status is entry.after and noted_hash(version.note) == entry.hash


def has_files_of(version: ModelVersion, entry: Entry) -> bool:
    """Whether the version is still what was decided on."""
    found = (version.package_arn, version.model_prefix, version.manifest_sha256)
    return found == (entry.package_arn, entry.model_prefix, entry.manifest_sha256)


def compare_trail(entries: Sequence[Entry], versions: Iterable[ModelVersion]) -> Trail:
    """Hold every version's registry state against the record.

    Finds registry changes that bypassed the record, and a record whose newest entries are gone.
    """
    found = sorted(versions, key=lambda v: v.version)
    lost = sorted({e.version for e in entries} - {v.version for v in found})
    problems = [f"version {n}: it was decided on, and the registry lost it" for n in lost]
    unfinished = []
    for version in found:
        stands = latest(entries, version.version)
        if stands is not None and _is_unfinished(version, stands, entries):
            unfinished.append(
                f"version {version.version}: entry {stands.sequence} says {stands.after}, the "
                f"registry still {version.status}; run 'mlops models {stands.action} "
                f"{version.model} {version.version}' again"
            )
        elif problem := _mismatch(version, stands, entries):
            problems.append(f"version {version.version}: {problem}")
    return Trail(tuple(problems), tuple(unfinished))


def compare_pointer(
    entries: Sequence[Entry], versions: Iterable[ModelVersion], pointer: Pointer | None
) -> list[str]:
    """Hold the version that the registry calls the approved against the record.

    While a decision is carried out it may be the one of before, or the one of after; while several
    are, any.
    """
    versions = list(versions)
    if compare_trail(entries, versions).unfinished:
        return []
    carried = newest_approved(versions)
    recorded = max((entry.version for entry in standing_approvals(entries)), default=None)
    if pointer is None or pointer.version in {recorded, carried.version if carried else None}:
        return []
    says = f"version {pointer.version}" if pointer.version else "no version"
    wanted = f"version {recorded}" if recorded else "none"
    return [f"the alias of the approved names {says}, the record {wanted}: it was set around it"]


def _is_unfinished(version: ModelVersion, stands: Entry, entries: Sequence[Entry]) -> bool:
    """Whether the registry is where it was before the decision that stands.

    Of two decisions at the same moment, the later says by its 'from' that the one before was not
    carried out yet; then the registry may also be where it was before that one.
    """
    if matches(version, stands):
        return False
    line = [entry for entry in entries if entry.version == stands.version and entry.decides]
    for before, entry in reversed(list(pairwise(line))):
        if matches(version, before):
            return True
        if entry.before is before.after:
            return False
    return version.status is line[0].before and not version.note


def _mismatch(version: ModelVersion, stands: Entry | None, entries: Sequence[Entry]) -> str:
    noted = noted_hash(version.note)
    if noted and noted not in {entry.hash for entry in entries}:
        return f"the registry names entry {noted[:12]}, which the record does not have"
    if stands is None and version.status is not Status.PENDING:
        return f"the registry says {version.status}, the record holds no decision"
    if stands is not None and not matches(version, stands):
        return (
            f"entry {stands.sequence} says {stands.after}, the registry says {version.status}: "
            "it was changed around the record"
        )
    if stands is not None and not has_files_of(version, stands):
        return f"it points to other files than those that entry {stands.sequence} decided on"
    return ""
