"""Seeded card payments with three kinds of fraud; the same seed gives the same rows.

The world is the one that the Fraud Detection Handbook describes (Le Borgne et al. 2022):
customers and terminals have places on a 100 x 100 grid, customers pay at terminals within a
radius of 5, and fraud is an amount over 220, a compromised terminal, or a compromised card.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.errors import InputError

GRID = 100.0
RADIUS = 5.0
DAY_SECONDS = 86_400
LARGE_AMOUNT = 220.0
COMPROMISED_TERMINALS_PER_DAY, TERMINAL_DAYS = 2, 28
COMPROMISED_CUSTOMERS_PER_DAY, CUSTOMER_DAYS = 3, 14
CARD_FRAUD_SHARE, CARD_FRAUD_FACTOR = 1 / 3, 5.0

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """What is simulated. The defaults give some 270,000 payments."""

    customers: int = 1_000
    terminals: int = 2_000
    days: int = 140
    start: date = date(2025, 1, 1)
    seed: int = 0
    currency: str = "EUR"

    def __post_init__(self) -> None:
        sizes = {"customers": self.customers, "terminals": self.terminals, "days": self.days}
        wrong = [f"{name} is {size}" for name, size in sizes.items() if size < 1]
        if wrong:
            raise InputError(f"A simulation needs at least one of each, but {', '.join(wrong)}.")


@dataclass
class _Payments:
    """Columns of n payments, in the order of their times."""

    customer: Ints
    terminal: Ints
    day: Ints
    second: Ints
    amount: Floats
    scenario: Ints

    def __len__(self) -> int:
        return len(self.customer)


def simulate(world: World) -> pa.Table:
    """Payments in the order of their times, in the platform's own columns; times are UTC."""
    rng = np.random.default_rng(world.seed)
    payments = _honest_payments(world, rng)
    _mark_large_amounts(payments)
    _compromise_terminals(payments, world, rng)
    _compromise_cards(payments, world, rng)
    return _to_table(payments, world)


def _honest_payments(world: World, rng: np.random.Generator) -> _Payments:
    reach, offsets = _terminals_in_reach(world, rng)
    mean_amount = rng.uniform(5, 100, world.customers)
    daily_rate = rng.uniform(0, 4, world.customers)
    daily_rate[np.diff(offsets) == 0] = 0  # whoever has no terminal in reach cannot pay
    counts = rng.poisson(daily_rate, (world.days, world.customers))
    day = np.repeat(np.arange(world.days), counts.sum(axis=1))
    customer = np.repeat(np.tile(np.arange(world.customers), world.days), counts.ravel())
    second = _times_of_day(len(customer), rng)
    amount = _amounts(mean_amount[customer], rng)
    choice = rng.random(len(customer)) * np.diff(offsets)[customer]
    terminal = reach[offsets[customer] + choice.astype(np.int64)]
    order = np.lexsort((customer, second, day))
    return _Payments(
        customer=customer[order],
        terminal=terminal[order],
        day=day[order],
        second=second[order],
        amount=amount[order],
        scenario=np.zeros(len(order), dtype=np.int64),
    )


def _terminals_in_reach(world: World, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Every customer's terminals one after the other, and where each customer's begin."""
    customers = rng.uniform(0, GRID, (world.customers, 2))
    terminals = rng.uniform(0, GRID, (world.terminals, 2))
    near = [np.flatnonzero(((terminals - c) ** 2).sum(axis=1) < RADIUS**2) for c in customers]
    offsets = np.concatenate([[0], np.cumsum([len(n) for n in near])]).astype(np.int64)
    return np.concatenate(near).astype(np.int64), offsets


def _times_of_day(n: int, rng: np.random.Generator) -> Ints:
    """Seconds around noon; what falls outside the day is drawn again."""
    seconds = rng.normal(DAY_SECONDS / 2, 20_000, n)
    while len(outside := np.flatnonzero((seconds < 0) | (seconds >= DAY_SECONDS))):
        seconds[outside] = rng.normal(DAY_SECONDS / 2, 20_000, len(outside))
    return seconds.astype(np.int64)


def _amounts(mean: Floats, rng: np.random.Generator) -> Floats:
    amounts = rng.normal(mean, mean / 2)
    negative = amounts < 0
    amounts[negative] = rng.uniform(0, 2 * mean[negative])
    return np.round(amounts, 2)


def _mark_large_amounts(payments: _Payments) -> None:
    payments.scenario[payments.amount > LARGE_AMOUNT] = 1


def _compromise_terminals(payments: _Payments, world: World, rng: np.random.Generator) -> None:
    """Every payment at a compromised terminal is fraudulent."""
    bad = _compromised(
        rng, world.terminals, world.days, COMPROMISED_TERMINALS_PER_DAY, TERMINAL_DAYS
    )
    payments.scenario[bad[payments.day, payments.terminal]] = 2


def _compromise_cards(payments: _Payments, world: World, rng: np.random.Generator) -> None:
    """A random third of a compromised customer's payments is five times as large."""
    bad = _compromised(
        rng, world.customers, world.days, COMPROMISED_CUSTOMERS_PER_DAY, CUSTOMER_DAYS
    )
    drawn = rng.random(len(payments)) < CARD_FRAUD_SHARE
    hit = bad[payments.day, payments.customer] & drawn
    payments.amount[hit] = np.round(payments.amount[hit] * CARD_FRAUD_FACTOR, 2)
    payments.scenario[hit] = 3


def _compromised(
    rng: np.random.Generator, size: int, days: int, per_day: int, lasting: int
) -> npt.NDArray[np.bool_]:
    """[days, size]: who is compromised; each day new ones, from that day for `lasting` days."""
    bad = np.zeros((days, size), dtype=bool)
    for day in range(days):
        chosen = rng.choice(size, min(per_day, size), replace=False)
        bad[day : day + lasting, chosen] = True
    return bad


def _to_table(payments: _Payments, world: World) -> pa.Table:
    n = len(payments)
    start_ms = np.datetime64(world.start, "ms").astype(np.int64)
    event_ms = start_ms + (payments.day * DAY_SECONDS + payments.second) * 1_000
    return pa.table(
        {
            # The start and the seed keep the ids of two simulations apart.
            "payment_id": _labels(f"p{world.start:%Y%m%d}-{world.seed}-", np.arange(n), 9),
            "event_time": pa.array(event_ms).cast(pa.timestamp("ms", tz="UTC")),
            "customer_id": _labels("c", payments.customer, 6),
            "terminal_id": _labels("t", payments.terminal, 6),
            "amount": pa.array(payments.amount),
            "currency": pa.array(np.full(n, world.currency)),
            "is_fraud": pa.array(payments.scenario > 0),
            "fraud_scenario": pa.array(payments.scenario.astype(np.int32)),
        }
    )


def _labels(prefix: str, numbers: Ints, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "")


def write(world: World, path: Path) -> int:
    """Simulate into a Parquet file; returns the number of payments."""
    table = simulate(world)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return int(table.num_rows)
