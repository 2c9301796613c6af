"""Building a dataset: entity rows in their order, features joined to them, files, a record.

The join streams to disk and comes back part by part. In memory are the entity rows, one part, and
then one column at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.errors import InputError
from mlops.plan import FeaturePlan, PlannedField, Transformation
from mlops.training_rows import NUMBERS, ROW, add_on_demand
from pipelines.datasets.checksum import ContentHash, content_sha256
from pipelines.datasets.entities import EntityRows
from pipelines.datasets.features import Features, Span
from pipelines.datasets.files import (
    ROWS_PER_PART,
    WRITER,
    disk_errors,
    part_count,
    part_path,
    write_part,
    write_parts,
)
from pipelines.datasets.record import (
    Column,
    Cost,
    DataFile,
    DatasetRecord,
    Entities,
    Role,
    TableRead,
)
from pipelines.datasets.spool import Spool
from pipelines.datasets.statistics import column_statistics
from pipelines.datasets.store import Draft, Progress

_COMPUTED = {
    "String": pa.string(),
    "Bool": pa.bool_(),
    "UnixTimestamp": pa.timestamp("us", tz="UTC"),
}
_PART = "part"
_ENTITIES = "entities"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the rows of a dataset."""

    plan: FeaturePlan
    entities: EntityRows
    tables: tuple[TableRead, ...]
    as_of: datetime | None = None


@dataclass(frozen=True)
class About:
    """What a record says besides: it decides no row."""

    name: str
    created: datetime
    created_by: str
    tags: Mapping[str, str] = field(default_factory=dict)
    paid: Cost = field(default_factory=Cost)
    """What the entity rows cost already."""


def span_of(rows: EntityRows) -> Span:
    found = pc.min_max(rows.table[rows.time_column]).as_py()
    return Span(found["min"], found["max"])


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder for a draft's files, which goes with it."""
    base = Path(tempfile.gettempdir())
    with disk_errors(base, "TMPDIR"), tempfile.TemporaryDirectory(prefix="mlops-dataset-") as made:
        yield Path(made)


def make_draft(
    recipe: Recipe,
    about: About,
    features: Features,
    folder: Path,
    *,
    progress: Progress = lambda *_: None,
) -> Draft:
    """Join and write; the same recipe gives the same bytes, by the same writer."""
    made = _Parts(recipe, features.functions(recipe.plan), folder)
    joined = made.join(features)
    files, sha256 = made.write(progress)
    paid = about.paid
    record = DatasetRecord(
        name=about.name,
        created=about.created,
        created_by=about.created_by,
        plan=recipe.plan,
        plan_sha256=recipe.plan.sha256,
        entities=_entities(recipe.entities, folder),
        time_column=recipe.entities.time_column,
        as_of=recipe.as_of,
        tables=recipe.tables,
        rows=recipe.entities.table.num_rows,
        columns=made.describe(files, progress),
        sha256=sha256,
        files=files,
        writer=WRITER,
        cost=Cost(
            queries=paid.queries + joined.queries,
            scanned_bytes=paid.scanned_bytes + joined.scanned_bytes,
            price=paid.price + joined.price,
            currency=joined.currency,
        ),
        tags=about.tags,
    )
    return Draft(record, folder)


def _entities(rows: EntityRows, folder: Path) -> Entities:
    return Entities(
        origin=rows.origin,
        source=rows.source,
        rows=rows.table.num_rows,
        sha256=content_sha256(rows.table),
        files=write_parts(rows.table, folder, _ENTITIES),
    )


class _Parts:
    """The files of one draft."""

    def __init__(
        self, recipe: Recipe, functions: Mapping[str, Transformation], folder: Path
    ) -> None:
        self._recipe = recipe
        self._plan = recipe.plan
        self._rows = recipe.entities.table
        self._time = recipe.entities.time_column
        self._functions = functions
        self._folder = folder
        self._computed = {name: _type(name, f) for name, f in self._plan.computed.items()}
        self._spool = Spool(folder, ordinal=ROW, rows=self._rows.num_rows, part_rows=ROWS_PER_PART)

    def join(self, features: Features) -> Cost:
        """Have the features of all rows on disk."""
        recipe = self._recipe
        with self._spool:
            keys = recipe.entities.keys(self._plan)
            return features.join(self._plan, keys, recipe.tables, recipe.as_of, self._spool.add)

    def write(self, progress: Progress) -> tuple[tuple[DataFile, ...], str]:
        """The files, and the checksum of all rows."""
        count, files = part_count(self._rows.num_rows), []
        hash_: ContentHash | None = None
        for number in range(count):
            progress("write", number, count)
            part = self._part(number)
            hash_ = hash_ or ContentHash(part.schema)
            hash_.update(part)
            files.append(write_part(part, part_path(self._folder, _PART, number)))
        progress("write", count, count)
        assert hash_ is not None
        return tuple(files), hash_.hexdigest()

    def _part(self, number: int) -> pa.Table:
        """Entity rows, their stored features, and what is computed of both."""
        rows = self._rows.slice(number * ROWS_PER_PART, ROWS_PER_PART)
        found = self._spool.part(number)
        columns = dict(zip(rows.column_names, rows.columns, strict=True))
        for name, planned in self._plan.stored.items():
            columns[name] = _stored(found[name], planned)
        return pa.table({**columns, **self._compute(columns)})

    def _compute(self, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
        wanted = [name for t in self._plan.transformations for name in t.inputs]
        inputs = {name: columns[name] for name in dict.fromkeys(wanted) if name in columns}
        frame = pa.table({self._time: columns[self._time], **inputs}).to_pandas()
        add_on_demand(self._plan, frame, self._functions, {})
        return {
            name: pa.Array.from_pandas(frame[name], type=kind)
            for name, kind in self._computed.items()
        }

    def describe(self, files: tuple[DataFile, ...], progress: Progress) -> tuple[Column, ...]:
        """Every column with its statistics, one in memory at a time."""
        paths = [self._folder / file.key for file in files]
        fields = list(pq.read_schema(paths[0]))
        found = []
        for number, column in enumerate(fields):
            progress("describe", number, len(fields))
            role, pii = self._role(column.name)
            parts = [pq.read_table(path, columns=[column.name])[0] for path in paths]
            values = pa.chunked_array([chunk for part in parts for chunk in part.chunks])
            found.append(
                Column(
                    name=column.name,
                    type=str(column.type),
                    role=role,
                    pii=pii,
                    statistics=column_statistics(values, pii=pii),
                )
            )
        progress("describe", len(fields), len(fields))
        return tuple(found)

    def _role(self, name: str) -> tuple[Role, bool]:
        for planned, role in self._planned:
            if name in planned:
                return role, planned[name].pii
        return ("time" if name == self._time else "entity"), False

    @cached_property
    def _planned(self) -> list[tuple[dict[str, PlannedField], Role]]:
        plan = self._plan
        keys = {field.name: field for field in plan.entities}
        requested = {f.name: f for f in plan.request if f.name != self._time}
        return [
            (keys, "key"),
            (plan.stored, "feature"),
            (plan.computed, "on_demand"),
            (requested, "entity"),
        ]


def _stored(values: pa.ChunkedArray, planned: PlannedField) -> pa.ChunkedArray:
    """Numbers as float64, which is what models and serving see; no value where it is no number."""
    if planned.dtype not in NUMBERS:
        return values
    numbers = values.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def _type(name: str, planned: PlannedField) -> pa.DataType:
    if planned.dtype in NUMBERS:
        return pa.float64()
    if planned.dtype not in _COMPUTED:
        raise InputError(
            f"On-demand feature '{name}' is {planned.dtype}; a dataset holds numbers, texts, "
            "booleans and times. Leave it out of the service."
        )
    return _COMPUTED[planned.dtype]
