"""Prepared statements: named queries with question marks, kept per workgroup."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from infra.local.athena.errors import QueryFailed
from infra.local.service import AwsError

KEPT = 1000
"""Prepared statements that one workgroup may have."""
MAX_QUERY_BYTES = 262_144
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_@:]{0,255}")


class PreparedStatement(BaseModel):
    name: str
    work_group: str
    query: str
    description: str = ""
    modified: float

    def describe(self) -> dict[str, Any]:
        """The PreparedStatement of the API."""
        return {
            "StatementName": self.name,
            "QueryStatement": self.query,
            "WorkGroupName": self.work_group,
            "LastModifiedTime": self.modified,
            **({"Description": self.description} if self.description else {}),
        }


class StatementMissing(AwsError):
    """No such prepared statement in the workgroup."""

    def __init__(self, name: str, work_group: str) -> None:
        message = f"PreparedStatement {name} was not found in workGroup {work_group}"
        super().__init__("ResourceNotFoundException", message)


_KEPT_AS = TypeAdapter(list[PreparedStatement])


class PreparedStatements:
    """All prepared statements of this Athena; one file keeps them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        found = _KEPT_AS.validate_json(path.read_text()) if path.exists() else []
        self._all = {(one.work_group, one.name): one for one in found}

    def get(self, work_group: str, name: str) -> PreparedStatement:
        """Raises StatementMissing."""
        with self._lock:
            found = self._all.get((work_group, name))
        if found is None:
            raise StatementMissing(name, work_group)
        return found

    def of(self, work_group: str) -> list[PreparedStatement]:
        """A workgroup's statements by name."""
        with self._lock:
            found = [one for one in self._all.values() if one.work_group == work_group]
        return sorted(found, key=lambda one: one.name)

    def create(self, work_group: str, name: str, query: str, description: str = "") -> None:
        """Raises InvalidRequestException for a name that is taken or malformed."""
        _check(name, query)
        with self._lock:
            if (work_group, name) in self._all:
                raise _invalid(f"PreparedStatement {name} already exists in workGroup {work_group}")
            if sum(one.work_group == work_group for one in self._all.values()) >= KEPT:
                raise _invalid(f"WorkGroup {work_group} has {KEPT} prepared statements already")
            self._put(work_group, name, query, description)

    def update(self, work_group: str, name: str, query: str, description: str = "") -> None:
        """Raises StatementMissing."""
        self.get(work_group, name)
        _check(name, query)
        with self._lock:
            self._put(work_group, name, query, description)

    def delete(self, work_group: str, name: str) -> None:
        """Raises StatementMissing."""
        with self._lock:
            if self._all.pop((work_group, name), None) is None:
                raise StatementMissing(name, work_group)
            self._save()

    def forget(self, work_group: str) -> None:
        """The workgroup is gone, and its statements with it."""
        with self._lock:
            for key in [key for key in self._all if key[0] == work_group]:
                del self._all[key]
            self._save()

    def _put(self, work_group: str, name: str, query: str, description: str) -> None:
        self._all[work_group, name] = PreparedStatement(
            name=name,
            work_group=work_group,
            query=query,
            description=description,
            modified=time.time(),
        )
        self._save()

    def _save(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_bytes(_KEPT_AS.dump_json(list(self._all.values())))
        part.replace(self._path)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidRequestException", message)


def _check(name: str, query: str) -> None:
    if not _NAME.fullmatch(name):
        raise _invalid(f"Value '{name}' at 'statementName' must match {_NAME.pattern}")
    if not query.strip() or len(query.encode()) > MAX_QUERY_BYTES:
        raise _invalid(f"QueryStatement must have 1 to {MAX_QUERY_BYTES} bytes")


def create(store: PreparedStatements, request: dict[str, Any]) -> dict[str, Any]:
    """CreatePreparedStatement."""
    store.create(*_given(request))
    return {}


def update(store: PreparedStatements, request: dict[str, Any]) -> dict[str, Any]:
    """UpdatePreparedStatement."""
    store.update(*_given(request))
    return {}


def _given(request: dict[str, Any]) -> tuple[str, str, str, str]:
    return (
        str(request.get("WorkGroup")),
        str(request.get("StatementName")),
        str(request.get("QueryStatement") or ""),
        str(request.get("Description") or ""),
    )


def get_many(store: PreparedStatements, work_group: str, names: Sequence[str]) -> dict[str, Any]:
    """BatchGetPreparedStatement."""
    found, missing = [], []
    for name in names:
        try:
            found.append(store.get(work_group, name).describe())
        except StatementMissing as exc:
            failure = {"ErrorCode": "STATEMENT_NOT_FOUND", "ErrorMessage": exc.message}
            missing.append({"StatementName": name, **failure})
    return {"PreparedStatements": found, "UnprocessedPreparedStatementNames": missing}


def as_query_failure(error: AwsError) -> QueryFailed:
    """What the API refuses, as SQL's PREPARE, EXECUTE and DEALLOCATE fail."""
    code = "NOT_FOUND" if isinstance(error, StatementMissing) else "INVALID_PARAMETER_USAGE"
    return QueryFailed(code, error.message)
