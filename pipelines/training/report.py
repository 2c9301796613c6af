"""The page about a new version, beside the one that was approved when it was tested."""

from __future__ import annotations

from typing import NamedTuple

from mlops.manifest import Manifest
from mlops.objects import Documents
from mlops.registry.dossier import Dossier, read_dossier
from mlops.registry.report import render_report
from mlops.registry.scorecard import Scorecard
from mlops.registry.telling import tell_comparison
from mlops.registry.versions import ModelRegistry
from pipelines.training.run import Run


class Report(NamedTuple):
    """The page, and what of it is told at once."""

    html: bytes
    """`report.html`."""
    comparison: list[str]


def write_report(
    run: Run,
    manifest: Manifest,
    card: Scorecard,
    registry: ModelRegistry,
    documents: Documents,
    bucket: str,
) -> Report:
    """Reads the approved version's files, where there is one."""
    approved = None
    if card.approved_version is not None:
        version = registry.get(run.workflow, card.approved_version)
        approved = read_dossier(documents, bucket, version)
    own = unregistered(run, manifest, card)
    return Report(render_report(own, approved).encode(), tell_comparison(approved, own))


def unregistered(run: Run, manifest: Manifest, card: Scorecard) -> Dossier:
    """A version on its way to the registry, which will number it."""
    facts = {
        "execution": run.execution,
        "code_sha256": run.code_sha256,
        "feature_service": manifest.feature_service,
        "data_snapshot": manifest.data_snapshot,
        "dataset": manifest.dataset or "",
        "algorithm": run.model_settings.algorithm,
        "trained_by": run.trained_by,
        "submitted_by": run.submitted_by,
    }
    label = f"the version of run {run.name}"
    return Dossier(run.workflow, 0, label, manifest.metrics, facts, manifest, card)
