"""Athena's API over DuckDB: Athena's SQL translated, tables from Glue, data in S3."""
