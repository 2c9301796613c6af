"""Retrieval jobs: nothing runs until a result is asked for, and then as often as one is."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata

from mlops.stores.athena import saved
from mlops.stores.athena.cost import Estimate, Scan, estimate
from mlops.stores.athena.session import Bill, Session, Work
from mlops.stores.athena.staging import split_uri

BATCH_ROWS = 65_536


class AthenaJob(RetrievalJob):  # type: ignore[misc]  # feast is untyped here
    """What every job of this store can do; a subclass says how its rows come about."""

    def __init__(
        self,
        session: Session,
        *,
        full_feature_names: bool = False,
        on_demand_feature_views: list[Any] | None = None,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._session = session
        self._full_feature_names = full_feature_names
        self._computed = on_demand_feature_views or []
        self._metadata = metadata
        self.bill: Bill | None = None
        """What the last result cost; None before there is one."""

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return self._computed

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    # What a subclass says

    @abstractmethod
    def _table(self, work: Work, timeout: float | None) -> pa.Table:
        """The whole result, in order."""

    @abstractmethod
    def _batches(self, work: Work, rows: int, timeout: float | None) -> Iterator[pa.Table]:
        """The result in pieces, in no order."""

    @abstractmethod
    def _full_sql(self, work: Work) -> str:
        """A query whose columns are the result's, by their names."""

    @abstractmethod
    def _scans(self, work: Work) -> list[Scan]:
        """What will be read."""

    def estimate(self) -> Estimate:
        """What the job will scan and cost at most; nothing is scanned to find out."""
        with self._session.run() as work:
            return estimate(work, self._scans(work))

    # What Feast asks for

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._working() as work:
            return self._table(work, timeout)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout=timeout).to_pandas()
        return frame

    def to_arrow_batches(
        self, *, rows: int = BATCH_ROWS, timeout: float | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The result in batches of at most so many rows, without ever holding all of it.

        Batches come in no order; where there are entity rows, the column `entity_row` says which
        one each row answers. On-demand features are computed batch by batch.
        """
        with self._working() as work:
            for piece in self._batches(work, rows, timeout):
                whole = self._with_computed(piece)
                yield from whole.combine_chunks().to_batches()

    def supports_remote_storage_export(self) -> bool:
        return True

    def to_remote_storage(
        self, location: str | None = None, *, timeout: float | None = None
    ) -> list[str]:
        """Write the result as Parquet files to S3; returns their addresses.

        location: an empty folder, s3://bucket/prefix/; by default a new one under 'exports/' in
        the staging location. The files are the caller's from then on.
        """
        with self._working() as work:
            target = location or f"{self._session.staging.rstrip('/')}/exports/{work.run.id}/"
            return self._export(work, f"{target.rstrip('/')}/", timeout)

    def to_file(self, path: Path, *, rows: int = BATCH_ROWS, timeout: float | None = None) -> int:
        """Write the result to one local Parquet file, batch by batch; returns the rows."""
        written = 0
        writer: pq.ParquetWriter | None = None
        try:
            for batch in self.to_arrow_batches(rows=rows, timeout=timeout):
                writer = writer or pq.ParquetWriter(path, batch.schema)
                writer.write_batch(batch)
                written += batch.num_rows
        finally:
            if writer is not None:
                writer.close()
        return written

    def persist(
        self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
        """Keep the result as a table of the configured database.

        Raises Conflict when it exists and may not be replaced. A replaced table shows its old rows
        until the new ones are complete.
        """
        with self._working() as work:
            target = saved.prepare(work, storage.athena_options.table, replace=allow_overwrite)
            files = self._export(work, target.location, timeout)
            saved.publish(work, target, files)

    def to_sql(self) -> str:
        """The query that gives the result, for Athena."""
        with self._working() as work:
            return self._full_sql(work)

    # How

    @contextmanager
    def _working(self) -> Iterator[Work]:
        with self._session.run() as work:
            try:
                yield work
            finally:
                self.bill = work.bill()

    def _export(self, work: Work, location: str, timeout: float | None) -> list[str]:
        if self._computed:
            return self._upload(work, location, timeout)
        found = work.unload(self._full_sql(work), location=location, timeout=timeout)
        return [uri for uri, _ in found.files]

    def _upload(self, work: Work, location: str, timeout: float | None) -> list[str]:
        """On-demand features are computed here, so that the result is written from here."""
        written = []
        split_uri(location)
        with tempfile.TemporaryDirectory(prefix="mlops-export-") as folder:
            for number, piece in enumerate(self._batches(work, 8 * BATCH_ROWS, timeout)):
                path = Path(folder) / "part.parquet"
                saved.write(self._with_computed(piece), path)
                written.append(f"{location}part-{number:05d}.parquet")
                work.run.storage.upload(path, written[-1])
        return written

    def _with_computed(self, piece: pa.Table) -> pa.Table:
        """A piece of the result with its on-demand features, as Feast adds them to all of it."""
        return _Piece(self, piece).to_arrow() if self._computed else piece


class _Piece(RetrievalJob):  # type: ignore[misc]  # feast is untyped here
    """A result that is there already: lends Feast's own way of adding on-demand features."""

    def __init__(self, job: AthenaJob, table: pa.Table) -> None:
        self._job = job
        self._table = table

    @property
    def full_feature_names(self) -> bool:
        return self._job.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return self._job.on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._job.metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._table
