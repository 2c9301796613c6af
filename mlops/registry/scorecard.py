"""How a version did on its test rows: `scorecard.json` beside `model.onnx`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from mlops.errors import NotFound, Refused
from mlops.objects import Documents
from mlops.registry.artifacts import key_prefix
from mlops.registry.versions import ModelVersion

SCORECARD = "scorecard.json"
METADATA = "scorecard_sha256"
"""What the registry calls the scorecard's checksum."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Points = tuple[tuple[FiniteFloat, FiniteFloat], ...]


class Curves(_Frozen):
    """What a classifier's scores look like, in few points each."""

    roc: Points
    """Share of negatives and of positives at or above a score."""
    precision_recall: Points
    """Recall and precision."""
    calibration: Points
    """Mean score and share of positives, by tenths of the rows in the order of their scores."""


class Measured(_Frozen):
    """What one model reaches on the test rows."""

    metrics: Mapping[str, FiniteFloat]
    replicates: Mapping[str, tuple[FiniteFloat, ...]] = {}
    """The same on each bootstrap draw of the rows; two models' draws are the same ones."""
    curves: Curves | None = None


class Examination(_Frozen):
    """A model, and the version that was approved then, on the same rows."""

    rows_sha256: str
    """Of the test rows with their labels and features: equal hashes are equal rows."""
    rows: int
    unit: str | None = None
    """The column whose values were drawn whole; None where rows were."""
    own: Measured
    approved_version: int | None
    approved: Measured | None


class Latency(_Frozen):
    """One row at a time, on one thread of the machine that exported the model."""

    runs: int
    p50_ms: FiniteFloat
    p99_ms: FiniteFloat


class Scorecard(Examination):
    """A version's test, and what it costs to serve."""

    schema_version: Literal[1] = 1
    model: str
    latency: Latency
    model_bytes: int


def read_scorecard(documents: Documents, bucket: str, version: ModelVersion) -> Scorecard | None:
    """A version's scorecard; None where it was registered without one.

    Raises Refused where it is missing or was changed.
    """
    wanted = version.lineage.get(METADATA)
    if not wanted:
        return None
    label = f"Version {version.version} of '{version.model}'"
    try:
        body = documents.get(key_prefix(bucket, version) + SCORECARD).body
    except NotFound as exc:
        raise Refused(f"{label}: {SCORECARD} is missing. Train again.") from exc
    found = hashlib.sha256(body).hexdigest()
    if found != wanted:
        raise Refused(
            f"{label}: {SCORECARD} has sha256 {found[:12]}, the registry says {wanted[:12]}. It "
            "was changed after registration; train again."
        )
    try:
        return Scorecard.model_validate_json(body)
    except ValidationError as exc:
        raise Refused(f"{label}: {SCORECARD} cannot be read here: {exc}") from exc


def on_same_rows(
    first: tuple[int, Scorecard | None], second: tuple[int, Scorecard | None]
) -> tuple[Measured, Measured] | None:
    """What two versions reach on rows that both were tested on; None where there are none.

    first, second: a version's number and its scorecard. Either card may hold both, as a new
    version is tested beside the one that is approved then.
    """
    (number, card), (other_number, other) = first, second
    if other and other.approved and other.approved_version == number:
        return other.approved, other.own
    if card and card.approved and card.approved_version == other_number:
        return card.own, card.approved
    if card and other and card.rows_sha256 == other.rows_sha256:
        return card.own, other.own
    return None
