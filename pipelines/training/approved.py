"""The version that is approved now, as a scorer of the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.manifest import MODEL, Manifest
from mlops.objects import Documents
from mlops.registry.artifacts import check_artifacts, key_prefix
from mlops.registry.versions import ModelRegistry, newest_approved
from pipelines.training.dataset import to_matrix
from pipelines.training.graph import Graph


@dataclass(frozen=True)
class ApprovedModel:
    """An approved version, loaded and checked."""

    version: int
    manifest: Manifest
    graph: Graph

    def scores(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Its scores, from its own inputs among the rows' columns."""
        return self.graph.scores(to_matrix(rows, self.manifest.inputs))


def load_approved(
    registry: ModelRegistry, documents: Documents, bucket: str, model: str
) -> ApprovedModel | None:
    """The newest approved version; None when there is none. Raises Refused when it was changed."""
    version = newest_approved(registry.versions(model))
    if version is None:
        return None
    manifest = check_artifacts(documents, bucket, version)
    body = documents.get(key_prefix(bucket, version) + MODEL).body
    graph = Graph(body, manifest.graph_input, manifest.graph_output, manifest.opset)
    return ApprovedModel(version.version, manifest, graph)
