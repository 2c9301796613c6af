"""Compiling a workflow: from code and settings to the document that is deployed. Pure but for
reading the code's files; needs no credentials, and the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.errors import NotFound
from mlops.names import Role
from mlops.settings import Settings
from pipelines.training import layout
from pipelines.training.archive import archive
from pipelines.training.rollouts import require_rollout
from pipelines.training.settings import list_models, load_defaults
from pipelines.training.workflows import builder

_PACKAGES = ("mlops", "pipelines")
_FEATURE_REPO = "feature_repo"


@dataclass(frozen=True)
class Bundle:
    """The code that the jobs run, as one archive."""

    body: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Compiled:
    """A workflow, ready to be uploaded."""

    document: dict[str, Any]
    """What the deploying Lambda reads: the definition, and what it belongs to."""
    bundle: Bundle

    @property
    def name(self) -> str:
        return str(self.document["workflow"])

    @property
    def code_sha256(self) -> str:
        return self.bundle.sha256

    @property
    def definition(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["definition"]
        return found

    @property
    def body(self) -> bytes:
        return to_json(self.document)


def to_json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def bundle_code(feature_repo: Path) -> Bundle:
    """The packages that jobs need and the feature repo; the same files give the same bytes.

    Raises NotFound when there is no feature repo.
    """
    if not (feature_repo / "feature_store.yaml").exists():
        raise NotFound(
            f"{feature_repo} is no feature repo: it has no feature_store.yaml. "
            "Run from the repository, or set MLOPS_FEATURE_REPO."
        )
    root = Path(__file__).resolve().parents[2]
    files = {
        f"{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for folder in (root / package for package in _PACKAGES)
        for path in _sources(folder)
    }
    repo = {
        f"{_FEATURE_REPO}/{path.relative_to(feature_repo).as_posix()}": path.read_bytes()
        for path in _sources(feature_repo)
    }
    return Bundle(archive(files | repo))


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".py", ".yaml", ".sql", ".json"}:
            yield path


def compile_workflow(
    name: str, settings: Settings, *, bundle: Bundle, submitted_by: str
) -> Compiled:
    """Build and check a workflow's state machine.

    Raises NotFound, InputError with every problem, and Refused where what serves in the
    environment cannot roll the model's versions out as its settings say.
    """
    from pipelines.training.checks import check_definition  # noqa: PLC0415  # with the SDKs, slow
    from pipelines.training.machine import Site  # noqa: PLC0415  # as above

    build = builder(name)
    if name in list_models():
        require_rollout(load_defaults(name), settings)
    definition = build(Site(settings, bundle.sha256))
    check_definition(definition, size=len(to_json(definition)))
    names = settings.names
    return Compiled(
        {
            "workflow": name,
            "state_machine": names.state_machine_arn(name).rpartition(":")[2],
            "role_arn": names.role_arn(Role.WORKFLOW),
            "code_sha256": bundle.sha256,
            "source": f"s3://{names.artifact_bucket}/{layout.source_key(name, bundle.sha256)}",
            "submitted_by": submitted_by,
            "definition": definition,
        },
        bundle,
    )
