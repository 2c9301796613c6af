"""What a run's jobs cost, by the dated table of prices: an estimate, never a bill. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mlops.errors import NotFound
from mlops.prices import HOURS, Prices
from pipelines.training.history import Step


def step_price(step: Step, prices: Prices, *, now: datetime) -> float | None:
    """A SageMaker job's instances and volumes, up to now where it runs; 0 without a job.

    None for a job whose price is not known: Batch's, or an instance that the table lacks.
    """
    if step.job is None:
        return 0.0
    if step.machine is None:
        return None
    try:
        hourly = prices.instance_hour(step.machine.instance)
    except NotFound:
        return None
    volume = step.machine.volume_gb * prices.of("sagemaker.volume_gb_month") / HOURS
    return step.machine.count * (hourly + volume) * billed_seconds(step, now=now) / 3600


def billed_seconds(step: Step, *, now: datetime) -> float:
    """As SageMaker said at its end; until then, and of a failed job, how long the step took."""
    if step.machine is not None and step.machine.billed_seconds is not None:
        return step.machine.billed_seconds
    return step.seconds if step.seconds is not None else (now - step.started).total_seconds()


def run_price(steps: Iterable[Step], prices: Prices, *, now: datetime) -> float | None:
    """Of all steps together; None when one's price is not known."""
    found = [step_price(step, prices, now=now) for step in steps]
    known = [price for price in found if price is not None]
    return sum(known) if len(known) == len(found) else None
