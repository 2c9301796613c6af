"""What a join will scan, before it runs: the sizes of the partitions that its plan reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.parquet as pq

from mlops.aws import translated
from mlops.stores.athena.join import View
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


def estimate(work: Work, views: Sequence[View], times: Window) -> Estimate:
    """Explain each view's scan, and add up the files of the partitions that it needs.

    Raises what the query itself would raise for a table or column that is gone.
    """
    scans = []
    for view in views:
        window = view.window(times)
        plan = work.session.executions.explain(_scan_sql(view, window), output=work.run.results)
        for database, table in read_tables(plan):
            scans.append(_measured(work, database, table, view, window))
    total = sum(scan.bytes for scan in scans)
    return Estimate(total, work.session.limits.price(total), tuple(scans))


def query_scans(work: Work, sql: str) -> tuple[TableScan, ...]:
    """What a query of the caller's own reads at most: all files of the tables that it names."""
    plan = work.session.executions.explain(sql, output=work.run.results)
    return tuple(_whole(work, database, table) for database, table in read_tables(plan))


def read_tables(plan: str) -> list[tuple[str, str]]:
    """(database, table) of everything that a plan scans, in order, each once."""
    found = [(a or c, b or d) for a, b, c, d in _SCAN.findall(plan)]
    return list(dict.fromkeys(found))


def _scan_sql(view: View, window: Window) -> str:
    conditions = view.conditions(window)
    where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join(map(name, _columns(view)))}\nFROM {view.relation}{where}"


def _columns(view: View) -> list[str]:
    times = [c.column for c in (view.event_time, view.created, view.order) if c is not None]
    keys = [key.column for key in view.keys]
    return list(dict.fromkeys([*keys, *times, *(f.column for f in view.features)]))


def _measured(work: Work, database: str, table: str, view: View, window: Window) -> TableScan:
    found, files = _sized(work, database, table, view.day, window)
    share = _share(work, files[0], _columns(view)) if files else 0.0
    return replace(found, bytes=round(found.bytes * share))


def _whole(work: Work, database: str, table: str) -> TableScan:
    return _sized(work, database, table, None, Window())[0]


def _sized(
    work: Work, database: str, table: str, day: DayColumn | None, window: Window
) -> tuple[TableScan, list[tuple[str, int]]]:
    """The files of the partitions that a window needs, in full."""
    with translated(f"Reading table {database}.{table}"):
        entry = work.run.glue.get_table(DatabaseName=database, Name=table)["Table"]
    locations = list(_locations(work, entry, day, window))
    files = [file for place in locations for file in work.run.storage.data_files(place)]
    size = sum(size for _, size in files)
    return TableScan(f"{database}.{table}", len(locations), len(files), size), files


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
