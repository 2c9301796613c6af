"""One version from a folder, as SageMaker's hosting hands it to a container (/opt/ml/model).

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from mlops.deployment import DeployedVersion, Deployment, save_deployment
from mlops.errors import NotFound
from mlops.manifest import MANIFEST, read_manifest
from mlops.objects import MemoryDocuments

_PREFIX = "hosted/"


def hosted_documents(folder: Path, version: int) -> MemoryDocuments:
    """The folder's files and the document that has them served. Raises NotFound, InputError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFound(
            f"{folder} holds no {MANIFEST}: it is no model that was registered here. "
            "MLOPS_INFERENCE_MODEL_DIR is for SageMaker's endpoints only."
        )
    body = path.read_bytes()
    model = read_manifest(body, where=str(path)).model
    files = {_PREFIX + one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    documents = MemoryDocuments(files)
    deployed = DeployedVersion(
        version=version,
        package_arn="",
        model_prefix=f"s3://folder/{_PREFIX}",
        manifest_sha256=hashlib.sha256(body).hexdigest(),
    )
    deployment = Deployment(
        endpoint=model,
        model=model,
        stable=deployed,
        changed_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        changed_by="SageMaker",
        reason="hosted by itself",
    )
    save_deployment(documents, deployment, replacing=None)
    return documents
