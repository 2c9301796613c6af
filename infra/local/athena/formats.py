"""How tables store their rows: the formats of Hive that are read and written, by their SerDe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.local.athena.errors import QueryFailed, no_iceberg, unsupported

if TYPE_CHECKING:
    from infra.local.athena.catalog import Table

_QL = "org.apache.hadoop.hive.ql.io"
_TEXT_IO = ("org.apache.hadoop.mapred.TextInputFormat", f"{_QL}.HiveIgnoreKeyTextOutputFormat")


@dataclass(frozen=True)
class Format:
    """Names of Hive's classes for one way to store rows.

    suffix: of the files that the local Athena writes.
    """

    name: str
    serde: str
    input_format: str
    output_format: str
    suffix: str = ""


PARQUET = Format(
    "PARQUET",
    f"{_QL}.parquet.serde.ParquetHiveSerDe",
    f"{_QL}.parquet.MapredParquetInputFormat",
    f"{_QL}.parquet.MapredParquetOutputFormat",
)
ORC = Format(
    "ORC",
    f"{_QL}.orc.OrcSerde",
    f"{_QL}.orc.OrcInputFormat",
    f"{_QL}.orc.OrcOutputFormat",
)
TEXT = Format("TEXTFILE", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", *_TEXT_IO, ".gz")
CSV = Format("CSV", "org.apache.hadoop.hive.serde2.OpenCSVSerde", *_TEXT_IO, ".gz")
JSON = Format("JSON", "org.apache.hive.hcatalog.data.JsonSerDe", *_TEXT_IO, ".gz")
OPENX = Format("OPENX_JSON", "org.openx.data.jsonserde.JsonSerDe", *_TEXT_IO, ".gz")

_ALL = (PARQUET, ORC, TEXT, CSV, JSON, OPENX)
_BY_SERDE = {one.serde.lower(): one for one in _ALL} | {
    "org.apache.hadoop.hive.serde2.jsonserde": JSON
}
_BY_STORED_AS = {"PARQUET": PARQUET, "PARQUETFILE": PARQUET, "ORC": ORC, "TEXTFILE": TEXT}
_BY_PROPERTY = {"PARQUET": PARQUET, "ORC": ORC, "JSON": JSON, "TEXTFILE": TEXT}
_INPUTS = {one.input_format.lower(): one for one in (PARQUET, ORC, TEXT)}


def format_of(table: Table) -> Format:
    """How a table's files are read. Raises NOT_SUPPORTED with the SerDes that are."""
    if table.parameters.get("table_type", "").upper() == "ICEBERG":
        raise no_iceberg(table.full_name)
    found = by_serde(table.serde)
    if found is None:
        serde = table.serde or "not given"
        raise unsupported(f"reading '{table.full_name}': its SerDe is {serde}; {_known()}")
    return found


def by_serde(serde: str) -> Format | None:
    if "parquet" in serde.lower():
        return PARQUET
    return _BY_SERDE.get(serde.lower())


def declared(stored_as: str, serde: str) -> Format:
    """What CREATE EXTERNAL TABLE says; without a word about it, Hive's text."""
    if serde:
        found = by_serde(serde)
    else:
        found = _BY_STORED_AS.get(stored_as or "TEXTFILE") or _INPUTS.get(stored_as.lower())
    if found is None:
        raise unsupported(f"tables stored as {serde or stored_as}; {_known()}")
    return found


def by_property(name: str, *, what: str) -> Format:
    """The format property of CTAS and UNLOAD. Raises NOT_SUPPORTED, or Trino's complaint."""
    if name.upper() in _BY_PROPERTY:
        return _BY_PROPERTY[name.upper()]
    if name.upper() in {"AVRO", "ION"}:
        raise unsupported(f"{what} in the format {name}; use PARQUET, ORC, JSON or TEXTFILE")
    raise QueryFailed("INVALID_TABLE_PROPERTY", f"Unknown format '{name}' for {what}")


def _known() -> str:
    return f"it reads {', '.join(one.serde.rpartition('.')[2] for one in _ALL)}"
