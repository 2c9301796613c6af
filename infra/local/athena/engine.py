"""DuckDB, reading and writing S3 through the endpoint, one connection per query."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import duckdb_extension_httpfs  # type: ignore[import-untyped]  # a wheel of one binary

from infra.local.athena.extensions import extend
from infra.local.athena.types import text


@dataclass(frozen=True)
class EngineSettings:
    """threads: 0 means every core. memory: in DuckDB's words, for example '2GB'."""

    threads: int = 0
    memory: str = "2GB"


def _extension() -> Path:
    """The httpfs extension that the wheel carries; nothing is downloaded."""
    folder = Path(duckdb_extension_httpfs.__file__).parent
    return next(folder.rglob("httpfs.duckdb_extension"))


class Engine:
    """One in-memory DuckDB; every query has a connection of its own."""

    def __init__(
        self, endpoint: str, region: str, account: str, scratch: Path, settings: EngineSettings
    ) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": settings.memory,
            "temp_directory": str(scratch),
        }
        if settings.threads:
            config["threads"] = settings.threads
        self._root = duckdb.connect(":memory:", config=config)
        self._lock = threading.Lock()
        for statement in _setup(endpoint, region, account):
            self._root.execute(statement)
        extend(self._root)

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own, closed afterwards."""
        with self._lock:
            connection = self._root.cursor()
        try:
            yield connection
        finally:
            connection.close()

    def close(self) -> None:
        self._root.close()


def _setup(endpoint: str, region: str, account: str) -> list[str]:
    """Sessions in UTC; files are always read again, since another process may replace them."""
    host = urlsplit(endpoint)
    return [
        f"LOAD {text(str(_extension()))}",
        "SET GLOBAL TimeZone = 'UTC'",
        "SET GLOBAL enable_external_file_cache = false",
        "SET GLOBAL httpfs_connection_caching = true",
        "SET GLOBAL s3_url_compatibility_mode = true",
        _secret(account, region, host.netloc, secure=host.scheme == "https"),
    ]


def _secret(account: str, region: str, host: str, *, secure: bool) -> str:
    return (
        f"CREATE SECRET local_s3 (TYPE s3, KEY_ID {text(account)}, SECRET 'local', "
        f"REGION {text(region)}, ENDPOINT {text(host)}, URL_STYLE 'path', USE_SSL {secure})"
    )
