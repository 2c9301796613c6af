"""The preprocess job: entity rows, split by time, and a dataset of their features.

What is a model's own, it hands in: which rows there are, which of them train and test, and what a
missing feature means.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlops.athena import Athena
from mlops.aws import Aws
from mlops.errors import InputError
from mlops.settings import load_settings
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.desk import Datasets, open_datasets
from pipelines.datasets.record import DatasetRecord
from pipelines.training.container import Container, run_step
from pipelines.training.dataset import DATASET, DatasetCard, rows_sha256, write_rows
from pipelines.training.run import Run, read_run
from pipelines.training.settings import Windows

SPLIT = "split"
"""The column of a model's dataset that says which rows train and which test."""
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
    split = rows.split(rows.load(Athena(settings, aws), windows), windows)
    check_split(split, run, rows.label)
    _log.info("joining features to %d + %d rows", len(split.train), len(split.test))
    with tempfile.TemporaryDirectory(prefix="mlops-cache-") as cache:
        # The machine of a job has no cache to speak of: what it built, it reads.
        datasets = open_datasets(settings, aws=aws, cache=Path(cache))
        dataset = build_dataset(datasets, run, split)
        joined = dataset.to_pandas()
    found = apart(rows.complete(joined))
    card = describe_split(found, dataset.record, rows.label).model_copy(
        update={"inputs_sha256": inputs_sha256(run)}
    )
    write_rows(found.train, container.output("train"))
    write_rows(found.test, container.output("test"))
    (container.output("dataset") / DATASET).write_text(
        card.model_dump_json(indent=1), encoding="utf-8"
    )
    _log.info("%s", card)


def build_dataset(datasets: Datasets, run: Run, split: Split) -> Dataset:
    """The rows of both windows with their features, as the next version of the model's dataset.

    A run on the same rows and feature tables finds the version that is there.
    """
    return datasets.build(
        run.workflow,
        service=run.model_settings.feature_service,
        entities=together(split),
        tags={"workflow": run.workflow, "execution": run.execution, "code": run.code_sha256},
    )


def together(split: Split) -> pd.DataFrame:
    """Training and test rows in one table, with a column that tells them apart."""
    parts = {"train": split.train, "test": split.test}
    marked = [rows.assign(**{SPLIT: name}) for name, rows in parts.items()]
    return pd.concat(marked, ignore_index=True)


def apart(rows: pd.DataFrame) -> Split:
    """Training and test rows, each in the order that they have."""
    train, test = (
        rows[rows[SPLIT] == name].drop(columns=[SPLIT]).reset_index(drop=True)
        for name in ("train", "test")
    )
    return Split(train=train, test=test)


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
                f"{len(rows)} rows with {positives} positive; both kinds are needed. Bring "
                "in the data of it, or choose another: mlops workflows run "
                f"{run.workflow} --set test_end=DATE"
            )


def describe_split(split: Split, record: DatasetRecord, label: str) -> DatasetCard:
    """What the model is said to be made from.

    The snapshot names the feature tables' generations that were read, and the rows that came of it
    once the model's own code had completed them.
    """
    rows = rows_sha256(pd.concat([split.train, split.test], ignore_index=True))
    return DatasetCard(
        dataset=record.reference,
        feature_service=record.service,
        plan_sha256=record.plan_sha256,
        data_snapshot=f"features-{record.snapshot}-rows-{rows[:16]}",
        train_rows=len(split.train),
        train_positives=int(split.train[label].sum()),
        test_rows=len(split.test),
        test_positives=int(split.test[label].sum()),
    )


def inputs_sha256(run: Run) -> str:
    """Of the columns that the model sees; Step Functions could not hash so long a text itself."""
    columns = [column.model_dump(mode="json") for column in run.model_settings.inputs]
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()
