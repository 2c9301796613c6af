"""botocore's exceptions leave the adapter as the platform's errors."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from mlops.aws import translated
from mlops.errors import Conflict, MlopsError, NotFound, Refused, SettingsError, Unavailable


def _client_error(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (_client_error("NoSuchKey"), NotFound),
        (_client_error("404"), NotFound),
        (_client_error("ResourceNotFoundException"), NotFound),
        (_client_error("ValidationException", "group x does not exist"), NotFound),
        (_client_error("ValidationException", "Model package x not found"), NotFound),
        (_client_error("PreconditionFailed"), Conflict),
        (_client_error("ConditionalCheckFailedException"), Conflict),
        (_client_error("ConditionalRequestConflict"), Conflict),
        (_client_error("StateMachineAlreadyExists"), Conflict),
        (_client_error("AccessDeniedException"), Refused),
        (_client_error("ExpiredTokenException"), Refused),
        (_client_error("ThrottlingException"), Unavailable),
        (_client_error("ValidationException"), MlopsError),
        (NoCredentialsError(), SettingsError),
        (EndpointConnectionError(endpoint_url="http://localhost:1"), Unavailable),
    ],
)
def test_foreign_exceptions_are_translated(foreign: Exception, ours: type[MlopsError]) -> None:
    with pytest.raises(ours, match="Reading it") as caught, translated("Reading it"):
        raise foreign
    assert type(caught.value) is ours
    assert caught.value.__cause__ is foreign
