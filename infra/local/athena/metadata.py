"""The catalog as Athena's API tells it: databases, tables, columns."""

from __future__ import annotations

import re
from typing import Any

from infra.local.athena.catalog import CATALOG, Catalog, Table
from infra.local.service import AwsError

Request = dict[str, Any]
Answer = dict[str, Any]


class Metadata:
    """Answers what the API asks of catalogs, databases and tables."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def list_catalogs(self, request: Request) -> Answer:
        return {"DataCatalogsSummary": [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}]}

    def get_catalog(self, request: Request) -> Answer:
        _check_catalog(str(request.get("Name")))
        catalog = {"Name": "AwsDataCatalog", "Type": "GLUE", "Parameters": {}}
        return {"DataCatalog": catalog}

    def list_databases(self, request: Request) -> Answer:
        _check_catalog(str(request.get("CatalogName")))
        found = [_database(entry) for entry in self._catalog.databases()]
        return page("DatabaseList", found, request, 50)

    def get_database(self, request: Request) -> Answer:
        _check_catalog(str(request.get("CatalogName")))
        name = str(request.get("DatabaseName")).lower()
        entry = self._catalog.database(name)
        if entry is None:
            raise AwsError(
                "MetadataException", f"EntityNotFoundException: Database {name} not found."
            )
        return {"Database": _database(entry)}

    def get_table(self, request: Request) -> Answer:
        _check_catalog(str(request.get("CatalogName")))
        database, name = str(request["DatabaseName"]).lower(), str(request["TableName"]).lower()
        table = self._catalog.find(database, name)
        if table is None:
            raise AwsError(
                "MetadataException", f"EntityNotFoundException: Entity Not Found: {name}"
            )
        return {"TableMetadata": _table_metadata(table)}

    def list_tables(self, request: Request) -> Answer:
        _check_catalog(str(request.get("CatalogName")))
        wanted = re.compile(request.get("Expression") or ".*", re.IGNORECASE)
        tables = self._catalog.tables(str(request["DatabaseName"]).lower())
        found = [_table_metadata(table) for table in tables if wanted.fullmatch(table.name)]
        return page("TableMetadataList", found, request, 50)


def page(key: str, items: list[Any], request: Request, default: int) -> Answer:
    """One page of a list; its token is where the next one starts."""
    start = int(request.get("NextToken") or 0)
    size = int(request.get("MaxResults") or default)
    answer: Answer = {key: items[start : start + size]}
    return answer | ({"NextToken": str(start + size)} if start + size < len(items) else {})


def _check_catalog(name: str) -> None:
    if name.lower() != CATALOG:
        raise AwsError("InvalidRequestException", f"Data catalog {name} was not found")


def _database(entry: dict[str, Any]) -> dict[str, Any]:
    found = {"Name": entry["Name"], "Parameters": entry.get("Parameters") or {}}
    return found | ({"Description": entry["Description"]} if entry.get("Description") else {})


def _table_metadata(table: Table) -> dict[str, Any]:
    def columns(found: Any) -> list[dict[str, str]]:
        return [
            {"Name": c.name, "Type": c.hive} | ({"Comment": c.comment} if c.comment else {})
            for c in found
        ]

    storage = {
        "location": table.location,
        "serde.serialization.lib": table.serde,
        "inputformat": table.input_format,
        "outputformat": table.output_format,
    }
    created = table.raw.get("CreateTime")
    return {
        "Name": table.name,
        "CreateTime": created.timestamp() if created else 0,
        "LastAccessTime": 0,
        "TableType": table.kind,
        "Columns": columns(table.glue_columns),
        "PartitionKeys": columns(table.partition_keys),
        "Parameters": {**table.parameters, **{k: v for k, v in storage.items() if v}},
    }
