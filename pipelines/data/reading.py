"""Reading payment files in batches, with what their folders say and which ids they repeat."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.errors import InputError
from pipelines.data.folders import Folders
from pipelines.data.formats import Format, open_format
from pipelines.data.schema import COLUMNS, match_columns
from pipelines.data.validation import Mask


@dataclass(frozen=True)
class PaymentFile:
    """A file of payments that can be read more than once.

    columns: the name of every declared column that it has, in the file or from its folders.
    """

    label: str
    """What messages call it."""
    format: Format
    columns: dict[str, str]
    folders: Folders = field(default_factory=Folders)
    constants: Mapping[str, str | None] = field(default_factory=dict)
    """The declared columns that its folders name and the file lacks, with their one value."""

    @property
    def rows(self) -> int | None:
        """How many it says it holds; None where only reading tells."""
        return self.format.rows

    @property
    def ragged(self) -> Sequence[str]:
        """Lines of a CSV with another number of fields; complete once all was read."""
        return self.format.ragged

    @property
    def schema(self) -> dict[str, str]:
        """Columns with their types as found."""
        return self.format.schema

    def batches(self, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The file's rows, or some of its own columns. Raises InputError where it is damaged."""
        with readable(self.label):
            for batch in self.format.batches(names):
                yield batch if names is not None else self._prepared(batch)

    def _prepared(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """With the folders' columns, and text that writers left without that mark as text."""
        for name in self.columns.values():
            position = batch.schema.get_field_index(name)
            if position >= 0 and _is_bytes(batch.schema.field(position).type):
                batch = batch.set_column(position, name, batch.column(position).cast(pa.string()))
        for name, value in self.constants.items():
            column = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
            batch = batch.append_column(name, column)
        return batch


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def open_payments(
    path: Path, *, label: str = "", format_: str = "auto", folders: Folders | None = None
) -> PaymentFile:
    """Find out what the file is and which columns it has, itself or by its folders.

    label: what messages call it; its path by default.
    Raises InputError naming the file when it is missing, unreadable, or lacks columns.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path.")
    label, folders = label or str(path), folders or Folders()
    with readable(label):
        found = open_format(path, format_)
    names = list(found.names)
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise InputError(f"{label} has the column {', '.join(twice)} more than once. Rename one.")
    own = {name.lower() for name in names}
    constants = {name: v for name, v in folders.values.items() if name.lower() not in own}
    columns = match_columns([*names, *constants])
    missing = [c for c in COLUMNS if c.required and c.name not in columns]
    if missing:
        wanted = ", ".join(" or ".join((c.name, *c.aliases)) for c in missing)
        have = ", ".join(names) or "no columns"
        raise InputError(f"{label} lacks {wanted}; it has {have}. Rename its columns.")
    used = {name: constants[name] for name in columns.values() if name in constants}
    return PaymentFile(label, found, columns, folders, used)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RepeatedIds:
    """Marks every occurrence of a payment id but the first; batches come in the file's order.

    Ids are told apart by a hash of 8 bytes; only those that share one are compared.
    """

    def __init__(self, file: PaymentFile) -> None:
        self._repeated = _repeated_hashes(file)
        self._met: set[str] = set()

    def mark(self, ids: pa.Array) -> Mask:
        marked = np.zeros(len(ids), dtype=bool)
        if not len(self._repeated):
            return marked
        candidates = np.isin(_hashes(ids), self._repeated)
        for row in np.flatnonzero(candidates):
            name = ids[row].as_py()
            if name is not None:
                marked[row] = name in self._met
                self._met.add(name)
        return marked


def _repeated_hashes(file: PaymentFile) -> npt.NDArray[np.uint64]:
    column = file.columns["payment_id"]
    if column in file.constants:
        return np.array([], dtype=np.uint64)
    parts = [_hashes(as_id(batch.column(0)).drop_null()) for batch in file.batches([column])]
    hashes = np.sort(np.concatenate([*parts, np.array([], dtype=np.uint64)]))
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def as_id(column: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(column.cast(pa.string()))


def _hashes(ids: pa.Array) -> npt.NDArray[np.uint64]:
    texts = pc.fill_null(ids, "").to_numpy(zero_copy_only=False)
    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(texts, categorize=False)
    return hashes


@contextmanager
def readable(label: str) -> Iterator[None]:
    """Errors of a file's reader, told with the file and what may help."""
    try:
        yield
    except InputError as exc:
        raise InputError(f"{label}: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise InputError(
            f"{label} cannot be read: it is neither Parquet nor ORC, and no text in UTF-8. "
            "Write it as UTF-8."
        ) from exc
    except (pa.ArrowException, OSError, EOFError, zlib.error) as exc:
        raise InputError(
            f"{label} cannot be read: {str(exc).splitlines()[0]} It may be truncated or no "
            "Parquet, ORC or CSV at all; copy it again and compare sizes."
        ) from exc
