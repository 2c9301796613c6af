"""Where a model version comes from, and what became of a view, a dataset or an import.

One graph, walked both ways: model version - dataset - feature views - feature tables - imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlops.errors import InputError, NotFound
from mlops.registry.versions import ModelRegistry, ModelVersion
from pipelines.data.ledger import Import, Ledger
from pipelines.datasets.record import DatasetRecord, Reference, TableRead
from pipelines.datasets.store import DatasetStore

METADATA = "dataset"
"""Under which a registered version names its dataset."""
Kind = Literal["model", "dataset", "view", "import"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelNode(_Frozen):
    """A registered model version."""

    model: str
    version: int
    status: str
    dataset: str | None
    """None where it was registered without one."""
    data_snapshot: str


class ImportNode(_Frozen):
    """A file of raw payments that a feature table was built from."""

    id: str
    file: str
    rows: int
    retracted: bool
    """Whether the file was corrected or withdrawn since."""


class ViewNode(_Frozen):
    """A feature view as a dataset read it."""

    view: str
    table: str
    generations: tuple[str, ...]
    builds: tuple[str, ...]
    imports: tuple[ImportNode, ...]


class DatasetNode(_Frozen):
    """A dataset version, and the views that it read."""

    dataset: str
    feature_service: str
    plan_sha256: str
    as_of: str | None
    rows: int
    sha256: str
    removed: bool
    views: tuple[ViewNode, ...]


class Lineage(_Frozen):
    """What was asked for, and all that it came from or went into."""

    kind: Kind
    asked: str
    models: tuple[ModelNode, ...]
    datasets: tuple[DatasetNode, ...]


@dataclass(frozen=True)
class Lineages:
    """Walks the graph of one environment."""

    store: DatasetStore
    registry: ModelRegistry
    payments: Callable[[], Ledger]
    """Reads the ledger of raw payments."""

    def of_model(self, model: str, version: int) -> Lineage:
        """Back from a model version. Raises NotFound."""
        found = self.registry.get(model, version)
        name = found.lineage.get(METADATA)
        records = [self.store.get(Reference.parse(name))] if name else []
        return self._lineage("model", f"{model}/{version}", [found], records)

    def of_dataset(self, reference: Reference) -> Lineage:
        """Both ways from a dataset. Raises NotFound."""
        record = self.store.get(reference)
        return self._lineage("dataset", record.reference, self.users([record]), [record])

    def of_view(self, view: str) -> Lineage:
        """On from a feature view. Raises NotFound where no dataset ever read it."""
        return self._onwards("view", view, lambda read: read.view == view)

    def of_import(self, import_id: str) -> Lineage:
        """On from an import of raw data: what was trained on it."""
        ledger = self.payments()
        return self._onwards(
            "import",
            import_id,
            lambda read: any(one.id == import_id for one in seen_by(read, ledger)),
        )

    def users(self, records: Iterable[DatasetRecord]) -> list[ModelVersion]:
        """The model versions that were trained on these datasets."""
        names = {record.reference for record in records}
        if not names:
            return []
        return [
            version
            for model in self.registry.models()
            for version in self.registry.versions(model)
            if version.lineage.get(METADATA) in names
        ]

    def _onwards(self, kind: Kind, name: str, matches: Callable[[TableRead], bool]) -> Lineage:
        records = [r for r in self.store.records() if any(map(matches, r.tables))]
        if not records:
            raise NotFound(
                f"No dataset was built from {kind} '{name}'. See what was read: mlops datasets "
                "list --json"
            )
        return self._lineage(kind, name, self.users(records), records)

    def _lineage(
        self,
        kind: Kind,
        asked: str,
        models: Sequence[ModelVersion],
        records: Sequence[DatasetRecord],
    ) -> Lineage:
        ledger = self.payments()
        return Lineage(
            kind=kind,
            asked=asked,
            models=tuple(map(_model_node, models)),
            datasets=tuple(_dataset_node(record, ledger) for record in records),
        )


def seen_by(read: TableRead, ledger: Ledger) -> list[Import]:
    """The imports that the builds of a table saw, as far as their days can count.

    The snapshot of a day sees the payments before it.
    """
    if not read.current:
        return []
    last = str(read.current[-1].days.last)
    return [
        one
        for one in ledger.imports
        if min(one.days, default=last) < last
        and any(one.visible_in(commit) for commit in read.payments)
    ]


def parse_model(text: str) -> tuple[str, int]:
    """('fraud', 3) of 'fraud/3'. Raises InputError."""
    model, slash, version = text.rpartition("/")
    if not slash or not model or not (version.isascii() and version.isdigit()):
        raise InputError(f"'{text}' names no model version. Write it as MODEL/VERSION: fraud/3.")
    return model, int(version)


def _model_node(version: ModelVersion) -> ModelNode:
    return ModelNode(
        model=version.model,
        version=version.version,
        status=version.status.value,
        dataset=version.lineage.get(METADATA),
        data_snapshot=version.lineage.get("data_snapshot", ""),
    )


def _dataset_node(record: DatasetRecord, ledger: Ledger) -> DatasetNode:
    return DatasetNode(
        dataset=record.reference,
        feature_service=record.service,
        plan_sha256=record.plan_sha256,
        as_of=record.as_of.isoformat() if record.as_of else None,
        rows=record.rows,
        sha256=record.sha256,
        removed=record.removed is not None,
        views=tuple(_view_node(read, ledger) for read in record.tables),
    )


def _view_node(read: TableRead, ledger: Ledger) -> ViewNode:
    return ViewNode(
        view=read.view,
        table=read.table,
        generations=read.generations,
        builds=read.builds,
        imports=tuple(map(_import_node, seen_by(read, ledger))),
    )


def _import_node(one: Import) -> ImportNode:
    return ImportNode(
        id=one.id, file=one.file, rows=one.rows, retracted=one.retracted_in is not None
    )
