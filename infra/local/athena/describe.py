"""A table as DESCRIBE and SHOW CREATE TABLE print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.local.athena.catalog import Column, Table
from infra.local.athena.formats import PARQUET, by_serde
from infra.local.athena.types import quote


def describe_lines(table: Table) -> list[str]:
    """Name, type and comment in columns of twenty; partition columns once more below."""
    lines = [_line(column) for column in table.all_columns]
    if not table.partition_keys:
        return lines
    heading = [
        "\t \t ",
        "# Partition Information\t \t ",
        _row("# col_name", "data_type", "comment"),
    ]
    return [*lines, *heading, "\t \t ", *(_line(key) for key in table.partition_keys)]


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
