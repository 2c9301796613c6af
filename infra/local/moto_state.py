"""State machines and their executions as JSON files: moto itself keeps nothing.

moto/state_machines.json      machines and their tags
moto/executions/<name>.json   one execution with its history, written anew while it runs
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

RESTARTED = "LocalAws.Restarted"
_CAUSE = "The local AWS stopped while this execution ran. Start it again."
_ENDED = -1
"""In place of a history's length, once nothing is added to it."""
_MACHINE = (
    "arn",
    "name",
    "definition",
    "roleArn",
    "type",
    "sm_type",
    "description",
    "creation_date",
    "update_date",
    "encryptionConfiguration",
    "loggingConfiguration",
    "tracingConfiguration",
)
_EXECUTION = (
    "name",
    "sm_type",
    "role_arn",
    "exec_arn",
    "execution_arn",
    "account_id",
    "region_name",
    "input_data",
    "start_date",
    "stop_date",
    "output",
    "error",
    "cause",
    "state_machine_arn",
    "execution_input",
)


class MotoState:
    """Keeps a Step Functions backend of moto in a folder."""

    def __init__(self, backend: Any, folder: Path) -> None:
        self._backend = backend
        self._machines = folder / "state_machines.json"
        self._executions = folder / "executions"
        self._executions.mkdir(parents=True, exist_ok=True)
        self._written: dict[Path, tuple[Any, ...] | str] = {}

    def load(self) -> None:
        """Bring back what was saved; what ran then is ABORTED, and its history says why."""
        if not self._machines.exists():
            return
        saved = _read(self._machines)
        self._backend.tagger.tags.update(saved["tags"])
        for fields in saved["machines"]:
            self._backend.state_machines.append(_machine(fields, self._backend))
        machines = {machine.arn: machine for machine in self._backend.state_machines}
        for document in map(_read, self._executions.glob("*.json")):
            machine = machines.get(document["fields"]["state_machine_arn"])
            if machine is not None:
                machine.executions.append(_execution(document, machine))

    def save(self) -> None:
        """Write what changed since it was last written."""
        machines = list(self._backend.state_machines)
        self._save_machines(machines)
        kept = {self._save_execution(run) for machine in machines for run in machine.executions}
        for path in set(self._executions.glob("*.json")) - kept:
            path.unlink()

    def _save_machines(self, machines: Iterable[Any]) -> None:
        text = _dump(
            {
                "machines": [{name: getattr(m, name) for name in _MACHINE} for m in machines],
                "tags": self._backend.tagger.tags,
            }
        )
        if self._written.get(self._machines) != text:
            _write(self._machines, text)
            self._written[self._machines] = text

    def _save_execution(self, run: Any) -> Path:
        path = self._executions / f"{hashlib.sha256(run.exec_arn.encode()).hexdigest()[:32]}.json"
        status, written = run.status, self._written.get(path)
        if written == (status, _ENDED):
            return path
        history = run.to_history_output()["events"]
        mark = (status, len(history))
        if written == mark and status != "RUNNING":
            mark = (status, _ENDED)  # written once more: moto sets the status before the output
        if written != mark:
            fields = {name: getattr(run, name) for name in _EXECUTION}
            _write(path, _dump({"status": status, "fields": fields, "history": history}))
            self._written[path] = mark
        return path


def _machine(fields: Mapping[str, Any], backend: Any) -> Any:
    from moto.stepfunctions.models import StateMachine

    machine = StateMachine(
        fields["arn"], fields["name"], fields["definition"], fields["roleArn"], backend
    )
    for name, value in fields.items():
        setattr(machine, name, value)
    return machine


def _execution(document: dict[str, Any], machine: Any) -> Any:
    from moto.stepfunctions.parser.api import CloudWatchEventsExecutionDataDetails, ExecutionStatus
    from moto.stepfunctions.parser.backend.execution import Execution

    if document["status"] == "RUNNING":
        _abort(document)
    run = Execution.__new__(Execution)
    for name, value in document["fields"].items():
        setattr(run, name, value)
    run.exec_status = ExecutionStatus(document["status"])
    run.state_machine = machine
    run.input_details = run.output_details = CloudWatchEventsExecutionDataDetails(included=True)
    run.trace_header = None
    run.exec_worker = _finished_worker(document["history"])
    return run


def _abort(document: dict[str, Any]) -> None:
    now, history = datetime.now(UTC), document["history"]
    last = history[-1]["id"] if history else 0
    document["status"] = "ABORTED"
    document["fields"] |= {"stop_date": now, "error": RESTARTED, "cause": _CAUSE}
    history.append(
        {
            "timestamp": now,
            "type": "ExecutionAborted",
            "id": last + 1,
            "previousEventId": last,
            "executionAbortedEventDetails": {"error": RESTARTED, "cause": _CAUSE},
        }
    )


def _finished_worker(history: list[Any]) -> Any:
    """What moto asks of an execution's worker when it runs no more."""
    manager = SimpleNamespace(get_event_history=lambda: history)
    return SimpleNamespace(env=SimpleNamespace(event_manager=manager), stop=lambda **_: None)


def _dump(document: Any) -> str:
    return json.dumps(document, default=_plain)


def _plain(value: Any) -> Any:
    return {"$time": value.isoformat()} if isinstance(value, datetime) else str(value)


def _timed(document: dict[str, Any]) -> Any:
    return datetime.fromisoformat(document["$time"]) if document.keys() == {"$time"} else document


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), object_hook=_timed)


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
