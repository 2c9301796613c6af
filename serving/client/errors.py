"""What a call can end in, other than an answer.

ProxyError
├── InvalidRequest    422, 413, 408, 400   the request is wrong; `field` names the part
│   └── FeaturesMissing    422             features without which the model does not score
├── Unauthenticated   401                  no key or token, or an unknown one
├── NotAllowed        403                  the caller may not have this
├── NotFound          404, 405             no such model, feature service or address
├── RateLimited       429                  too often; `retry_after` says when
├── TimedOut          504, or our own      no answer within the time given
├── Unavailable       503, or no answer    try again later
└── ServerFailed      anything else        report the `request_id`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class ProxyError(Exception):
    """A call failed; the message says of what, and `remedy` what to do."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        field: str | None = None,
        remedy: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """status: of the HTTP answer, None where there was none; retry_after: in seconds."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.remedy = remedy
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidRequest(ProxyError):
    """The request is wrong; trying again will not help."""


class FeaturesMissing(InvalidRequest):
    """Features without which the model does not score; usually a new or mistyped id."""


class Unauthenticated(ProxyError):
    """No key or token was sent, or nobody knows it."""


class NotAllowed(ProxyError):
    """The caller may not have this."""


class NotFound(ProxyError):
    """There is no such model, feature service or address."""


class RateLimited(ProxyError):
    """The caller asks more often than it may."""


class TimedOut(ProxyError):
    """There was no answer within the time given."""


class Unavailable(ProxyError):
    """The proxy, or what it needs, does not answer now."""


class ServerFailed(ProxyError):
    """A mistake of the other side, or no answer of the proxy at all."""


_BY_STATUS: Mapping[int, type[ProxyError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: NotAllowed,
    404: NotFound,
    405: NotFound,
    408: InvalidRequest,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    503: Unavailable,
    504: TimedOut,
}


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ProxyError:
    """The error that an answer tells; headers by name in lower case."""
    told = _told(body)
    kind = _BY_STATUS.get(status, ServerFailed)
    if told.get("code") == "features_missing":
        kind = FeaturesMissing
    return kind(
        told.get("message") or f"The proxy answered with status {status}.",
        status=status,
        code=told.get("code") or "",
        field=told.get("field"),
        remedy=told.get("remedy"),
        request_id=told.get("request_id") or headers.get("x-request-id"),
        retry_after=_seconds(headers.get("retry-after")),
    )


def _told(body: bytes) -> dict[str, Any]:
    """What stands in the error's body; nothing where a load balancer answered in its own words."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _seconds(text: str | None) -> float | None:
    """A date, which Retry-After may also be, is of no use without the other side's clock."""
    return float(text) if text and text.isascii() and text.isdigit() else None
