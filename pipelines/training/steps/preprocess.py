"""The preprocess job: entity rows, point-in-time features, a split by time.

What is a model's own, it hands in: which rows there are, which of them train and test, and what a
missing feature means.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mlops.athena import Athena
from mlops.aws import Aws
from mlops.errors import InputError
from mlops.feast import historical_features, open_store
from mlops.objects import S3Documents
from mlops.plan import FeaturePlan, load_plan, load_transformations
from mlops.settings import load_settings
from pipelines.features.buildlog import load_log, snapshot_id
from pipelines.training.container import Container, run_step
from pipelines.training.dataset import DATASET, DatasetCard, write_rows
from pipelines.training.run import Run, read_run
from pipelines.training.settings import Windows

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Training and test rows, apart in time."""

    train: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Rows:
    """How a model gets its rows. Labels are in the column `label`, 0 or 1 (or boolean)."""

    load: Callable[[Athena, Windows], pd.DataFrame]
    """Labelled entity rows of the windows: join keys, event_time (UTC) and request values."""
    split: Callable[[pd.DataFrame, Windows], Split]
    complete: Callable[[pd.DataFrame], pd.DataFrame]
    """Say what a missing feature means, or refuse."""
    label: str


def main(rows: Rows) -> None:
    run_step(lambda container: _preprocess(container, rows))


def _preprocess(container: Container, rows: Rows) -> None:
    run, settings = read_run(container.input("run")), load_settings()
    aws, windows = Aws(region=settings.region), run.windows
    documents = S3Documents(aws, settings.names.artifact_bucket)
    plan = load_plan(documents, run.model_settings.feature_service)
    transformations = load_transformations(plan, settings.feature_repo)
    split = rows.split(rows.load(Athena(settings, aws), windows), windows)
    check_split(split, run, rows.label)
    _log.info("joining features to %d + %d rows", len(split.train), len(split.test))
    joined = historical_features(
        open_store(settings, aws),
        plan,
        pd.concat([split.train, split.test], ignore_index=True),
        transformations,
    )
    complete = rows.complete(joined)
    count = len(split.train)
    found = Split(train=complete.iloc[:count], test=complete.iloc[count:])
    snapshot = _snapshot(S3Documents(aws, settings.names.data_bucket), plan, complete)
    card = describe_split(found, plan, snapshot, rows.label)
    write_rows(found.train, container.output("train"))
    write_rows(found.test, container.output("test"))
    (container.output("dataset") / DATASET).write_text(
        card.model_dump_json(indent=1), encoding="utf-8"
    )
    _log.info("%s", card)


def check_split(split: Split, run: Run, label: str) -> None:
    """Raises InputError, with the remedy, when a window has no rows or no positive ones."""
    windows = run.windows
    for rows, name, window in (
        (split.train, "training", windows.train),
        (split.test, "test", windows.test),
    ):
        positives = int(rows[label].sum())
        if positives == 0 or positives == len(rows):
            raise InputError(
                f"The {name} window {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d} has "
                f"{len(rows)} rows with {positives} positive; both kinds are needed. Import "
                "payments of it, or choose another: mlops workflows run "
                f"{run.workflow} --set test_end=DATE"
            )


def describe_split(split: Split, plan: FeaturePlan, snapshot: str, label: str) -> DatasetCard:
    return DatasetCard(
        feature_service=plan.service,
        plan_sha256=plan.sha256,
        data_snapshot=snapshot,
        train_rows=len(split.train),
        train_positives=int(split.train[label].sum()),
        test_rows=len(split.test),
        test_positives=int(split.test[label].sum()),
    )


def _snapshot(documents: S3Documents, plan: FeaturePlan, rows: pd.DataFrame) -> str:
    """Names the feature tables' generations that were read, and the rows that came of it."""
    tables = snapshot_id(load_log(documents, view.name)[0] for view in plan.views)
    return f"features-{tables}-rows-{rows_sha256(rows)[:16]}"


def rows_sha256(rows: pd.DataFrame) -> str:
    """The same columns and values, in the same order, give the same hash."""
    values = pd.util.hash_pandas_object(rows, index=False).to_numpy()
    return hashlib.sha256(",".join(rows.columns).encode() + values.tobytes()).hexdigest()
