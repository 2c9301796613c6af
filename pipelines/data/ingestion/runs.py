"""What a run of the ingestion did, file by file; kept in the data bucket."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlops.errors import NotFound
from mlops.objects import Documents
from pipelines.data.manifests import ImportManifest
from pipelines.data.schema import RUNS_PREFIX

State = Literal["imported", "corrected", "known", "refused", "held back", "waiting", "missing"]
FAILED: frozenset[State] = frozenset({"refused", "held back", "missing"})


class FileReport(BaseModel):
    """What became of a file.

    imported: its rows are new. corrected: they replace those of its earlier content. known: its
    content is current already. refused: see error. held back: another file that it must come with
    was refused. waiting: its folder has no _SUCCESS yet. missing: a control file names it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    state: State
    error: str | None = None
    uri: str = ""
    size: int = 0
    etag: str = ""
    sha256: str = ""
    seconds: float = 0
    """Reading and checking it."""
    manifest: ImportManifest | None = None
    """What it brought, or would bring."""


class IngestRun(BaseModel):
    """What a run did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    source: str
    started_at: datetime
    by: str
    dry_run: bool = False
    seconds: float
    unchanged: int
    """Files that S3 says are as they were when they were imported; they were not read."""
    files: tuple[FileReport, ...]
    """The others, by path."""
    retracted: int = 0
    """Imports that readers see no longer."""

    @property
    def states(self) -> Counter[State]:
        return Counter(file.state for file in self.files)

    @property
    def failed(self) -> tuple[FileReport, ...]:
        return tuple(file for file in self.files if file.state in FAILED)

    @property
    def rows_imported(self) -> int:
        """New or corrected rows that readers see now."""
        came = [f.manifest for f in self.files if f.state in ("imported", "corrected")]
        return sum(manifest.rows_imported for manifest in came if manifest)

    @property
    def days(self) -> list[str]:
        """Of the rows that were imported, in order."""
        return sorted({day for f in self.files if f.manifest for day in f.manifest.days})


def save_run(documents: Documents, run: IngestRun) -> None:
    documents.put(f"{RUNS_PREFIX}{run.run}.json", run.model_dump_json(indent=1).encode())


def list_runs(documents: Documents) -> list[str]:
    """Names of the runs, oldest first."""
    return [
        key.removeprefix(RUNS_PREFIX).removesuffix(".json") for key in documents.keys(RUNS_PREFIX)
    ]


def read_run(documents: Documents, name: str) -> IngestRun:
    """Raises NotFound."""
    try:
        body = documents.get(f"{RUNS_PREFIX}{name}.json").body
    except NotFound as exc:
        raise NotFound(f"There is no run '{name}'. See: mlops data ingests list.") from exc
    return IngestRun.model_validate_json(body)
