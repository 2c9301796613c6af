"""The evaluate job of the fraud model: by the handbook's protocol."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.fraud.protocol import card_precision
from pipelines.training.metrics import ranking_metrics
from pipelines.training.steps.evaluate import main


def measure(rows: pd.DataFrame, scores: NDArray[np.float64]) -> dict[str, float]:
    """AUC ROC, average precision and card precision@100 of the test rows."""
    return {
        **ranking_metrics(rows["is_fraud"].to_numpy(dtype=np.int64), scores),
        "card_precision_100": card_precision(rows, scores, top=100),
    }


if __name__ == "__main__":
    main(measure, label="is_fraud", unit="customer_id")
