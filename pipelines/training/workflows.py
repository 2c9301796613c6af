"""Which workflows there are, where each is built, and what an execution is told."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import date
from typing import Any

from mlops.errors import NotFound, Refused
from pipelines.training.settings import (
    chosen_fields,
    list_models,
    load_defaults,
    with_overrides,
)

START = "start"
"""The workflow that rules start, to start another one."""
_OTHERS = {
    "upsync": "pipelines.features.upsync",
    "drift": "pipelines.training.drifting",
    START: "pipelines.training.starting",
}
"""Workflows that train no model: packages with `workflow.build`, and `settings.DEFAULTS` where a
person may run them."""


def list_workflows() -> list[str]:
    return sorted([*list_models(), *_OTHERS])


def builder(workflow: str) -> Any:
    """What builds the state machine. Raises NotFound listing the workflows there are."""
    if workflow not in list_workflows():
        known = ", ".join(list_workflows())
        raise NotFound(f"There is no workflow '{workflow}'. There are: {known}.")
    if workflow in _OTHERS:
        return importlib.import_module(f"{_OTHERS[workflow]}.workflow").build
    from pipelines.training.machine import Workflow  # noqa: PLC0415  # with the SDKs, slow

    defaults = load_defaults(workflow)
    return lambda site: Workflow(site, defaults).definition()


def input_settings(workflow: str, changes: Mapping[str, str], *, today: date) -> dict[str, Any]:
    """What was chosen; the rest is as deployed. A model's last day is the platform's clock's.

    Raises NotFound, Refused, and InputError naming every setting that is unknown or wrong.
    """
    if workflow == START:
        raise Refused(
            f"'{START}' is run by rules alone. Run a model's workflow itself: mlops workflows run "
            "MODEL. What starts by rules: mlops workflows schedule show"
        )
    if workflow in _OTHERS:
        defaults = importlib.import_module(f"{_OTHERS[workflow]}.settings").DEFAULTS
        return chosen_fields(with_overrides(defaults, changes), changes)
    chosen = with_overrides(load_defaults(workflow), changes)
    dated = chosen.model_copy(update={"test_end": chosen.test_end or today})
    return chosen_fields(dated, [*changes, "test_end"])
