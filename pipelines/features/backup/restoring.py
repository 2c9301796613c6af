"""Restoring: checked first, then the registry, then the keys; nothing is overwritten unasked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from mlops.errors import Refused
from mlops.objects import Documents
from pipelines.features.backup.archive import Archive, Manifest, Told
from pipelines.features.backup.keys import ProjectKeys

Part = Literal["all", "online", "registry"]


class Restored(BaseModel):
    """What a restoration did, or would do."""

    id: str
    keys: int
    documents: int
    dry_run: bool = False
    continued: bool = False
    """Whether it went on with one that was interrupted."""


@dataclass(frozen=True)
class Restorer:
    """Brings a backup back."""

    archive: Archive
    keys: ProjectKeys
    registry: Documents

    def restore(
        self,
        manifest: Manifest,
        *,
        part: Part = "all",
        force: bool = False,
        dry_run: bool = False,
        told: Told = lambda _: None,
    ) -> Restored:
        """Raises Refused when a checksum does not hold, and when something stands in the way that
        `force` does not clear. Interrupted, the same command goes on.
        """
        self.archive.check(manifest)
        online, registry = part in ("all", "online"), part in ("all", "registry")
        continued = online and self._under_way() == manifest.id
        if not force:
            self._refuse_what_is_there(manifest, online and not continued, registry)
        if dry_run:
            return Restored(
                id=manifest.id,
                keys=manifest.keys if online else 0,
                documents=len(manifest.documents) if registry else 0,
                dry_run=True,
                continued=continued,
            )
        documents = self.archive.restore_documents(manifest, self.registry) if registry else 0
        done = self._restore_keys(manifest, continued, told) if online else 0
        return Restored(id=manifest.id, keys=done, documents=documents, continued=continued)

    def _restore_keys(self, manifest: Manifest, continued: bool, told: Told) -> int:
        link = self.keys.link
        if not continued:
            self.keys.remove()
            link.command("SET", self._mark, manifest.id)
        done = self.archive.restore_keys(manifest, self.keys, told)
        link.command("UNLINK", self._mark)
        return done

    def _refuse_what_is_there(self, manifest: Manifest, online: bool, registry: bool) -> None:
        if online and not self.keys.is_empty():
            raise Refused(
                f"The online store holds keys of project '{manifest.project}'. Restore into an "
                "empty one, or replace what is there with --force."
            )
        differing = self.archive.differing(manifest, self.registry) if registry else []
        if differing:
            raise Refused(
                f"The registry holds other versions of {', '.join(differing[:5])}"
                f"{' …' if len(differing) > 5 else ''}. Restore the online store alone (--only "
                "online), or replace them with --force."
            )

    def _under_way(self) -> str | None:
        found = self.keys.link.command("GET", self._mark)
        return found.decode() if found else None

    @property
    def _mark(self) -> bytes:
        return b"mlops:restore:" + self.keys.project.encode()
