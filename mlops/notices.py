"""Telling people what happened: one topic per environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops.aws import Aws, translated

_LONGEST_SUBJECT = 99
"""SNS takes fewer than 100 characters, ASCII, on one line."""


class Notices(Protocol):
    """Where notices go."""

    def publish(self, subject: str, facts: Mapping[str, Any]) -> None:
        """Tell everyone who subscribed; facts are JSON values. Raises Unavailable."""


class SnsNotices:
    """Notices to an SNS topic, as JSON."""

    def __init__(self, aws: Aws, topic_arn: str) -> None:
        self._sns = aws.client("sns")
        self._topic = topic_arn

    def publish(self, subject: str, facts: Mapping[str, Any]) -> None:
        plain = subject.encode("ascii", "replace").decode()[:_LONGEST_SUBJECT]
        message = json.dumps(facts, default=str, indent=1, ensure_ascii=False)
        with translated(f"Publishing '{plain}' to {self._topic}"):
            self._sns.publish(TopicArn=self._topic, Subject=plain, Message=message)


@dataclass
class MemoryNotices:
    """A working fake that keeps what it was told."""

    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def publish(self, subject: str, facts: Mapping[str, Any]) -> None:
        self.told.append((subject, facts))
