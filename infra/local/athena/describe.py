"""A table as DESCRIBE and SHOW CREATE TABLE print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.local.athena.catalog import Column, Table
from infra.local.athena.errors import QueryFailed
from infra.local.athena.formats import PARQUET, by_serde
from infra.local.athena.types import quote


def describe_lines(table: Table, *, formatted: bool = False) -> list[str]:
    """Name, type and comment in columns of twenty; partition columns once more below.

    formatted: also what is known of the table and its storage.
    """
    lines = [_line(column) for column in table.all_columns]
    if table.partition_keys:
        heading = _row("# col_name", "data_type", "comment")
        lines += [_BLANK, "# Partition Information\t \t ", heading, _BLANK]
        lines += [_line(key) for key in table.partition_keys]
    return lines + _details(table) if formatted else lines


_BLANK = "\t \t "


def _details(table: Table) -> list[str]:
    form = by_serde(table.serde) or PARQUET
    created = table.raw.get("CreateTime")
    about = {
        "Database": table.database,
        "Owner": str(table.raw.get("Owner") or "hadoop"),
        "CreateTime": f"{created:%a %b %d %H:%M:%S UTC %Y}" if created else "UNKNOWN",
        "LastAccessTime": "UNKNOWN",
        "Retention": str(table.raw.get("Retention") or 0),
        "Location": table.location,
        "Table Type": table.kind,
    }
    storage = {
        "SerDe Library": table.serde,
        "InputFormat": table.input_format or form.input_format,
        "OutputFormat": table.output_format or form.output_format,
    }
    return [
        _BLANK,
        "# Detailed Table Information\t \t ",
        *(_row(f"{name}:", value) + "\t " for name, value in about.items()),
        "Table Parameters:\t \t ",
        *(_row("", name, value) for name, value in sorted(table.parameters.items())),
        _BLANK,
        "# Storage Information\t \t ",
        *(_row(f"{name}:", value) + "\t " for name, value in storage.items()),
        "Storage Desc Params:\t \t ",
        *(_row("", name, value) for name, value in sorted(table.serde_parameters.items())),
    ]


def describe_column(table: Table, name: str) -> str:
    """One column's line. Raises Hive's complaint where there is none of the name."""
    for column in table.all_columns:
        if column.name == name:
            return _line(column)
    raise QueryFailed(
        "", f"FAILED: SemanticException [Error 10002]: Invalid column reference {name}"
    )


def _line(column: Column) -> str:
    return _row(column.name, column.hive, column.comment)


def _row(*cells: str) -> str:
    return "\t".join(f"{cell:<20}" for cell in cells)


def create_table_text(table: Table) -> str:
    """The statement that would make the table, or the view, again."""
    if table.view is not None:
        name = f"{quote(table.database)}.{quote(table.name)}"
        return f"CREATE VIEW {name} AS \n{table.view.sql}"
    parts = [f"CREATE EXTERNAL TABLE `{table.database}.{table.name}`(", _columns(table.columns)]
    if table.partition_keys:
        parts += ["PARTITIONED BY ( ", _columns(table.partition_keys)]
    parts += [
        *_row_format(table),
        "LOCATION",
        f"  '{table.location}'",
        "TBLPROPERTIES (",
        _pairs(table.parameters),
    ]
    return "\n".join(parts)


def _row_format(table: Table) -> list[str]:
    """As Hive prints it, with its blanks at the ends of lines."""
    form = by_serde(table.serde) or PARQUET
    lines = ["ROW FORMAT SERDE ", f"  '{table.serde}' "]
    given = {k: v for k, v in table.serde_parameters.items() if k != "serialization.format"}
    if given:
        lines += ["WITH SERDEPROPERTIES ( ", f"{_pairs(given)} "]
    lines += ["STORED AS INPUTFORMAT ", f"  '{table.input_format or form.input_format}' "]
    return [*lines, "OUTPUTFORMAT ", f"  '{table.output_format or form.output_format}'"]


def _columns(columns: Sequence[Column]) -> str:
    lines = [
        f"  `{column.name}` {column.hive}"
        + (f" COMMENT '{column.comment}'" if column.comment else "")
        for column in columns
    ]
    return ", \n".join(lines) + ")"


def _pairs(pairs: Mapping[str, str]) -> str:
    return ", \n".join(f"  '{key}'='{value}'" for key, value in sorted(pairs.items())) + ")"
