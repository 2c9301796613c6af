"""The states of a search for hyperparameters: a tuning job of SageMaker, and what it tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.training import asl, layout
from pipelines.training.asl import EXECUTION, Job, Path, State, Value, formatted
from pipelines.training.search import OBJECTIVE, TRIALS, Search

_NAME = f"States.Hash({EXECUTION}, 'MD5')"
"""A tuning job's name has 32 characters at most, and an execution's may have more."""


@dataclass(frozen=True)
class Searching:
    """The search of one workflow; a trial is the training job with other hyperparameters."""

    workflow: str
    bucket: str
    search: Search
    job: Job
    hyperparameters: Mapping[str, Value]
    channels: Mapping[str, Value]
    output: Value

    def states(self) -> list[State]:
        """Search, list what was tried, write it beside the run's document."""
        tried = asl.call(
            "List trials",
            "aws-sdk:sagemaker:listTrainingJobsForHyperParameterTuningJob",
            {"HyperParameterTuningJobName": Path(_NAME), "MaxResults": 100},
            result_selector={"summaries.$": "$.TrainingJobSummaries"},
            result_path="$.trials",
        )
        note = {
            "Bucket": self.bucket,
            "Key": formatted(layout.run_prefix(self.workflow, "{}") + f"run/{TRIALS}", EXECUTION),
            "Body": Path("$.trials.summaries"),
            "ContentType": "application/json",
        }
        noted = asl.call("Note trials", "aws-sdk:s3:putObject", note, result_path=None)
        return [self._search(), tried, noted]

    def _search(self) -> State:
        limits = {
            "MaxNumberOfTrainingJobs": Path("$.run.settings.trials"),
            "MaxParallelTrainingJobs": Path("$.run.settings.parallel_trials"),
        }
        config = {
            # At random and seeded: the same run tries the same, here and on AWS.
            "Strategy": "Random",
            "RandomSeed": Path("$.run.settings.seed"),
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": OBJECTIVE},
            "ResourceLimits": limits,
            "ParameterRanges": self.search.ranges(),
        }
        parameters = {
            "HyperParameterTuningJobName": Path(_NAME),
            "HyperParameterTuningJobConfig": config,
            "TrainingJobDefinition": self._trial(),
            "Tags": list(self.job.tags),
        }
        return asl.call(
            "Search",
            "sagemaker:createHyperParameterTuningJob.sync",
            parameters,
            result_selector={"tuned.$": "$.BestTrainingJob.TunedHyperParameters"},
            result_path="$.search",
        )

    def _trial(self) -> dict[str, Any]:
        static = {
            **self.hyperparameters,
            "holdout": str(self.search.holdout),
            "metric": f'"{self.search.metric}"',
        }
        return {
            "StaticHyperParameters": static,
            "AlgorithmSpecification": {
                "TrainingImage": self.job.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": OBJECTIVE, "Regex": f"{OBJECTIVE}=([0-9.]+)"}],
            },
            "RoleArn": self.job.role_arn,
            "InputDataConfig": [_channel(*item) for item in self.channels.items()],
            "OutputDataConfig": {"S3OutputPath": self.output},
            "ResourceConfig": {
                "InstanceCount": 1,
                "InstanceType": self.job.instance_type,
                "VolumeSizeInGB": self.job.volume_gb,
            },
            "StoppingCondition": Path("$.stopping"),
            "EnableManagedSpotTraining": self.job.spot,
            "Environment": dict(self.job.environment),
        }


def _channel(name: str, uri: Value) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
