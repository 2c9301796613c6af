"""An SDK's requests and answers as Step Functions has them. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
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


def service_error(error: ClientError, *, service: str) -> str:
    """The cause that Step Functions gives to an error of a service's API."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    about = error.response["ResponseMetadata"]
    return (
        f"{message} (Service: {service}; Status Code: {about['HTTPStatusCode']}; "
        f"Error Code: {code}; Request ID: {about.get('RequestId', '')}; Proxy: null)"
    )


def to_api(shape: Any, value: Any) -> Any:
    """Parameters in PascalCase as the API names them, by a botocore shape.

    What the shape does not know stays as it is.
    """
    if isinstance(value, Mapping) and shape.type_name == "structure":
        spelled = {upper_first(name): name for name in shape.members}
        return {
            spelled.get(key, key): to_api(shape.members[spelled[key]], member)
            if key in spelled
            else member
            for key, member in value.items()
        }
    if isinstance(value, list) and shape.type_name == "list":
        return [to_api(shape.member, member) for member in value]
    return value


def from_api(shape: Any, value: Any) -> Any:
    """An answer of the API in PascalCase; the keys of maps stay as they are."""
    if isinstance(value, Mapping) and shape.type_name == "structure":
        return {
            upper_first(key): from_api(shape.members[key], member)
            for key, member in value.items()
            if key in shape.members
        }
    if isinstance(value, list) and shape.type_name == "list":
        return [from_api(shape.member, member) for member in value]
    return copy.copy(value)


def upper_first(name: str) -> str:
    return name[:1].upper() + name[1:]
