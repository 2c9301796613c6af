"""What a job will scan, before it runs: the sizes of the partitions that its plan reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from mlops.aws import translated
from mlops.stores.athena.join import View
from mlops.stores.athena.pull import Pull
from mlops.stores.athena.results import S3File
from mlops.stores.athena.session import Work
from mlops.stores.athena.sql import DayColumn, Window, name, to_instant

_SCAN = re.compile(
    r"TableScan\[(?:table = )?awsdatacatalog[.:]"
    r"(?:HiveTableHandle\{schemaName=(\w+), tableName=(\w+)|\"?(\w+)\"?[.:]\"?(\w+))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TableScan:
    """What is read of one table."""

    table: str
    partitions: int
    files: int
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """At most so many bytes, by the sizes of the files; statistics inside them may save more."""

    bytes: int
    dollars: float
    tables: tuple[TableScan, ...]


@dataclass(frozen=True)
class Scan:
    """One reading of tables that a job will do."""

    sql: str
    columns: tuple[str, ...] | None = None
    """None is all."""
    day: DayColumn | None = None
    window: Window = field(default_factory=Window)


def estimate(work: Work, scans: Sequence[Scan]) -> Estimate:
    """Explain each scan, and add up the files of the partitions that it needs.

    Raises what the query itself would raise for a table or column that is gone.
    """
    found = []
    for scan in scans:
        plan = work.session.executions.explain(scan.sql, output=work.run.results)
        for database, table in read_tables(plan):
            found.append(_measured(work, database, table, scan))
    total = sum(measured.bytes for measured in found)
    return Estimate(total, work.session.limits.price(total), tuple(found))


def scan_of_view(view: View, entities: Window) -> Scan:
    """What a join with entity rows of this range of times reads of a view."""
    window = view.window(entities)
    times = [c.column for c in (view.event_time, view.created, view.order) if c is not None]
    columns = [key.column for key in view.keys] + times + [f.column for f in view.features]
    conditions = view.conditions(window)
    return _scan(view.relation, columns, conditions, view.day, window)


def scan_of_times(view: View, known: Window) -> Scan:
    """What is read of a view to find every moment of a range at which a row became known."""
    window = known.earlier(view.delay)
    columns = [*(key.column for key in view.keys), view.event_time.column]
    return _scan(view.relation, columns, view.conditions(window), view.day, window)


def scan_of_pull(pull: Pull, window: Window) -> Scan:
    """What a pull of this range of event times reads."""
    columns = [*pull.columns, *([pull.order.column] if pull.order else [])]
    conditions = window.conditions(pull.event_time, pull.day)
    return _scan(pull.relation, columns, conditions, pull.day, window)


def _scan(
    relation: str,
    columns: Sequence[str],
    conditions: Sequence[str],
    day: DayColumn | None,
    window: Window,
) -> Scan:
    needed = tuple(dict.fromkeys(columns))
    where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"SELECT {', '.join(map(name, needed))}\nFROM {relation}{where}"
    return Scan(sql, needed, day, window)


def read_tables(plan: str) -> list[tuple[str, str]]:
    """(database, table) of everything that a plan scans, in order, each once."""
    found = [(a or c, b or d) for a, b, c, d in _SCAN.findall(plan)]
    return list(dict.fromkeys(found))


def _measured(work: Work, database: str, table: str, scan: Scan) -> TableScan:
    with translated(f"Reading table {database}.{table}"):
        entry = work.run.glue.get_table(DatabaseName=database, Name=table)["Table"]
    locations = list(_locations(work, entry, scan.day, scan.window))
    files = [file for place in locations for file in work.run.storage.data_files(place)]
    size = sum(size for _, size in files)
    share = _share(work, files[0], scan.columns) if files and scan.columns else 1.0
    return TableScan(f"{database}.{table}", len(locations), len(files), round(size * share))


def _locations(
    work: Work, table: dict[str, Any], day: DayColumn | None, window: Window
) -> Iterable[str]:
    keys = [key["Name"].lower() for key in table.get("PartitionKeys") or ()]
    if not keys:
        yield table["StorageDescriptor"]["Location"].rstrip("/") + "/"
        return
    with translated(f"Listing the partitions of {table['Name']}"):
        pages = work.run.glue.get_paginator("get_partitions").paginate(
            DatabaseName=table["DatabaseName"], TableName=table["Name"]
        )
        partitions = [p for page in pages for p in page["Partitions"]]
    place = keys.index(day.column.lower()) if day and day.column.lower() in keys else None
    for partition in partitions:
        if place is None or _within(partition["Values"][place], window):
            yield partition["StorageDescriptor"]["Location"].rstrip("/") + "/"


def _within(value: str, window: Window) -> bool:
    first = "" if window.first is None else f"{to_instant(window.first):%Y-%m-%d}"
    last = "9999-12-31" if window.last is None else f"{to_instant(window.last):%Y-%m-%d}"
    return first <= value <= last


def _share(work: Work, file: tuple[str, int], columns: Sequence[str]) -> float:
    """The share of a table's bytes that some columns take, as in one of its files."""
    if not file[0].endswith(".parquet") and not _is_parquet(work, file):
        return 1.0
    wanted = {column.lower() for column in columns}
    sizes: dict[str, int] = {}
    with pq.ParquetFile(S3File(work.run.storage, *file)) as opened:
        for group in range(opened.metadata.num_row_groups):
            for place in range(opened.metadata.num_columns):
                chunk = opened.metadata.row_group(group).column(place)
                column = chunk.path_in_schema.split(".")[0].lower()
                sizes[column] = sizes.get(column, 0) + chunk.total_compressed_size
    whole = sum(sizes.values())
    return sum(size for c, size in sizes.items() if c in wanted) / whole if whole else 1.0


def _is_parquet(work: Work, file: tuple[str, int]) -> bool:
    opened = S3File(work.run.storage, *file)
    return opened.read(4) == b"PAR1"
