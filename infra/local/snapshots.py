"""When what is in memory goes to disk: shortly after a change, so that a kill loses little."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from infra.local.moto_backend import StepFunctions
from infra.local.operations import Call

_READS = ("Get", "List", "Describe", "Head", "BatchGet", "Query", "Scan", "Filter", "Assume")
_HEAVY = frozenset({"lambda"})
"""What holds code: written only when a request may have changed it."""
_HEAVY_CALLS = frozenset({"lambda", "cloudformation"})
_INTERVAL = 1.0
_AFTERMATH = 10
"""Rounds after a change in which it may still have effects: stacks, notifications, targets."""

_log = logging.getLogger("infra.local")


class Snapshots:
    """Writes MiniStack's and moto's state every second while there is something new."""

    def __init__(self, step_functions: StepFunctions) -> None:
        self._step_functions = step_functions
        self._rounds = 0
        self._heavy = False
        self._written: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, call: Call) -> None:
        """A request is about to be answered that may change something."""
        if call.operation.startswith(_READS):
            return
        self._rounds = _AFTERMATH
        self._heavy = self._heavy or call.service in _HEAVY_CALLS

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End, with everything written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._write(heavy=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                await asyncio.to_thread(self._step_functions.save)
                if self._rounds > 0:
                    self._rounds -= 1
                    heavy, self._heavy = self._heavy, self._heavy and self._rounds > 0
                    await self._write(heavy=heavy)
            except Exception:  # noqa: BLE001 - the next round tries again; the log tells
                _log.exception("The state could not be written")

    async def _write(self, *, heavy: bool) -> None:
        states = _states(heavy=heavy)
        await asyncio.to_thread(self._save, states)
        await asyncio.to_thread(self._step_functions.save)

    def _save(self, states: Mapping[str, Any]) -> None:
        from ministack.core import persistence

        for name, state in states.items():
            text = json.dumps(state, default=persistence._json_default)
            if self._written.get(name) != text:
                persistence.save_state(name, state)
                self._written[name] = text


def _states(*, heavy: bool) -> dict[str, Any]:
    """A copy of every loaded service's state; on the event loop, where nothing else changes it."""
    from ministack import app

    states = {}
    for name, get_state in app._build_persistence_save_dict().items():
        if heavy or name not in _HEAVY:
            state = get_state()
            if state is not None:
                states[name] = state
    return states
