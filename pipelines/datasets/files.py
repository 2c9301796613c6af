"""Files of a dataset on this machine: Parquet that is the same bytes for the same rows."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.errors import SettingsError
from pipelines.datasets.record import DataFile

ROWS_PER_PART = 131_072
_ROW_GROUP = 65_536
WRITER = f"pyarrow {pa.__version__}"


def write_part(rows: pa.Table, path: Path) -> DataFile:
    """Write one file with nothing in it but the rows; its key is the file's name."""
    pq.write_table(
        # How a table is cut into chunks would show in the pages.
        rows.replace_schema_metadata(None).combine_chunks(),
        path,
        row_group_size=_ROW_GROUP,
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
    )
    return DataFile(
        key=path.name, rows=rows.num_rows, bytes=path.stat().st_size, sha256=file_sha256(path)
    )


def write_parts(rows: pa.Table, folder: Path, prefix: str) -> tuple[DataFile, ...]:
    """A table in files of at most ROWS_PER_PART rows: <prefix>-00000.parquet and so on."""
    return tuple(
        write_part(
            rows.slice(number * ROWS_PER_PART, ROWS_PER_PART), part_path(folder, prefix, number)
        )
        for number in range(part_count(rows.num_rows))
    )


def part_path(folder: Path, prefix: str, number: int) -> Path:
    return folder / f"{prefix}-{number:05d}.parquet"


def part_count(rows: int) -> int:
    return -(-rows // ROWS_PER_PART)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(folder: Path, setting: str) -> Iterator[None]:
    """Turn a disk that takes nothing into an error that names the folder and the setting."""
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except OSError as exc:
        full = exc.errno in {errno.ENOSPC, errno.EDQUOT}
        why = "the disk is full" if full else f"it cannot be written ({exc.strerror})"
        raise SettingsError(f"{folder}: {why}. Free space, or set {setting} to another.") from exc
