"""An SDK's answers as Step Functions passes them on. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.response import StreamingBody


def plain_json(value: Any, *, epoch: bool) -> Any:
    """An SDK's answer as Step Functions passes it on.

    epoch: times as epoch milliseconds (service tasks), else as ISO 8601 (aws-sdk tasks).
    """
    if isinstance(value, Mapping):
        return {key: plain_json(member, epoch=epoch) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(member, epoch=epoch) for member in value]
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000) if epoch else _iso(value)
    if isinstance(value, StreamingBody):
        return value.read().decode("utf-8")
    return copy.copy(value)


def _iso(moment: datetime) -> str:
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
