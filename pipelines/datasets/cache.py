"""Files of datasets on this machine, by their checksums: verified when read, bounded in size.

Several processes may share a folder. A file appears whole or not at all, readers hold it open while
another process may remove it, and nothing is believed without its checksum.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mlops.errors import Refused
from pipelines.datasets.files import disk_errors

SETTING = "MLOPS_CACHE_DIR"
_ABANDONED_SECONDS = 86_400
"""After a day a file that is still being written is taken to be a killed process's."""


class FileCache:
    """One folder of files named by their sha256; least recently used ones go first."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit = limit_bytes

    def open(self, sha256: str, fetch: Callable[[], bytes], *, label: str) -> BinaryIO:
        """The file's bytes, from here or fetched; the caller closes it.

        Raises Refused when what was fetched is not what the checksum says.
        """
        with disk_errors(self.folder, SETTING):
            return self._kept(sha256) or self._fetched(sha256, fetch, label)

    def adopt(self, sha256: str, path: Path) -> None:
        """Take over a file that was just written, so that it need not be fetched."""
        with disk_errors(self.folder, SETTING):
            temporary = self._temporary()
            try:
                shutil.copyfile(path, temporary)
                temporary.replace(self._path(sha256))
            finally:
                temporary.unlink(missing_ok=True)
            self._shrink()

    def forget(self, sha256: str) -> None:
        """Remove a file from this machine; one that is not here is no error."""
        self._path(sha256).unlink(missing_ok=True)

    def _kept(self, sha256: str) -> BinaryIO | None:
        """A file that is here and whole; one that is not is removed."""
        path = self._path(sha256)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            file.close()
            path.unlink(missing_ok=True)
            return None
        file.seek(0)
        _touch(path)
        return file

    def _fetched(self, sha256: str, fetch: Callable[[], bytes], label: str) -> BinaryIO:
        body = fetch()
        found = hashlib.sha256(body).hexdigest()
        if found != sha256:
            raise Refused(
                f"{label} has sha256 {found[:12]}, its record says {sha256[:12]}: it was changed "
                "or damaged in S3. Put it back from its record: mlops datasets rebuild --restore."
            )
        temporary = self._temporary()
        try:
            temporary.write_bytes(body)
            file = temporary.open("rb")
            temporary.replace(self._path(sha256))
        finally:
            temporary.unlink(missing_ok=True)
        self._shrink()
        return file

    def _shrink(self) -> None:
        """Remove what is too much; open files stay readable where they are open."""
        found = []
        for path in self.folder.iterdir():
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if not path.name.startswith("."):
                found.append((state.st_mtime_ns, state.st_size, path))
            elif state.st_mtime < time.time() - _ABANDONED_SECONDS:
                path.unlink(missing_ok=True)
        size = sum(size for _, size, _ in found)
        for _, bytes_, path in sorted(found):
            if size <= self._limit:
                return
            path.unlink(missing_ok=True)
            size -= bytes_

    def _temporary(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f".{uuid.uuid4().hex}"

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.parquet"


def _touch(path: Path) -> None:
    """Say that it was used; another process may have removed it meanwhile."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return
