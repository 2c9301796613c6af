"""Settings, a run and rows that the training tests share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops.settings import Settings, load_settings
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.run import Run


def settings(**changed: str) -> Settings:
    return load_settings(
        {
            "MLOPS_ENV": "dev",
            "MLOPS_ACCOUNT": "111122223333",
            "MLOPS_REGION": "ap-northeast-2",
            "MLOPS_REDIS_URL": "rediss://redis.internal:6379/0",
        }
        | changed
    )


def run(**changed: Any) -> Run:
    values = {
        "workflow": "fraud",
        "execution": "arn:aws:states:ap-northeast-2:111122223333:execution:mlops-dev-fraud:one",
        "name": "one",
        "started": datetime(2018, 8, 15, 9, tzinfo=UTC),
        "submitted_by": "arn:aws:sts::111122223333:assumed-role/mlops-dev-jenkins/build-7",
        "trained_by": "arn:aws:iam::111122223333:role/mlops-dev-training-job",
        "code_sha256": "c" * 64,
        "settings": DEFAULTS.model_dump(mode="json"),
    }
    return Run.model_validate(values | changed)


def rows(count: int, *, seed: int = 0) -> pd.DataFrame:
    """Payments whose fraud shows in the amount and the terminal's history."""
    random = np.random.default_rng(seed)
    columns = {name.name: random.gamma(2.0, 20.0, count) for name in DEFAULTS.inputs}
    columns["terminal_fraud_share_7d"] = random.beta(0.2, 2.0, count)
    score = columns["amount"] / 60 + 3 * columns["terminal_fraud_share_7d"]
    return pd.DataFrame(
        columns
        | {
            "customer_id": [f"c{n}" for n in random.integers(0, 50, count)],
            "event_time": pd.to_datetime("2018-08-08", utc=True)
            + pd.to_timedelta(random.integers(0, 7 * 86400, count), unit="s"),
            "is_fraud": (score + random.normal(0, 0.3, count) > 2.2).astype(np.int64),
        }
    )
