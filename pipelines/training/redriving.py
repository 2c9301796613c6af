"""Going on with a failed execution: a new one that takes what the failed one made. Pure.

Step Functions' own redrive begins at the state that failed. Our workflows answer every failure, by
telling the topic, and end in a state of their own: that one would be redriven, and fail again. And
it would run the old definition, when what failed is mended by deploying another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from pydantic import BaseModel, ConfigDict

from mlops.errors import InputError, Refused
from pipelines.training.executions import GATE_REFUSED, Execution
from pipelines.training.history import Step

_ATTEMPT = re.compile(r"-r[0-9]+$")
_NAME_LENGTH = 36
_MAY_CHANGE = {"instances"}
_PREPROCESS = "Preprocess"


class Redrive(BaseModel):
    """The execution that goes on."""

    model_config = ConfigDict(frozen=True)

    name: str
    document: dict[str, Any]
    """Its input."""
    words: str
    """What it takes, and from where."""


def plan_redrive(
    failed: Execution,
    steps: Sequence[Step],
    *,
    given: Mapping[str, Any],
    chosen: Mapping[str, Any],
    submitted_by: str,
    is_taken: Callable[[str], bool],
) -> Redrive:
    """given: the failed execution's input. chosen: settings that are to differ.

    is_taken: whether an execution has this name. Raises Refused for an execution that runs,
    succeeded, or was refused by the gate, and InputError for settings that would change its rows or
    its model.
    """
    _require_failed(failed)
    if wrong := sorted(set(chosen) - _MAY_CHANGE):
        raise InputError(
            f"A redrive goes on with the same settings; {', '.join(wrong)} cannot change but in a "
            f"new run: mlops workflows run {failed.workflow}. What it runs on can: "
            "--set instances.training=ml.m5.4xlarge."
        )
    rows = _rows_of(failed, steps)
    settings = {**given.get("settings", {}), **chosen}
    settings.setdefault("test_end", f"{failed.started:%Y-%m-%d}")
    document = {**given, "settings": settings, "submitted_by": submitted_by}
    document["redriven"] = failed.name
    words = f"goes on with {failed.name}; its rows are made anew"
    if rows is not None:
        document["taken"] = {"preprocess": rows}
        words = f"goes on with {failed.name}, with the rows of {rows}"
    return Redrive(name=_next_name(failed.name, is_taken), document=document, words=words)


def _require_failed(failed: Execution) -> None:
    called = f"Execution '{failed.name}' of '{failed.workflow}'"
    if not failed.ended:
        raise Refused(f"{called} still runs. Follow it: mlops workflows watch {failed.workflow}")
    if failed.status == "SUCCEEDED":
        raise Refused(f"{called} succeeded; there is nothing to go on with.")
    if failed.error == GATE_REFUSED:
        raise Refused(
            f"{called} did not fail: its gate refused the model, and would again. Change what it "
            f"learns from, and run again: mlops workflows run {failed.workflow} --set …"
        )


def _rows_of(failed: Execution, steps: Sequence[Step]) -> str | None:
    """The run that made the failed one's rows; None where they were not made yet."""
    taken = [step.taken_from for step in steps if step.name == f"Take {_PREPROCESS.lower()}"]
    done = any(step.name == _PREPROCESS and step.status == "SUCCEEDED" for step in steps)
    return failed.name if done else next(iter(taken), None)


def _next_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """The same name with the next free number: weekly, weekly-r2, weekly-r3."""
    stem = _ATTEMPT.sub("", name)
    attempts = (f"-r{number}" for number in count(2))
    names = (stem[: _NAME_LENGTH - len(end)].rstrip("-") + end for end in attempts)
    return next(candidate for candidate in names if not is_taken(candidate))
