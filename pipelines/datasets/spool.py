"""Rows that come in no order, kept on disk until they are wanted part by part in order."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops.errors import JobFailed


class Spool:
    """Batches with an ordinal column, sorted into one file per part; a part fits into memory."""

    def __init__(self, folder: Path, *, ordinal: str, rows: int, part_rows: int) -> None:
        self._folder = folder
        self._ordinal = ordinal
        self._rows = rows
        self._part_rows = part_rows
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def add(self, batch: pa.RecordBatch) -> None:
        parts = pc.divide(batch[self._ordinal], self._part_rows)
        for part in pc.unique(parts).to_pylist():
            chosen = batch.filter(pc.equal(parts, part))
            if part not in self._writers:
                self._writers[part] = pa.ipc.new_stream(str(self._path(part)), chosen.schema)
            self._writers[part].write_batch(chosen)

    def part(self, number: int) -> pa.Table:
        """The rows of one part by their ordinals, without them; nothing can be added after.

        Raises JobFailed when one is missing, or there twice.
        """
        self._close()
        first = number * self._part_rows
        wanted = np.arange(first, min(first + self._part_rows, self._rows))
        rows = self._read(number)
        rows = rows.take(pc.sort_indices(rows[self._ordinal]))
        if not np.array_equal(rows[self._ordinal].to_numpy(), wanted):
            raise JobFailed(
                f"The join answered {rows.num_rows} rows for entity rows {first} to {wanted[-1]}, "
                "some missing or twice. Do not use it; report the query."
            )
        return rows.drop_columns([self._ordinal])

    def _read(self, number: int) -> pa.Table:
        path = self._path(number)
        if not path.exists():
            raise JobFailed(f"The join answered no row of part {number}. Report the query.")
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            return stream.read_all()

    def _path(self, part: int) -> Path:
        return self._folder / f"spool-{part:05d}.arrow"

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
