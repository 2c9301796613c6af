"""What serving refuses, and the one table from an error's class to its HTTP status.

MlopsError
├── InputError ── InvalidRequest     the body or a field of it
│              ├─ BodyTooLarge       more bytes than are read
│              ├─ MethodNotAllowed   the address is there, for another method
│              └─ RequestTooSlow     a request that does not come to its end
├── Refused ───── Unauthenticated    no key, or one that nobody knows
│              ├─ NotAllowed         a key that does not allow this
│              ├─ NotOffered         what nobody may do in this way
│              └─ FeaturesMissing    an input that the manifest does not let go missing
├── NotFound ──┬─ UnknownModel       nothing is served under this name
│              ├─ UnknownFeatureService  no feature service of this name is applied
│              ├─ UnknownFeature     no feature of this name is in it
│              └─ UnknownSource      no push source of this name is applied
├── JobFailed ─── ComputationFailed  an on-demand function raised for these values
├── Internal                         our own mistake
└── Unavailable ┬ FeaturesUnavailable    the online store does not answer
                ├ InferenceUnavailable   the inference endpoint does not
                ├ Overloaded             more wait already than will be answered in time
                └ DeadlineExceeded       features and inference took longer than was allowed
"""

from __future__ import annotations

from typing import Any

from mlops.errors import (
    Conflict,
    InputError,
    JobFailed,
    MlopsError,
    NotFound,
    Refused,
    SettingsError,
    Unavailable,
)


class RequestError(MlopsError):
    """An error whose field and remedy an answer shows apart from the message."""

    def __init__(
        self, message: str, *, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.field = field
        self.remedy = remedy


class InvalidRequest(RequestError, InputError):
    """A part of the request is wrong; `field` names it."""


class BodyTooLarge(RequestError, InputError):
    """The body has more bytes than the server reads."""

    code = "body_too_large"


class MethodNotAllowed(RequestError, InputError):
    """The address is there, for another method."""

    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__("Method Not Allowed.", remedy=f"Use {allowed}.")
        self.allowed = allowed


class Internal(RequestError):
    """Our mistake; the log has it, the answer does not."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__(
            "The request failed on our side.",
            remedy="Try again; if it stays, report the request_id to the operators.",
        )


class RequestTooSlow(RequestError, InputError):
    """The request began, and was not whole in time."""

    code = "request_too_slow"


class AccessRefused(RequestError, Refused):
    """Who asks may not have this. Each of these goes into the audit log."""

    def __init__(
        self,
        message: str,
        *,
        caller: str | None = None,
        asked: str | None = None,
        remedy: str | None = None,
    ) -> None:
        """caller: its name, where it is known; asked: the permission that it would have needed."""
        super().__init__(message, remedy=remedy)
        self.caller = caller
        self.asked = asked


class Unauthenticated(AccessRefused):
    """The caller did not say who it is, or is not known."""

    code = "unauthenticated"


class UnknownSigner(Unauthenticated):
    """The token is signed with a key that was not published when the keys were last read."""


class NotAllowed(AccessRefused):
    """The caller is known, and may not do this."""

    code = "not_allowed"


class RateLimited(AccessRefused):
    """The caller asks more often than it may."""

    code = "rate_limited"

    def __init__(self, message: str, *, caller: str, retry_after: int, remedy: str) -> None:
        """retry_after: whole seconds until the next request is admitted."""
        super().__init__(message, caller=caller, remedy=remedy)
        self.retry_after = retry_after


class UnknownModel(RequestError, NotFound):
    """No model, or no version of it, is served under this name."""

    code = "unknown_model"


class UnknownFeatureService(RequestError, NotFound):
    """No feature service of this name is applied."""

    code = "unknown_feature_service"


class UnknownFeature(RequestError, NotFound):
    """No stored feature of this name can be read here."""

    code = "unknown_feature"


class UnknownSource(RequestError, NotFound):
    """No push source of this name is applied."""

    code = "unknown_push_source"


class FeaturesMissing(RequestError, Refused):
    """Features without a value that the model's manifest refuses to go without."""

    code = "features_missing"


class NotOffered(RequestError, Refused):
    """Nobody may do this in this way; the remedy names the way."""

    code = "not_offered"


class ComputationFailed(RequestError, JobFailed):
    """An on-demand function raised for these values."""

    code = "on_demand_failed"


class FeaturesUnavailable(RequestError, Unavailable):
    """The online store does not answer; its own words are in the log, not in the answer."""

    code = "features_unavailable"


class InferenceUnavailable(RequestError, Unavailable):
    """The inference endpoint does not answer, or cannot score now."""

    code = "inference_unavailable"


class Overloaded(RequestError, Unavailable):
    """More requests wait already than can be answered in time."""

    code = "overloaded"


class DeadlineExceeded(RequestError, Unavailable):
    """The time that the caller or the model allows is over."""

    code = "deadline_exceeded"


STATUS: dict[type[MlopsError], int] = {
    BodyTooLarge: 413,
    MethodNotAllowed: 405,
    RequestTooSlow: 408,
    Unauthenticated: 401,
    RateLimited: 429,
    FeaturesMissing: 422,
    ComputationFailed: 422,
    InputError: 422,
    NotFound: 404,
    Refused: 403,
    Conflict: 409,
    DeadlineExceeded: 504,
    Unavailable: 503,
    SettingsError: 500,
    JobFailed: 500,
    MlopsError: 500,
}
"""An error has the status of its nearest class in this table."""

RETRY_AFTER_SECONDS = 1


def status_of(error: MlopsError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def headers_of(error: MlopsError) -> dict[str, str]:
    """The headers that an error's status calls for."""
    if isinstance(error, Unavailable):
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "ApiKey, Bearer"}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    return {}


def describe(error: MlopsError) -> dict[str, Any]:
    """The parts of an error that a caller may see."""
    body: dict[str, Any] = {"code": error.code, "message": str(error)}
    for part in ("field", "remedy"):
        if (text := getattr(error, part, None)) is not None:
            body[part] = text
    return body
