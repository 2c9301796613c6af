"""The operations on jobs of one kind: create, describe, stop, list."""

from __future__ import annotations

import copy
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.local.jobs import process
from infra.local.jobs.identity import Clients
from infra.local.jobs.shelf import Shelf
from infra.local.sagemaker.kinds import Document, Kind, Operations
from infra.local.sagemaker.listing import page, select
from infra.local.sagemaker.runner import INTERRUPTED, Job, Runner
from infra.local.sagemaker.storage import Storage
from infra.local.service import AwsError, Caller

_SUMMARY = ("JobName", "JobArn", "JobStatus", "EndTime")


class Jobs:
    """Every job of one kind, kept in a folder."""

    def __init__(
        self, kind: Kind, folder: Path, clients: Clients, runner: Runner, arn: str
    ) -> None:
        self._kind = kind
        self._shelf = Shelf(folder / "records")
        self._folder = folder / "running"
        self._clients = clients
        self._runner = runner
        self._arn = arn
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._threads: list[threading.Thread] = []
        self._restore()

    def operations(self) -> Operations:
        word = self._kind.word
        return {
            f"Create{word}Job": self.create,
            f"Describe{word}Job": self.describe,
            f"List{word}Jobs": self.listed,
            f"Stop{word}Job": self.stop,
        }

    def create(self, request: Document, caller: Caller) -> Document:
        name = request[f"{self._kind.word}JobName"]
        refused = self._kind.refuse(request)
        if refused:
            raise AwsError("ValidationException", refused)
        self._must_be_new(name)
        self._clients.check_role(request["RoleArn"])
        self._must_exist(self._kind.sources(request))
        document = self._kind.describe(request, self._job_arn(name), time.time())
        job = self._job(document, request.get("Tags", []))
        with self._lock:
            self._must_be_new(name)
            self._jobs[name] = job
        job.save()
        self._start(job)
        return {f"{self._kind.word}JobArn": document[f"{self._kind.word}JobArn"]}

    def describe(self, request: Document, caller: Caller) -> Document:
        job = self._find(request[f"{self._kind.word}JobName"])
        with job.lock:
            return copy.deepcopy(job.document)

    def stop(self, request: Document, caller: Caller) -> Document:
        job = self._find(request[f"{self._kind.word}JobName"])
        with job.lock:
            if not job.running:
                raise AwsError(
                    "ValidationException",
                    f"The request was rejected because the {self._kind.word.lower()} job is in "
                    f"status {job.status}.",
                )
            if job.status != "Stopping":
                self._kind.enter(job.document, "Stopping", time.time())
                job.save()
        job.stopping.set()
        return {}

    def listed(self, request: Document, caller: Caller) -> Document:
        word = self._kind.word
        with self._lock:
            documents = [job.document for job in self._jobs.values()]
        found = select(
            documents, request, name=f"{word}JobName", equals={"StatusEquals": f"{word}JobStatus"}
        )
        shown, rest = page(found, request)
        return {f"{word}JobSummaries": [self._summary(d) for d in shown], **rest}

    def tags(self, arn: str) -> list[Any] | None:
        """The tags of a job of this kind; None when there is no such job."""
        for job in self._jobs.values():
            if self._job_arn(job.name) == arn:
                return job.tags
        return None

    def retag(self, arn: str, tags: list[Any]) -> None:
        job = self._jobs[arn.rpartition("/")[2]]
        job.tags = tags
        job.save()

    def stop_all(self) -> None:
        """Tell every running job to end."""
        for job in list(self._jobs.values()):
            if job.running:
                job.stopping.set()

    def join(self) -> None:
        """Wait until they have."""
        for thread in self._threads:
            thread.join(timeout=15)

    def _start(self, job: Job) -> None:
        thread = threading.Thread(
            target=self._runner.run, args=(job,), name=f"job {job.name}", daemon=True
        )
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _restore(self) -> None:
        for record in self._shelf.load().values():
            job = self._job(record["document"], record["tags"])
            self._jobs[job.name] = job
            if job.running:
                if record["process"]:
                    process.end_orphan(record["process"])
                self._kind.end(job.document, "Failed", time.time(), INTERRUPTED)
                job.save()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _job(self, document: Document, tags: list[Any]) -> Job:
        name = document[f"{self._kind.word}JobName"]
        return Job(self._kind, document, tags, folder=self._folder / name, shelf=self._shelf)

    def _find(self, name: str) -> Job:
        job = self._jobs.get(name)
        if job is None:
            raise AwsError("ValidationException", "Requested resource not found.")
        return job

    def _must_be_new(self, name: str) -> None:
        if name in self._jobs:
            raise AwsError(
                "ResourceInUse",
                f"{self._kind.word} job names must be unique within an AWS account and region, "
                f"and a {self._kind.word.lower()} job with this name already exists "
                f"({self._job_arn(name)})",
            )

    def _must_exist(self, sources: list[str]) -> None:
        storage = Storage(self._clients.client("s3")) if sources else None
        for uri in sources:
            if storage and not storage.exists(uri):
                raise AwsError(
                    "ValidationException",
                    f'No S3 objects found under S3 URL "{uri}" given in input data source. Please '
                    "ensure that the bucket exists in the selected region "
                    f"({self._clients.region}), that objects exist under that S3 prefix, and that "
                    "the role has s3:ListBucket permissions on the bucket.",
                )

    def _job_arn(self, name: str) -> str:
        return f"{self._arn}:{self._kind.word.lower()}-job/{name}"

    def _summary(self, document: Mapping[str, Any]) -> Document:
        word = self._kind.word
        names = [f"{word}{field}" for field in _SUMMARY]
        names += ["CreationTime", "LastModifiedTime", "SecondaryStatus"]
        if word == "Processing":
            names += ["FailureReason", "ExitMessage"]
        return {name: document[name] for name in names if name in document}
