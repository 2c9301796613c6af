"""The fraud model's workflow: the standard steps, with this folder's code in them."""

from __future__ import annotations

from typing import Any

from pipelines.fraud.settings import DEFAULTS
from pipelines.training.machine import Site, Workflow


def build(site: Site) -> dict[str, Any]:
    """The state machine, in the Amazon States Language."""
    return Workflow(
        site,
        DEFAULTS,
        preprocess="pipelines.fraud.preprocess",
        train="pipelines/fraud/train.py",
        evaluate="pipelines.fraud.evaluate",
    ).definition()
