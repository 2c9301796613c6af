"""The declared schema of raw payments: columns, types, and the names that files use for them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TABLE = "payments"
"""The view of what is current, which everybody reads."""
ROWS_TABLE = f"{TABLE}_rows"
"""The rows of every import, those that were corrected since included."""
RAW_PREFIX = f"raw/{TABLE}/"
QUARANTINE_PREFIX = f"quarantine/{TABLE}/"
IMPORTS_PREFIX = f"imports/{TABLE}/"
SHADOWED_PREFIX = f"imports/{TABLE}-shadowed/"
"""Rows of current files that were refused because the table has their payments already."""
RUNS_PREFIX = f"imports/{TABLE}-runs/"

MONEY = pa.decimal128(18, 2)
TIME = pa.timestamp("ms")
"""UTC without a zone: what a Hive timestamp holds."""


@dataclass(frozen=True)
class Column:
    """One column of the table, and how a file may call it."""

    name: str
    type: pa.DataType
    athena: str
    aliases: tuple[str, ...] = ()
    required: bool = True
    """Whether a file must have it."""


COLUMNS = (
    Column("payment_id", pa.string(), "string", ("TRANSACTION_ID",)),
    Column("event_time", TIME, "timestamp", ("TX_DATETIME",)),
    Column("customer_id", pa.string(), "string", ("CUSTOMER_ID",)),
    Column("terminal_id", pa.string(), "string", ("TERMINAL_ID",)),
    Column("amount", MONEY, "decimal(18,2)", ("TX_AMOUNT",)),
    Column("currency", pa.string(), "string", ("TX_CURRENCY",), required=False),
    Column("is_fraud", pa.bool_(), "boolean", ("TX_FRAUD",)),
    Column("fraud_scenario", pa.int32(), "int", ("TX_FRAUD_SCENARIO",), required=False),
)
CREATED = Column("created", TIME, "timestamp")
"""When the platform took the row in; by its clock."""

PARTITIONS = ("day", "import_id")
"""Both string. The import is a partition so that its rows come and go by its id alone."""

ARROW = pa.schema([(c.name, c.type) for c in (*COLUMNS, CREATED)])


def match_columns(found: list[str]) -> dict[str, str]:
    """Our name of every declared column that a file has, with the file's name for it.

    A file's names count without regard to case; our own name wins over an alias.
    """
    by_lower = {name.lower(): name for name in reversed(found)}
    matched = {}
    for column in COLUMNS:
        for name in (column.name, *column.aliases):
            if name.lower() in by_lower:
                matched[column.name] = by_lower[name.lower()]
                break
    return matched


def create_table_sql(database: str, location: str) -> str:
    """The external table of all rows; creating it twice does nothing."""
    columns = ",\n  ".join(f"`{c.name}` {c.athena}" for c in (*COLUMNS, CREATED))
    partitions = ", ".join(f"`{name}` string" for name in PARTITIONS)
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{database}`.`{ROWS_TABLE}` (\n  {columns}\n)\n"
        f"PARTITIONED BY ({partitions})\nSTORED AS PARQUET\nLOCATION '{location}'"
    )


def select_sql(database: str, condition: str) -> str:
    """The rows of the imports that meet a condition."""
    columns = ", ".join(f'"{name}"' for name in (*ARROW.names, *PARTITIONS))
    return f'SELECT {columns}\nFROM "{database}"."{ROWS_TABLE}"\nWHERE {condition}'


def view_sql(database: str, condition: str) -> str:
    """One statement replaces everything that readers see."""
    return f'CREATE OR REPLACE VIEW "{database}"."{TABLE}" AS\n{select_sql(database, condition)}'
