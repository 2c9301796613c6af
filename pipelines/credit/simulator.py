"""Seeded loans with their borrowers' history and zip codes; the same seed gives the same rows.

python -m pipelines.credit.simulator build/loans --loans 4000 --end 2018-08-15 --seed 0

Writes loans.parquet, credit_history.parquet and zipcodes.parquet, for 'mlops data load'. Their
columns are those of Feast's credit scoring tutorial. A loan fails the more probably, the larger it
is against the income, the higher its rate, the more payments were missed, and the poorer the place.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

HOMES = ("RENT", "MORTGAGE", "OWN", "OTHER")
INTENTS = ("EDUCATION", "MEDICAL", "VENTURE", "PERSONAL", "DEBTCONSOLIDATION", "HOMEIMPROVEMENT")
_ZIPCODES = 300
_DAYS = 365


def simulate(*, loans: int, end: date, seed: int) -> dict[str, pd.DataFrame]:
    """Tables by name; the loans are of the year before `end` (UTC)."""
    random = np.random.default_rng(seed)
    last = pd.Timestamp(end, tz="UTC")
    before = last - pd.Timedelta(days=2 * _DAYS)
    zipcodes = _zipcodes(random, before)
    history = _history(random, loans, before)
    place = random.integers(0, _ZIPCODES, loans)
    income = random.lognormal(10.9, 0.5, loans).round(-2)
    amount = (income * random.beta(1.5, 6.0, loans)).round(-2) + 500
    rate = random.uniform(5, 20, loans).round(2)
    home = random.choice(HOMES, loans, p=(0.5, 0.41, 0.08, 0.01))
    wages = zipcodes["total_wages"].to_numpy()[place] / zipcodes["population"].to_numpy()[place]
    risk = (
        8 * amount / income
        + 0.25 * (rate - 12)
        + 0.9 * history["missed_payments_1y"].to_numpy()
        + np.where(home == "RENT", 0.8, 0.0)
        - wages / 20_000
        + random.normal(0, 0.6, loans)
    )
    taken = pd.DataFrame(
        {
            "loan_id": np.arange(10_000, 10_000 + loans),
            "dob_ssn": history["dob_ssn"],
            "zipcode": zipcodes["zipcode"].to_numpy()[place],
            "person_age": random.integers(20, 70, loans),
            "person_income": income.astype(np.int64),
            "person_home_ownership": home,
            "person_emp_length": random.integers(0, 30, loans).astype(float),
            "loan_intent": random.choice(INTENTS, loans),
            "loan_amnt": amount.astype(np.int64),
            "loan_int_rate": rate,
            "loan_status": (risk > np.quantile(risk, 0.78)).astype(np.int64),
        }
    )
    seconds = np.sort(random.integers(0, _DAYS * 86_400, loans))
    taken["event_timestamp"] = last - pd.to_timedelta(_DAYS * 86_400 - seconds, unit="s")
    taken["created_timestamp"] = taken["event_timestamp"]
    return {"loans": taken, "credit_history": history, "zipcodes": zipcodes}


def _zipcodes(random: np.random.Generator, known: pd.Timestamp) -> pd.DataFrame:
    population = random.integers(500, 50_000, _ZIPCODES)
    returns = (population * random.uniform(0.3, 0.6, _ZIPCODES)).astype(np.int64)
    rows = {
        "zipcode": np.sort(random.choice(np.arange(1_000, 99_999), _ZIPCODES, replace=False)),
        "tax_returns_filed": returns,
        "population": population,
        "total_wages": (population * random.uniform(5_000, 60_000, _ZIPCODES)).astype(np.int64),
    }
    return pd.DataFrame(rows).assign(event_timestamp=known, created_timestamp=known)


def _history(random: np.random.Generator, borrowers: int, known: pd.Timestamp) -> pd.DataFrame:
    born = random.integers(0, 15_000, borrowers)
    days = pd.Timestamp("1950-01-01") + pd.to_timedelta(born, unit="D")
    rows = {
        "dob_ssn": [f"{day:%Y%m%d}_{number:06d}" for number, day in enumerate(days)],
        "credit_card_due": random.integers(0, 10_000, borrowers),
        "mortgage_due": random.integers(0, 1_500_000, borrowers),
        "missed_payments_1y": random.poisson(0.4, borrowers),
    }
    return pd.DataFrame(rows).assign(event_timestamp=known, created_timestamp=known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--loans", type=int, default=4_000)
    parser.add_argument("--end", type=date.fromisoformat, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tables = simulate(loans=options.loans, end=options.end, seed=options.seed)
    for name, rows in tables.items():
        rows.to_parquet(options.out / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main()
