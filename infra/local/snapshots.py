"""When what is in memory goes to disk: shortly after a change, so that a kill loses little."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.local.moto_backend import StepFunctions
from infra.local.operations import Call

_READS = ("Get", "List", "Describe", "Head", "BatchGet", "Query", "Scan", "Filter", "Assume")
_KEPT_ELSEWHERE = frozenset({"athena", "batch", "kinesis", "sagemaker", "states"})
_OBJECTS = frozenset(
    {
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateMultipartUpload",
        "DeleteObject",
        "DeleteObjects",
        "PutObject",
        "UploadPart",
        "UploadPartCopy",
    }
)
"""MiniStack writes objects itself, at once."""
_CODE = "lambda"
"""The state that holds code: written only when a request may have changed it."""
_CHANGES_CODE = frozenset({"lambda", "cloudformation"})
_ROUND_SECONDS = 1.0
_AFTERMATH_ROUNDS = 5
"""How long a change may still have effects of its own: stacks, notifications, targets."""
_QUIET_ROUNDS = 15
"""How often effects of other calls are looked for: logs and metrics of functions, say."""

_log = logging.getLogger("infra.local")


class Snapshots:
    """Writes MiniStack's and moto's state while there is something new."""

    def __init__(self, step_functions: StepFunctions, folder: Path) -> None:
        self._step_functions = step_functions
        self._folder = folder
        self._aftermath = 0
        self._quiet = 0
        self._stirred = False
        self._code = False
        self._written: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, call: Call) -> None:
        """A request is about to be answered that may change something."""
        if call.operation.startswith(_READS):
            return
        self._stirred = True
        if call.service in _KEPT_ELSEWHERE or call.operation in _OBJECTS:
            return
        self._aftermath = _AFTERMATH_ROUNDS
        self._code = self._code or call.service in _CHANGES_CODE

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End, with everything written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._write(code=True)
        await asyncio.to_thread(self._step_functions.save)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            try:
                await asyncio.to_thread(self._step_functions.save)
                if self._is_due():
                    await self._write(code=self._code)
                    self._code = self._code and self._aftermath > 0
            except Exception:  # noqa: BLE001 - the next round tries again; the log tells
                _log.exception("The state could not be written")

    def _is_due(self) -> bool:
        self._quiet += 1
        if self._aftermath > 0:
            self._aftermath -= 1
        elif not self._stirred or self._quiet < _QUIET_ROUNDS:
            return False
        self._quiet, self._stirred = 0, False
        return True

    async def _write(self, *, code: bool) -> None:
        await asyncio.to_thread(self._save, _states(code=code))

    def _save(self, states: Mapping[str, Any]) -> None:
        for name, state in states.items():
            text = _document(name, state)
            if self._written.get(name) != text:
                draft = self._folder / f"{name}.json.draft"
                draft.write_text(text, encoding="utf-8")
                draft.replace(self._folder / f"{name}.json")
                self._written[name] = text


def _states(*, code: bool) -> dict[str, Any]:
    """A copy of every loaded service's state; on the event loop, where nothing else changes it."""
    from ministack import app

    states = {}
    for name, get_state in app._build_persistence_save_dict().items():
        if code or name != _CODE:
            state = get_state()
            if state is not None:
                states[name] = state
    return states


def _document(name: str, state: Any) -> str:
    """A service's state as MiniStack's own loader reads it."""
    from ministack.core import persistence

    document = {"__ministack_format__": persistence._state_format_version(name), "payload": state}
    return json.dumps(document, default=persistence._json_default)
