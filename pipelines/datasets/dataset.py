"""A dataset in hand: its rows as a dataframe, its statistics, a plot."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mlops.errors import Conflict, InputError, NotFound, Refused
from mlops.manifest import QUANTILES
from pipelines.datasets.cache import FileCache
from pipelines.datasets.files import disk_errors
from pipelines.datasets.record import Column, DataFile, DatasetRecord
from pipelines.datasets.statistics import as_numbers, is_numeric
from pipelines.datasets.store import DatasetStore

if TYPE_CHECKING:
    from pipelines.datasets.plots import Plot

_ENDINGS = (".parquet", ".csv")


class Dataset:
    """One version; its files come from S3 once, and from this machine's cache afterwards."""

    def __init__(self, record: DatasetRecord, store: DatasetStore, cache: FileCache) -> None:
        self.record = record
        self._store = store
        self._cache = cache

    def __repr__(self) -> str:
        record = self.record
        return f"<Dataset {record.reference}: {record.rows:,} rows of {record.service}>"

    def __len__(self) -> int:
        return self.record.rows

    @property
    def reference(self) -> str:
        """'name@version'."""
        return self.record.reference

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in their order, one file at a time. Raises NotFound when they were removed."""
        self._check(columns)
        for file in self.record.files:
            yield self._rows(file, columns)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in their order: by time, then by join keys."""
        return pa.concat_tables(self.batches(columns))

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows in their order; numbers are float64, NaN where there is none."""
        frame: pd.DataFrame = self.to_arrow(columns).to_pandas()
        return frame

    def entity_rows(self) -> pa.Table:
        """What features were joined to, in the same order.

        They lie beside the dataset and are part of it, so that either can be made of the other.
        """
        self._check(None)
        try:
            files = self.record.entities.files
            return pa.concat_tables([self._rows(file, None) for file in files])
        except (NotFound, Refused):
            given = {"time", "key", "entity"}
            return self.to_arrow([c.name for c in self.record.columns if c.role in given])

    @property
    def statistics(self) -> pd.DataFrame:
        """One row per column, from the record: no row of the dataset is read."""
        return pd.DataFrame([_summary(column) for column in self.record.columns]).set_index(
            "column"
        )

    def plot(self, columns: Sequence[str] | None = None) -> Plot:
        """Histograms of these columns, by default of all that are numbers; a matplotlib figure.

        Raises InputError for a column that is no number.
        """
        from pipelines.datasets.plots import histograms  # noqa: PLC0415  # matplotlib is slow

        numeric = [
            c.name for c in self.record.columns if c.statistics and c.statistics.distribution
        ]
        chosen = list(columns) if columns is not None else numeric
        rows = self.to_arrow(chosen)
        if not chosen or not all(is_numeric(kind) for kind in rows.schema.types):
            raise InputError(f"Only columns of numbers have a plot: {', '.join(numeric)}.")
        values = {name: as_numbers(rows[name]) for name in chosen}
        return histograms(values, title=self.reference)

    def export(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write all rows to one local file, Parquet or CSV by its ending; whole or not at all."""
        if path.suffix not in _ENDINGS:
            raise InputError(f"{path} ends in neither {' nor '.join(_ENDINGS)}. Name it so.")
        if path.exists() and not overwrite:
            raise Conflict(
                f"{path} exists already. Choose another name, or replace it: --overwrite."
            )
        self._check(None)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with disk_errors(path.parent, "--output"):
            try:
                self._write(temporary, path.suffix)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return path

    def _write(self, path: Path, ending: str) -> None:
        writer: pq.ParquetWriter | pa_csv.CSVWriter | None = None
        with ExitStack() as open_:
            for rows in self.batches():
                if writer is None:
                    make = pq.ParquetWriter if ending == ".parquet" else pa_csv.CSVWriter
                    writer = open_.enter_context(make(path, rows.schema))
                writer.write_table(rows)

    def _check(self, columns: Sequence[str] | None) -> None:
        record = self.record
        if record.removed is not None:
            raise NotFound(
                f"The rows of dataset '{record.reference}' were removed at "
                f"{record.removed.at:%Y-%m-%d %H:%M} UTC by {record.removed.by}. Its record is "
                "kept; build a new version: mlops datasets build --help"
            )
        known = [column.name for column in record.columns]
        if unknown := [name for name in columns or () if name not in known]:
            raise InputError(
                f"Dataset '{record.reference}' has no column {', '.join(unknown)}; it has "
                f"{', '.join(known)}."
            )

    def _rows(self, file: DataFile, columns: Sequence[str] | None) -> pa.Table:
        label = f"{file.key} of dataset '{self.reference}'"
        fetched = self._cache.open(file.sha256, lambda: self._store.body(file), label=label)
        with fetched as opened:
            return pq.read_table(opened, columns=None if columns is None else list(columns))


def _summary(column: Column) -> dict[str, object]:
    found = column.statistics
    row: dict[str, object] = {"column": column.name, "type": column.type, "role": column.role}
    if found is None:
        return row
    row |= {"missing": found.missing, "distinct": found.distinct}
    if spread := found.distribution:
        named = dict(zip(QUANTILES, spread.quantiles, strict=True))
        row |= {"mean": spread.mean, "std": spread.std}
        row |= {_percent(q): value for q, value in named.items()}
    if found.first is not None:
        row |= {"first": found.first, "last": found.last}
    if found.top:
        row["top"] = ", ".join(f"{frequent.value} ({frequent.rows})" for frequent in found.top[:3])
    return row


def _percent(quantile: float) -> str:
    return {0.0: "min", 0.5: "median", 1.0: "max"}.get(quantile, f"{quantile:.0%}")
