"""Which of the files below a source are data, and what is handed over beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.errors import InputError
from pipelines.data.ingestion.sources import Source, SourceFile

CONTROL = "_manifest.json"
SUCCESS = "_SUCCESS"
_UNFINISHED = ("._COPYING_", ".crc", "_$folder$")
"""What Hadoop leaves beside files that are being copied, were checked, or stand for a folder."""


class Expected(BaseModel):
    """What a control file says of a file."""

    model_config = ConfigDict(extra="forbid")

    rows: int | None = None
    size: int | None = None
    sha256: str | None = None


class Control(BaseModel):
    """A control file: every file below its folder that was handed over, by its path from there."""

    model_config = ConfigDict(extra="forbid")

    files: dict[str, Expected]


@dataclass(frozen=True)
class Listing:
    """What a source holds."""

    files: tuple[SourceFile, ...]
    """Data, by path; hidden and empty files are none, as Hive has it."""
    controls: Mapping[str, Control]
    """By folder."""
    finished: frozenset[str]
    """Folders with a _SUCCESS."""

    def expected(self, file: SourceFile) -> tuple[str, Expected | None] | None:
        """What the nearest control file says: its path, and None where it does not name the file.

        None where there is no control file.
        """
        for folder in _upwards(file.folder):
            if folder in self.controls:
                inner = file.path.removeprefix(f"{folder}/") if folder else file.path
                return _join(folder, CONTROL), self.controls[folder].files.get(inner)
        return None

    def is_finished(self, file: SourceFile) -> bool:
        """Whether the file's folder or one above it has a _SUCCESS."""
        return any(folder in self.finished for folder in _upwards(file.folder))

    def missing(self) -> Iterator[str]:
        """Paths that a control file names and that are not there."""
        found = {file.path for file in self.files}
        for folder, control in sorted(self.controls.items()):
            yield from (p for name in control.files if (p := _join(folder, name)) not in found)


def list_source(source: Source, scratch: Path) -> Listing:
    """Raises InputError when a control file cannot be read."""
    files, controls, finished = [], {}, set()
    for file in sorted(source.files(), key=lambda found: found.path):
        name = file.path.rpartition("/")[2]
        if is_data(file):
            files.append(file)
        elif name == CONTROL and not _is_hidden(file.folder):
            controls[file.folder] = _read_control(source, file, scratch)
        elif name == SUCCESS:
            finished.add(file.folder)
    return Listing(tuple(files), controls, frozenset(finished))


def is_data(file: SourceFile) -> bool:
    return file.size > 0 and not _is_hidden(file.path) and not file.path.endswith(_UNFINISHED)


def _is_hidden(path: str) -> bool:
    """As Hive and Spark have it; a folder `_key=value` is a partition all the same."""
    parts: Sequence[str] = path.split("/")
    return any(p.startswith(".") or (p.startswith("_") and "=" not in p) for p in parts if p)


def _read_control(source: Source, file: SourceFile, scratch: Path) -> Control:
    with source.opened(file, scratch) as path:
        body = path.read_bytes()
    try:
        return Control.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{file.uri} is no control file: {where or 'it'}: {first['msg']}. Write it as "
            '{"files": {"day=2025-05-01/part-0.parquet": {"rows": 100, "sha256": "…"}}}.'
        ) from exc


def _upwards(folder: str) -> Iterator[str]:
    """The folder, those above it, and '' for the top."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
