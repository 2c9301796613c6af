"""Hyperparameter tuning jobs: several training jobs over the same container contract."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.jobs.shelf import Shelf
from infra.local.sagemaker.jobs import Jobs
from infra.local.sagemaker.kinds import Document, Operations
from infra.local.sagemaker.runner import INTERRUPTED
from infra.local.sagemaker.search import draw_trials, refused_search
from infra.local.service import AwsError, Caller

_POLL = 0.1
_NAME, _ARN = "HyperParameterTuningJobName", "HyperParameterTuningJobArn"
_STATUS = "HyperParameterTuningJobStatus"
_SUMMARY = (
    *("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime"),
    *("TrainingStartTime", "TrainingEndTime", "FailureReason"),
)
_COUNTED = {"Completed": "Completed", "Stopped": "Stopped", "Failed": "NonRetryableError"}


@dataclass
class _Tuning:
    """One tuning job and its trials."""

    document: Document
    tags: list[Any]
    trials: list[str] = field(default_factory=list)
    """Names of its training jobs, in the order of their start."""
    tuned: dict[str, dict[str, str]] = field(default_factory=dict)
    """What each tries."""
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        return self.document[_STATUS] in {"InProgress", "Stopping"}


class TuningJobs:
    """Every tuning job, kept in a folder; their trials are training jobs like any."""

    def __init__(self, folder: Path, training: Jobs, arn: str) -> None:
        self._shelf = Shelf(folder)
        self._training = training
        self._arn = arn
        self._lock = threading.Lock()
        self._jobs: dict[str, _Tuning] = {}
        self._threads: list[threading.Thread] = []
        for name, record in self._shelf.load().items():
            self._jobs[name] = job = _Tuning(**record)
            if job.running:
                self._end(job, "Failed", INTERRUPTED)

    def operations(self) -> Operations:
        return {
            "CreateHyperParameterTuningJob": self.create,
            "DescribeHyperParameterTuningJob": self.describe,
            "StopHyperParameterTuningJob": self.stop,
            "ListTrainingJobsForHyperParameterTuningJob": self.trials,
        }

    def create(self, request: Document, caller: Caller) -> Document:
        name, config = request[_NAME], request["HyperParameterTuningJobConfig"]
        for other in ("TrainingJobDefinitions", "WarmStartConfig", "Autotune"):
            if other in request:
                raise AwsError("ValidationException", f"{other}: the local AWS has one definition")
        if refused := refused_search(config):
            raise AwsError("ValidationException", refused)
        definition, now = request["TrainingJobDefinition"], time.time()
        job = _Tuning(
            document={
                _NAME: name,
                _ARN: f"{self._arn}:hyper-parameter-tuning-job/{name}",
                "HyperParameterTuningJobConfig": config,
                "TrainingJobDefinition": definition,
                _STATUS: "InProgress",
                "CreationTime": now,
                "LastModifiedTime": now,
            },
            tags=request.get("Tags", []),
        )
        with self._lock:
            if name in self._jobs:
                raise AwsError("ResourceInUse", f"There is a tuning job '{name}' already.")
            self._jobs[name] = job
        self._save(job)
        thread = threading.Thread(target=self._run, args=(job, caller), daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return {_ARN: job.document[_ARN]}

    def describe(self, request: Document, caller: Caller) -> Document:
        job = self._find(request[_NAME])
        found = copy.deepcopy(job.document)
        summaries = self._summaries(job)
        counted = [_COUNTED.get(s["TrainingJobStatus"], "InProgress") for s in summaries]
        kinds = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
        found["TrainingJobStatusCounters"] = {kind: counted.count(kind) for kind in kinds}
        states = [s["ObjectiveStatus"] for s in summaries]
        found["ObjectiveStatusCounters"] = {
            kind: states.count(kind) for kind in ("Succeeded", "Pending", "Failed")
        }
        if best := self._best(job, summaries):
            found["BestTrainingJob"] = best
        return found

    def stop(self, request: Document, caller: Caller) -> Document:
        job = self._find(request[_NAME])
        if job.running:
            job.document[_STATUS] = "Stopping"
            job.stopping.set()
            self._save(job)
        return {}

    def trials(self, request: Document, caller: Caller) -> Document:
        """All trials on one page: there are no more than a page holds."""
        found = self._summaries(self._find(request[_NAME]))
        if status := request.get("StatusEquals"):
            found = [one for one in found if one["TrainingJobStatus"] == status]
        return {"TrainingJobSummaries": found[: request.get("MaxResults", 100)]}

    def tags(self, arn: str) -> list[Any] | None:
        """The tags of a tuning job; None when there is no such job."""
        return next((j.tags for j in self._jobs.values() if j.document[_ARN] == arn), None)

    def retag(self, arn: str, tags: list[Any]) -> None:
        job = self._jobs[arn.rpartition("/")[2]]
        job.tags = tags
        self._save(job)

    def stop_all(self) -> None:
        for job in self._jobs.values():
            job.stopping.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=15)

    def _run(self, job: _Tuning, caller: Caller) -> None:
        """Start trials while there is room, until all have ended."""
        config = job.document["HyperParameterTuningJobConfig"]
        waiting = list(enumerate(draw_trials(config), 1))
        room = config["ResourceLimits"]["MaxParallelTrainingJobs"]
        try:
            while waiting or self._active(job):
                if job.stopping.is_set():
                    waiting = []
                    self._stop_trials(job, caller)
                while waiting and self._active(job) < room:
                    self._start(job, *waiting.pop(0), caller)
                time.sleep(_POLL)
        except AwsError as exc:
            self._end(job, "Failed", str(exc))
            return
        self._conclude(job)

    def _conclude(self, job: _Tuning) -> None:
        if job.stopping.is_set():
            self._end(job, "Stopped", None)
        elif self._best(job, self._summaries(job)):
            self._end(job, "Completed", None)
        else:
            why = next(
                (d["FailureReason"] for d in self._described(job) if "FailureReason" in d), ""
            )
            self._end(
                job, "Failed", f"No training job reported the objective metric. {why}".strip()
            )

    def _start(self, job: _Tuning, number: int, tuned: dict[str, str], caller: Caller) -> None:
        definition = dict(job.document["TrainingJobDefinition"])
        objective = job.document["HyperParameterTuningJobConfig"][
            "HyperParameterTuningJobObjective"
        ]
        static = definition.pop("StaticHyperParameters", {})
        metric = {"_tuning_objective_metric": objective["MetricName"]}
        name = f"{job.document[_NAME]}-{number:03d}"
        request = definition | {
            "TrainingJobName": name,
            "HyperParameters": static | metric | tuned,
            "Tags": job.tags,
        }
        self._training.create(request, caller)
        job.tuned[name] = tuned
        job.trials.append(name)
        self._save(job)

    def _stop_trials(self, job: _Tuning, caller: Caller) -> None:
        for described in self._described(job):
            if described["TrainingJobStatus"] == "InProgress":
                self._training.stop({"TrainingJobName": described["TrainingJobName"]}, caller)

    def _active(self, job: _Tuning) -> int:
        states = (d["TrainingJobStatus"] for d in self._described(job))
        return sum(status in {"InProgress", "Stopping"} for status in states)

    def _described(self, job: _Tuning) -> list[Document]:
        nobody = Caller("", "", "")
        return [self._training.describe({"TrainingJobName": n}, nobody) for n in job.trials]

    def _summaries(self, job: _Tuning) -> list[Document]:
        return [self._summary(job, described) for described in self._described(job)]

    def _summary(self, job: _Tuning, described: Document) -> Document:
        objective = job.document["HyperParameterTuningJobConfig"][
            "HyperParameterTuningJobObjective"
        ]
        found = {name: described[name] for name in _SUMMARY if name in described}
        found["TunedHyperParameters"] = job.tuned[described["TrainingJobName"]]
        metrics = {m["MetricName"]: m["Value"] for m in described.get("FinalMetricDataList", ())}
        completed = described["TrainingJobStatus"] == "Completed"
        if completed and objective["MetricName"] in metrics:
            value = metrics[objective["MetricName"]]
            found["FinalHyperParameterTuningJobObjectiveMetric"] = objective | {"Value": value}
            return found | {"ObjectiveStatus": "Succeeded"}
        pending = described["TrainingJobStatus"] in {"InProgress", "Stopping"}
        return found | {"ObjectiveStatus": "Pending" if pending else "Failed"}

    def _best(self, job: _Tuning, summaries: list[Document]) -> Document | None:
        """The trial that reached most (or least); the first of those that are alike."""
        objective = job.document["HyperParameterTuningJobConfig"][
            "HyperParameterTuningJobObjective"
        ]
        sign = 1 if objective["Type"] == "Maximize" else -1
        field_ = "FinalHyperParameterTuningJobObjectiveMetric"
        scored = [one for one in summaries if one["ObjectiveStatus"] == "Succeeded"]
        return max(scored, key=lambda one: sign * one[field_]["Value"], default=None)

    def _find(self, name: str) -> _Tuning:
        job = self._jobs.get(name)
        if job is None:
            raise AwsError("ResourceNotFound", f"There is no tuning job '{name}'.")
        return job

    def _end(self, job: _Tuning, status: str, reason: str | None) -> None:
        job.document[_STATUS] = status
        job.document["HyperParameterTuningEndTime"] = time.time()
        job.document["LastModifiedTime"] = time.time()
        if reason:
            job.document["FailureReason"] = reason[:1024]
        self._save(job)

    def _save(self, job: _Tuning) -> None:
        record = {"document": job.document, "tags": job.tags}
        record |= {"trials": job.trials, "tuned": job.tuned}
        self._shelf.save(job.document[_NAME], record)
