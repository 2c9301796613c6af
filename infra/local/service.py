"""What a service of ours inside the local AWS looks like to the router."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Caller:
    """Who signed the request, as STS would name them."""

    account: str
    region: str
    arn: str


class AwsError(Exception):
    """An error answer in AWS's own terms; the router writes it in the service's protocol."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class JsonService(Protocol):
    """A service whose requests and answers are JSON bodies, answered in this process.

    `handle` is called on a worker thread, concurrently; it must not block for long.
    """

    def handle(self, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Answer one operation, by its AWS name. Raises AwsError."""

    def close(self) -> None:
        """Stop what runs and keep what must survive a restart."""
