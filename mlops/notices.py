"""Telling people what happened: one topic per environment."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops.aws import Aws, translated
from mlops.errors import MlopsError

_log = logging.getLogger("mlops.notices")
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


def tell(notices: Notices, subject: str, facts: Mapping[str, Any]) -> bool:
    """Tell of what is done already: a notice that is lost is logged, and undoes nothing."""
    try:
        notices.publish(subject, facts)
    except MlopsError as exc:
        _log.error("not told: %s (%s)", subject, exc)
        return False
    return True


@dataclass
class MemoryNotices:
    """A working fake that keeps what it was told."""

    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def publish(self, subject: str, facts: Mapping[str, Any]) -> None:
        self.told.append((subject, facts))
