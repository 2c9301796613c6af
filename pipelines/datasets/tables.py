"""Datasets as the rows of a table, and lineages as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.tree import Tree

from mlops.registry.tables import Rows, person
from pipelines.datasets.difference import Difference, Pair
from pipelines.datasets.features import Scan
from pipelines.datasets.lineage import DatasetNode, Lineage, ViewNode
from pipelines.datasets.record import Column, DatasetRecord, TableRead

_SHOWN = 3


def records(found: Iterable[DatasetRecord]) -> Rows:
    """One row per version."""
    columns = ["dataset", "service", "rows", "size", "price", "created", "as of", "by"]
    return columns, [
        [
            record.reference,
            record.service,
            f"{record.rows:,}",
            _size(record.bytes),
            _price(record.cost.price, record.cost.currency),
            f"{record.created:%Y-%m-%d %H:%M}",
            f"{record.as_of:%Y-%m-%d %H:%M}" if record.as_of else "",
            person(record.created_by),
        ]
        for record in found
    ]


def facts(record: DatasetRecord) -> Rows:
    """One row per fact."""
    cost, entities = record.cost, record.entities
    told = {
        "service": f"{record.service} (plan {record.plan_sha256[:12]})",
        "entity rows": f"{entities.origin}: {_short(entities.source)}".rstrip(": "),
        "rows": f"{record.rows:,}",
        "columns": str(len(record.columns)),
        "size": f"{_size(record.bytes)} in {len(record.files)} files",
        "sha256": record.sha256,
        "as of": f"{record.as_of:%Y-%m-%d %H:%M:%S} UTC" if record.as_of else "",
        **{f"view {read.view}": _read(read) for read in record.tables},
        "scanned": f"{cost.scanned_bytes:,} bytes by {cost.queries} queries",
        "price": _price(cost.price, cost.currency),
        "created": f"{record.created:%Y-%m-%d %H:%M:%S} UTC",
        "created by": record.created_by,
        **{f"tag {key}": value for key, value in record.tags.items()},
    }
    if record.removed:
        told["removed"] = f"{record.removed.at:%Y-%m-%d %H:%M} UTC by {record.removed.by}"
    return ["what", "value"], [[name, value] for name, value in told.items() if value]


def statistics(record: DatasetRecord) -> Rows:
    """One row per column."""
    names = ["column", "type", "role", "missing", "distinct", "mean", "std", "min", "median", "max"]
    return [*names, "most frequent"], [_column(column) for column in record.columns]


def _column(column: Column) -> list[str]:
    row = [column.name, column.type, column.role]
    found = column.statistics
    if found is None:
        return [*row, *[""] * 8]
    numbers = [""] * 5
    if spread := found.distribution:
        low, middle, high = (spread.quantiles[place] for place in (0, 4, -1))
        numbers = [f"{n:.4g}" for n in (spread.mean, spread.std, low, middle, high)]
    elif found.first is not None:
        numbers = ["", "", f"{found.first:%Y-%m-%d}", "", f"{found.last:%Y-%m-%d}"]
    top = ", ".join(f"{value.value} ({value.rows:,})" for value in found.top[:_SHOWN])
    distinct = "" if found.distinct is None else f"{found.distinct:,}"
    return [*row, f"{found.missing:,}", distinct, *numbers, top]


def scan(found: Scan) -> Rows:
    """What a build would scan."""
    rows = [[table, f"{size:,}"] for table, size in found.tables]
    return ["table", "bytes"], [
        *rows,
        ["together", f"{found.bytes:,}"],
        ["price", _price(found.price, found.currency)],
    ]


def sentence(found: Difference) -> str:
    """A difference in one sentence."""
    if found.identical:
        return f"{found.first} and {found.second} hold the same {found.rows[0]:,} rows."
    return (
        f"{found.first} has {found.rows[0]:,} rows and {found.second} {found.rows[1]:,}: "
        f"{found.added:,} added and {found.removed:,} removed by {', '.join(found.key)}."
    )


def pairs(found: Difference, chosen: Sequence[Pair]) -> Rows:
    rows = [[pair.what, pair.first or "", pair.second or ""] for pair in chosen]
    return ["what", found.first, found.second], rows


def shifts(found: Difference) -> Rows:
    """One row per column that both have."""
    columns = ["column", "PSI", "KS", "missing", "values changed"]
    return columns, [
        [
            shift.column,
            "" if shift.psi is None else f"{shift.psi:.4f}",
            "" if shift.ks is None else f"{shift.ks:.4f}",
            " → ".join(f"{share:.2%}" for share in shift.missing),
            f"{shift.changed:,}",
        ]
        for shift in found.shifts
    ]


def tree(found: Lineage) -> Tree:
    """Models above the datasets that trained them, above the views, tables and imports."""
    root = Tree(escape(f"{found.kind} {found.asked}"))
    for dataset in found.datasets:
        branch = root.add(escape(_dataset(dataset)))
        for model in found.models:
            if model.dataset == dataset.dataset:
                branch.add(escape(f"trained model {model.model}/{model.version} ({model.status})"))
        for view in dataset.views:
            _add_view(branch, view)
    for model in found.models:
        if model.dataset is None:
            root.add(f"registered without a dataset; data snapshot {escape(model.data_snapshot)}")
    return root


def _dataset(node: DatasetNode) -> str:
    then = f", as of {node.as_of}" if node.as_of else ""
    gone = ", rows removed" if node.removed else ""
    return (
        f"dataset {node.dataset}: {node.rows:,} rows of service {node.feature_service} "
        f"(plan {node.plan_sha256[:12]}){then}{gone}"
    )


def _add_view(branch: Tree, view: ViewNode) -> None:
    generations = ", ".join(view.generations) or "no generations kept"
    leaf = branch.add(escape(f"read view {view.view}: table {view.table}, {generations}"))
    if view.builds:
        leaf.add(escape(f"builds {_few(view.builds)}"))
    if view.imports:
        files = [f"{i.file} ({i.id}{', retracted' if i.retracted else ''})" for i in view.imports]
        leaf.add(escape(f"imports {_few(files)}"))


def _read(read: TableRead) -> str:
    if not read.pinned:
        return f"table {read.table}, which keeps no generations"
    spans = [f"{c.generation} {c.days.first} to {c.days.last}" for c in read.current]
    return f"table {read.table}: {_few(spans)}"


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 120 else f"{plain[:120]}…"


def _size(bytes_: int) -> str:
    return f"{bytes_ / 1e6:,.1f} MB" if bytes_ >= 100_000 else f"{bytes_ / 1e3:,.1f} kB"


def _price(price: float, currency: str) -> str:
    return f"{price:.6f} {currency}"
