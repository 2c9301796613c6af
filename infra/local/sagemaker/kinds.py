"""What training jobs and processing jobs have in common, and how each becomes a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from infra.local.sagemaker.container import Container
from infra.local.sagemaker.storage import Storage
from infra.local.service import AwsError, Caller

Phase = Literal["Starting", "Downloading", "Running", "Uploading", "Stopping"]
End = Literal["Completed", "Failed", "Stopped", "MaxRuntimeExceeded"]
Document = dict[str, Any]
Operations = dict[str, Callable[[Document, Caller], Document]]
"""What answers an operation, by its AWS name."""


class Kind(Protocol):
    """A kind of job. Documents are what its Describe operation answers, times in epoch seconds."""

    word: ClassVar[str]
    """'Training' or 'Processing'; names of operations and fields begin with it."""

    def describe(self, request: Document, arn: str, now: float) -> Document:
        """The document of a job that was just accepted."""

    def refuse(self, request: Document) -> str | None:
        """What the request asks for that the local AWS does not do, by name."""

    def sources(self, request: Document) -> list[str]:
        """S3 addresses that must hold objects when the job is created."""

    def container(self, document: Document) -> Container:
        """The job's container. Raises ValueError when a path leads elsewhere."""

    def enter(self, document: Document, phase: Phase, now: float) -> None:
        """Note that the job is in another phase."""

    def store(self, document: Document, base: Path, storage: Storage, *, whole: bool) -> Document:
        """Store what the job made; not `whole` when it failed. What the document then says more.

        Raises StorageError.
        """

    def end(self, document: Document, end: End, now: float, reason: str | None) -> None:
        """Note how the job ended."""

    def failure(self, base: Path, exit_code: int) -> str:
        """The FailureReason of a command that failed."""


def refuse_named(request: Mapping[str, Any], reasons: Mapping[str, str]) -> str | None:
    """The first dotted path of `reasons` that the request sets, with why it is refused."""
    for path, reason in reasons.items():
        if _lookup(request, path.split(".")):
            return f"{path}: the local AWS {reason}"
    return None


def _lookup(value: Any, path: list[str]) -> bool:
    if isinstance(value, list):
        return any(_lookup(member, path) for member in value)
    if not path:
        return value not in (None, False)
    return isinstance(value, dict) and path[0] in value and _lookup(value[path[0]], path[1:])


def require_one_instance(count: int) -> None:
    if count != 1:
        raise AwsError(
            "ValidationException",
            f"InstanceCount {count}: the local AWS runs a job on one instance. Use 1 here, "
            "and more on AWS.",
        )


def short(text: str, limit: int = 1024) -> str:
    return text[:limit]


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
