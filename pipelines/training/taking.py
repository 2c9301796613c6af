"""What a run takes from an earlier one in place of doing it again: rows, and a trained model.

A trained model is noted under the hash of everything that it was made from, so that a run with the
same code, image, rows and parameters finds it, whoever started either.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.training import asl, layout
from pipelines.training.asl import EXECUTION, Path, State, formatted, json_text
from pipelines.training.dataset import DATASET

_MADE_FROM = (
    "$.dataset.card.data_snapshot",
    "$.run.settings.algorithm",
    json_text("$.run.settings.hyperparameters"),
    "$.dataset.card.inputs_sha256",
    json_text("$.run.settings.seed"),
    json_text("$.run.settings.trials"),
    json_text("$.dataset.card.train_rows"),
)


@dataclass(frozen=True)
class Taking:
    """The states that take, of one workflow."""

    workflow: str
    bucket: str
    code_sha256: str
    image: str

    def rows(self) -> State:
        """Name the run whose rows are these, as the execution's input says."""
        taken = {"run.$": "$.merged.input.taken.preprocess"}
        return asl.assemble("Take preprocess", taken, result_path="$.preprocess")

    def read_dataset(self) -> State:
        """What the rows are, whoever made them."""
        key = layout.run_prefix(self.workflow, "{}") + f"dataset/{DATASET}"
        return asl.call(
            "Read dataset",
            "aws-sdk:s3:getObject",
            {"Bucket": self.bucket, "Key": formatted(key, "$.preprocess.run")},
            result_selector={"card.$": "States.StringToJson($.Body)"},
            result_path="$.dataset",
        )

    def identify(self) -> State:
        """The hash of everything that a trained model is made from."""
        constant = f"{self.code_sha256} {self.image}"
        text = f"States.Format('{constant}{' {}' * len(_MADE_FROM)}', {', '.join(_MADE_FROM)})"
        hashed = {"sha256.$": f"States.Hash({text}, 'SHA-256')"}
        return asl.assemble("Identify training", hashed, result_path="$.made_from")

    def find(self) -> State:
        return asl.call(
            "Find training",
            "aws-sdk:s3:getObject",
            {"Bucket": self.bucket, "Key": self._note},
            result_selector={"note.$": "States.StringToJson($.Body)"},
            result_path="$.found",
        )

    def model(self) -> State:
        """Take the noted model."""
        noted = {"run.$": "$.found.note.run", "model.$": "$.found.note.model"}
        return asl.assemble("Take training", noted, result_path="$.training")

    def note(self) -> State:
        """Let later runs find the model that was trained just now."""
        parameters = {
            "Bucket": self.bucket,
            "Key": self._note,
            "Body": {"run.$": EXECUTION, "model.$": "$.training.model"},
            "ContentType": "application/json",
        }
        return asl.call("Note training", "aws-sdk:s3:putObject", parameters, result_path=None)

    @property
    def _note(self) -> Path:
        return formatted(layout.trained_key(self.workflow, "{}"), "$.made_from.sha256")
