"""The evaluate job of the loan default model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.training.metrics import ranking_metrics
from pipelines.training.steps.evaluate import main


def measure(rows: pd.DataFrame, scores: NDArray[np.float64]) -> dict[str, float]:
    """AUC ROC and average precision of the test rows."""
    return ranking_metrics(rows["defaulted"].to_numpy(dtype=np.int64), scores)


if __name__ == "__main__":
    main(measure, label="defaulted")
