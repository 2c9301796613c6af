"""The simulated world follows its facts, and the same seed gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from mlops.errors import InputError
from pipelines.data.schema import match_columns
from pipelines.data.simulator import LARGE_AMOUNT, World, simulate, write

SMALL = World(customers=150, terminals=600, days=45, seed=3)


@pytest.fixture(scope="module")
def payments() -> dict[str, np.ndarray]:
    table = simulate(SMALL)
    return {name: table[name].to_numpy() for name in table.column_names}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file in files:
        write(SMALL, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_seed_gives_other_payments_with_other_ids() -> None:
    first, second = simulate(SMALL), simulate(World(customers=150, terminals=600, days=45, seed=4))
    shared = pc.is_in(first["payment_id"], value_set=second["payment_id"].combine_chunks())
    assert not pc.any(shared).as_py()


def test_it_has_the_declared_columns() -> None:
    table = simulate(World(customers=20, terminals=200, days=3))
    assert match_columns(table.column_names) == {name: name for name in table.column_names}


def test_times_lie_within_the_days_in_order(payments: dict[str, np.ndarray]) -> None:
    times = payments["event_time"].astype("datetime64[ms]")
    assert times[0] >= np.datetime64("2025-01-01")
    assert times[-1] < np.datetime64("2025-01-01") + np.timedelta64(SMALL.days, "D")
    assert (np.diff(times) >= np.timedelta64(0)).all()


def test_every_amount_over_the_limit_is_fraud(payments: dict[str, np.ndarray]) -> None:
    large = payments["amount"] > LARGE_AMOUNT
    assert large.any()
    assert payments["is_fraud"][large].all()


def test_amounts_are_never_negative(payments: dict[str, np.ndarray]) -> None:
    assert (payments["amount"] >= 0).all()


def test_all_three_scenarios_occur_and_most_payments_are_honest(
    payments: dict[str, np.ndarray],
) -> None:
    assert set(payments["fraud_scenario"]) == {0, 1, 2, 3}
    assert payments["is_fraud"].mean() < 0.2


def test_a_compromised_terminal_is_fraudulent_for_every_payment_of_a_day(
    payments: dict[str, np.ndarray],
) -> None:
    days = payments["event_time"].astype("datetime64[D]")
    at = list(zip(payments["terminal_id"], days, strict=True))
    compromised = {p for p, s in zip(at, payments["fraud_scenario"], strict=True) if s == 2}
    assert compromised
    honest = {p for p, bad in zip(at, payments["is_fraud"], strict=True) if not bad}
    assert not compromised & honest


def test_a_customer_pays_only_at_terminals_nearby(payments: dict[str, np.ndarray]) -> None:
    pairs = {*zip(payments["customer_id"], payments["terminal_id"], strict=True)}
    used = np.unique([customer for customer, _ in pairs], return_counts=True)[1]
    assert used.max() < 30, "a radius of 5 on a 100 x 100 grid reaches some 5 of 600 terminals"


def test_a_world_without_customers_is_refused() -> None:
    with pytest.raises(InputError, match="customers is 0"):
        World(customers=0)
