"""Query executions: their states, and what of them survives a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from infra.local.athena.results import ResultColumn

KEPT = 1000
"""Finished executions that are remembered."""
FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class Execution(BaseModel):
    """One query execution. Times are seconds since 1970, durations milliseconds."""

    id: str
    query: str
    kind: str = "DML"
    substatement: str = ""
    work_group: str
    database: str = ""
    catalog: str = "awsdatacatalog"
    output: str
    """The folder of results, ending in '/'."""
    output_location: str = ""
    parameters: list[str] = []
    state: str = "QUEUED"
    reason: str | None = None
    error: dict[str, Any] | None = None
    submitted: float
    started: float | None = None
    completed: float | None = None
    scanned: int = 0
    planning: int = 0
    columns: list[dict[str, Any]] = []
    form: str = "none"
    update_count: int | None = None
    manifest: str | None = None
    token: str | None = None
    """ClientRequestToken: the same one means the same execution."""

    def describe(self) -> dict[str, Any]:
        """The QueryExecution of the API."""
        status = {
            "State": self.state,
            "SubmissionDateTime": self.submitted,
            "CompletionDateTime": self.completed,
            "StateChangeReason": self.reason,
            "AthenaError": self.error,
        }
        context = {"Database": self.database, "Catalog": self.catalog}
        return {
            "QueryExecutionId": self.id,
            "Query": self.query,
            "StatementType": self.kind,
            "SubstatementType": self.substatement,
            "ResultConfiguration": {"OutputLocation": self.output_location or self.output},
            "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
            "QueryExecutionContext": {key: value for key, value in context.items() if value},
            "Status": {key: value for key, value in status.items() if value is not None},
            "Statistics": self.statistics(),
            "WorkGroup": self.work_group,
            "EngineVersion": {
                "SelectedEngineVersion": "Athena engine version 3",
                "EffectiveEngineVersion": "Athena engine version 3",
            },
            **({"ExecutionParameters": self.parameters} if self.parameters else {}),
        }

    def statistics(self) -> dict[str, Any]:
        end = self.completed or time.time()
        started = self.started or end
        found: dict[str, Any] = {
            "EngineExecutionTimeInMillis": _millis(end - started),
            "DataScannedInBytes": self.scanned,
            "TotalExecutionTimeInMillis": _millis(end - self.submitted),
            "QueryQueueTimeInMillis": _millis(started - self.submitted),
            "ServicePreProcessingTimeInMillis": 0,
            "QueryPlanningTimeInMillis": self.planning,
            "ServiceProcessingTimeInMillis": 0,
            "ResultReuseInformation": {"ReusedPreviousResult": False},
        }
        return found | ({"DataManifestLocation": self.manifest} if self.manifest else {})


def _millis(seconds: float) -> int:
    return max(int(seconds * 1000), 0)


class Executions:
    """All executions of this Athena; finished ones are files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._all: dict[str, Execution] = {}
        for path in sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime):
            execution = Execution.model_validate_json(path.read_text())
            self._all[execution.id] = execution

    def add(self, execution: Execution) -> Execution:
        """Register it, or give back the one that the same token started."""
        with self._lock:
            for known in self._all.values() if execution.token else ():
                if known.token == execution.token:
                    return known
            self._all[execution.id] = execution
            return execution

    def get(self, id_: str) -> Execution | None:
        with self._lock:
            found = self._all.get(id_)
            return found.model_copy() if found else None

    def newest(self, work_group: str) -> list[Execution]:
        with self._lock:
            found = [e for e in self._all.values() if e.work_group == work_group]
        return sorted(found, key=lambda execution: execution.submitted, reverse=True)

    def start(self, id_: str) -> bool:
        """QUEUED to RUNNING; False when it was stopped before."""
        with self._lock:
            execution = self._all[id_]
            if execution.state != "QUEUED":
                return False
            execution.state, execution.started = "RUNNING", time.time()
            return True

    def note(self, id_: str, **changes: object) -> None:
        with self._lock:
            self._change(self._all[id_], changes)

    def finish(self, id_: str, state: str, **changes: object) -> bool:
        """Into a final state, once; False when it was in one already."""
        with self._lock:
            execution = self._all[id_]
            if execution.state in FINAL:
                return False
            self._change(execution, {**changes, "completed": time.time(), "state": state})
            self._forget_old()
        self._save(execution)
        return True

    def _change(self, execution: Execution, changes: dict[str, object]) -> None:
        for name, value in changes.items():
            setattr(execution, name, value)

    def running(self) -> list[str]:
        with self._lock:
            return [e.id for e in self._all.values() if e.state not in FINAL]

    def _save(self, execution: Execution) -> None:
        path = self._folder / f"{execution.id}.json"
        part = path.with_suffix(".part")
        part.write_text(execution.model_dump_json())
        part.replace(path)

    def _forget_old(self) -> None:
        finished = [e for e in self._all.values() if e.state in FINAL]
        for execution in sorted(finished, key=lambda e: e.submitted)[: len(finished) - KEPT]:
            del self._all[execution.id]
            (self._folder / f"{execution.id}.json").unlink(missing_ok=True)


def column_infos(columns: Sequence[ResultColumn]) -> list[dict[str, Any]]:
    return [column.info() for column in columns]
