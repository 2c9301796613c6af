"""Tuning jobs: several training jobs, drawn by a seed, of which the best is told."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.sagemaker.search import draw_trials
from tests.conftest import Clients
from tests.contract.sagemaker_requests import Studio, until

TRY = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("-C", "--C", type=float)
parser.add_argument("--kind")
known, others = parser.parse_known_args()
assert known.kind == "a", others
print(f"score={1 - abs(known.C - 1):.6f};")
"""
CONFIG: dict[str, Any] = {
    "Strategy": "Random",
    "RandomSeed": 4,
    "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
    "ParameterRanges": {
        "ContinuousParameterRanges": [
            {"Name": "C", "MinValue": "0.01", "MaxValue": "10", "ScalingType": "Logarithmic"}
        ],
        "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a"]}],
    },
}


@pytest.fixture(scope="module")
def studio(aws: Clients) -> Studio:
    return Studio(aws, bucket="sagemaker-tuning").prepare()


def request(studio: Studio, script: str, name: str, **config: Any) -> dict[str, Any]:
    definition = studio.training(script)
    del definition["TrainingJobName"]
    definition["StaticHyperParameters"] = definition.pop("HyperParameters")
    definition["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "score", "Regex": "score=([0-9.-]+);"}
    ]
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": CONFIG | config,
        "TrainingJobDefinition": definition,
    }


def ended(studio: Studio, name: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        answer: dict[str, Any] = studio.sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )
        running = answer["HyperParameterTuningJobStatus"] in {"InProgress", "Stopping"}
        return None if running else answer

    return dict(until(found))


@pytest.fixture(scope="module")
def tuned(studio: Studio) -> dict[str, Any]:
    studio.sagemaker.create_hyper_parameter_tuning_job(**request(studio, TRY, "tuned"))
    return ended(studio, "tuned")


def test_the_best_of_the_seeded_trials_is_told(studio: Studio, tuned: dict[str, Any]) -> None:
    assert tuned["HyperParameterTuningJobStatus"] == "Completed"
    assert tuned["TrainingJobStatusCounters"]["Completed"] == 3
    wanted = draw_trials(CONFIG)
    best = min(wanted, key=lambda trial: abs(float(trial["C"]) - 1))
    assert tuned["BestTrainingJob"]["TunedHyperParameters"] == best


def test_every_trial_is_listed_with_what_it_tried_and_reached(
    studio: Studio, tuned: dict[str, Any]
) -> None:
    listed = studio.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="tuned"
    )["TrainingJobSummaries"]
    for trial, drawn in zip(listed, draw_trials(CONFIG), strict=True):
        assert trial["TunedHyperParameters"] == drawn
        score = trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        assert score == pytest.approx(1 - abs(float(drawn["C"]) - 1), abs=1e-5)


def test_a_search_all_of_whose_trials_fail_fails_with_a_reason(studio: Studio) -> None:
    limits = {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}
    broken = request(studio, "raise ValueError('no rows')", "broken", ResourceLimits=limits)
    studio.sagemaker.create_hyper_parameter_tuning_job(**broken)
    found = ended(studio, "broken")
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert "ExecuteUserScriptError" in found["FailureReason"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Strategy": "Bayesian"}, "Strategy Bayesian: the local AWS searches at random"),
        ({"TrainingJobEarlyStoppingType": "Auto"}, "lets every trial end"),
        ({"ParameterRanges": {}}, "say what is to be searched"),
    ],
)
def test_what_it_does_not_do_is_refused_by_name(
    studio: Studio, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        studio.sagemaker.create_hyper_parameter_tuning_job(
            **request(studio, TRY, "never", **config)
        )
