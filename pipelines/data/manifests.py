"""What came in, file by file: written before readers see it, and never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import NotFound
from mlops.objects import Documents
from pipelines.data.ledger import load_ledger
from pipelines.data.schema import IMPORTS_PREFIX


class ImportManifest(BaseModel):
    """What an import brought."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    import_id: str
    file: str
    sha256: str
    size: int = 0
    """Bytes of the file as it came."""
    rows_read: int
    rows_imported: int
    rows_refused: int
    reasons: dict[str, int]
    """How many rows have each fault; a row may have several."""
    quarantine: str | None
    """Where the refused rows are, with their reasons."""
    days: Annotated[tuple[str, ...], Field(repr=False)]
    first_event: datetime | None = None
    last_event: datetime | None = None
    columns: dict[str, str] = {}
    """The schema as found in the file."""
    replaces: tuple[str, ...] = ()
    """The imports of the file's earlier contents, which readers no longer see."""
    rows_replaced: int = 0
    revives: str | None = None
    """The import whose refused rows these are, since what they repeated was corrected."""
    imported_at: datetime
    imported_by: str
    run: str | None = None
    """The run of 'mlops data ingest' that brought it."""


def manifest_key(import_id: str) -> str:
    return f"{IMPORTS_PREFIX}{import_id}.json"


def read_manifest(documents: Documents, import_id: str) -> ImportManifest:
    """Raises NotFound."""
    try:
        body = documents.get(manifest_key(import_id)).body
    except NotFound as exc:
        raise NotFound(f"There is no import '{import_id}'. See: mlops data list.") from exc
    return ImportManifest.model_validate_json(body)


def list_manifests(documents: Documents) -> list[ImportManifest]:
    """Every import that readers see, oldest first."""
    ledger, _ = load_ledger(documents)
    return [
        read_manifest(documents, one.id)
        for one in ledger.imports
        if one.visible_in(ledger.published)
    ]
