"""Errors and JSON answers as AWS writes them on the wire, by protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from infra.local.operations import Call
from infra.local.service import AwsError

JSON = "application/x-amz-json-1.1"
_XML = "text/xml"


@dataclass(frozen=True)
class Response:
    """What goes back to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


def refusal(call: Call) -> AwsError:
    """The answer to an operation that nothing here really does."""
    return AwsError(
        "NotImplemented",
        f"The local AWS does not answer {call.name}. "
        "What it answers is listed in infra/local/routes.py.",
        status=501,
    )


def json_answer(answer: dict[str, Any]) -> Response:
    """An operation's answer in the JSON protocol; times are epoch seconds already."""
    return Response(200, _headers(JSON), json.dumps(answer).encode())


def error_answer(error: AwsError, protocol: str) -> Response:
    """The error as the service's own SDK client reads it."""
    content_type, body = _WRITERS[protocol](error)
    headers = _headers(content_type) | {"x-amzn-ErrorType": error.code}
    if protocol == "cbor":
        headers["smithy-protocol"] = "rpc-v2-cbor"
    return Response(error.status, headers, body)


def _headers(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, "x-amzn-RequestId": str(uuid4())}


def _json_error(error: AwsError) -> tuple[str, bytes]:
    return JSON, json.dumps({"__type": error.code, "message": error.message}).encode()


def _query_error(error: AwsError) -> tuple[str, bytes]:
    return _XML, (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error></ErrorResponse>"
    ).encode()


def _ec2_error(error: AwsError) -> tuple[str, bytes]:
    return _XML, (
        f"<Response><Errors><Error><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error></Errors></Response>"
    ).encode()


def _s3_error(error: AwsError) -> tuple[str, bytes]:
    return "application/xml", (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error>"
    ).encode()


def _cbor_error(error: AwsError) -> tuple[str, bytes]:
    pairs = (("__type", error.code), ("message", error.message))
    return "application/cbor", b"\xa2" + b"".join(_cbor_text(t) for pair in pairs for t in pair)


def _cbor_text(text: str) -> bytes:
    """RFC 8949: major type 3, with the length in two bytes."""
    raw = text.encode()
    return b"\x79" + len(raw).to_bytes(2, "big") + raw


_WRITERS = {
    "json": _json_error,
    "rest-json": _json_error,
    "query": _query_error,
    "ec2": _ec2_error,
    "rest-xml": _s3_error,
    "cbor": _cbor_error,
}
