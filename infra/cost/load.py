"""What is asked of the platform: the numbers that its price depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops.errors import InputError

DAYS = 730 / 24
"""In a month, as AWS counts."""
KEPT_DAYS = 730
"""How long feature tables reach back where nobody says what a day adds."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Load(BaseModel):
    """A month's load. Sizes are as AWS counts them: a GB is 2^30 bytes, a TB 1,024 of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offline_tb: Number
    """Feature tables, raw tables and datasets in S3."""
    online_gb: Number
    """Rows in Redis, once; replicas and room to breathe come on top."""
    reads_per_day: Number
    """Feature reads of one entity by HTTP or gRPC."""
    predictions_per_day: Number = 0
    """Scores by entity ids, which read their features, too."""
    peak_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 4
    """The busiest minute over the mean."""
    trainings_per_month: Number = 30
    training_hours: Number = 1
    """Of one instance, all steps of a run together."""
    training_scan_gb: Number = 200
    """What the join of one training set scans."""
    instance: str = "ml.m5.xlarge"
    new_gb_per_day: Number | None = None
    """What a day adds to the tables; None: two years of days make up `offline_tb`."""
    logged_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Of reads and predictions, what is written back to the offline store."""
    answer_bytes: Positive = 2_000
    """Of one read, request and answer together."""
    access_log_bytes: Number = 300
    """Of one request's line in the log; 0 where access is not logged."""

    @property
    def new_gb(self) -> float:
        """What a day adds to the tables."""
        if self.new_gb_per_day is not None:
            return self.new_gb_per_day
        return self.offline_tb * 1024 / KEPT_DAYS

    @property
    def requests_per_day(self) -> float:
        return self.reads_per_day + self.predictions_per_day

    def peak(self, per_day: float) -> float:
        """A second, in the busiest minute."""
        return per_day / 86_400 * self.peak_factor


PRESETS = {
    "kakaopay": Load(offline_tb=36, online_gb=60, reads_per_day=50_000_000),
    "start": Load(
        offline_tb=0.5,
        online_gb=2,
        reads_per_day=1_000_000,
        predictions_per_day=100_000,
        trainings_per_month=8,
        training_scan_gb=20,
    ),
}
"""Loads by name: what Kakaopay published of theirs, and a team's first year."""

PUBLISHED = {"kakaopay": 5_433.0}
"""US dollars a month that who has this load said to pay. What that sum contains was not said."""


def read_load(path: Path) -> Load:
    """A load from a JSON file. Raises InputError naming each field that is wrong."""
    try:
        return Load.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise InputError(f"{path} is no load: {wrong}. See 'mlops cost estimate --help'.") from exc


def complete(base: dict[str, object], given: dict[str, float]) -> Load:
    """A load from what is known and what was given. Raises InputError naming what is missing."""
    try:
        return Load.model_validate(base | given)
    except ValidationError as exc:
        missing = ", ".join("--" + str(e["loc"][0]).replace("_", "-") for e in exc.errors())
        raise InputError(f"The load is not complete: {missing}. Or give a --preset.") from exc
