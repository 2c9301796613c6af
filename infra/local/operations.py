"""Which service and operation a request asks for, read from the request alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

import botocore.session

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
_VIRTUAL_HOST = re.compile(r"^(?P<bucket>[a-z0-9][a-z0-9.-]+?)\.(?:s3[a-z0-9.-]*\.)?localhost$")
_IAM_PREFIXES = {"monitoring": "cloudwatch"}
"""Where a service signs with another name than its IAM actions have."""

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Request:
    """The parts of an HTTP request that tell what it asks for; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """An operation of a service, asked for with a key; `service` is its IAM prefix."""

    service: str
    operation: str
    protocol: str
    access_key: str = ""
    region: str = ""

    @property
    def name(self) -> str:
        return f"{self.service}.{self.operation}"


def needs_body(request: Request) -> bool:
    """Whether the operation's name stands in the form body (the query protocol)."""
    return request.headers.get("content-type", "").startswith(FORM)


def identify(request: Request, body: bytes = b"") -> Call:
    """Name what a request asks for; a request without a signature is S3's."""
    access_key, region, service = _credential(request)
    operation, protocol = _operation(request, body, service)
    return Call(_IAM_PREFIXES.get(service, service), operation, protocol, access_key, region)


def _credential(request: Request) -> tuple[str, str, str]:
    found = _CREDENTIAL.search(request.headers.get("authorization", ""))
    if found:
        return found[1], found[3], found[4]
    parts = parse_qs(request.query).get("X-Amz-Credential", [""])[0].split("/")
    if len(parts) == 5:
        return parts[0], parts[2], parts[3]
    return "", "", "s3"


def _operation(request: Request, body: bytes, service: str) -> tuple[str, str]:
    target = request.headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2], "json"
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return request.path.rpartition("/")[2], "cbor"
    form = parse_qs(body.decode("utf-8", "replace")) if needs_body(request) else {}
    action = form.get("Action") or parse_qs(request.query).get("Action")
    if action:
        return action[0], "ec2" if service == "ec2" else "query"
    if service == "s3":
        return _rest_operation("s3", _path_style(request)), "rest-xml"
    return _rest_operation(service, request), "rest-json"


def _path_style(request: Request) -> Request:
    """The request with its bucket in the path, where the host names it."""
    found = _VIRTUAL_HOST.match(request.headers.get("host", "").rsplit(":", 1)[0])
    if not found:
        return request
    path = f"/{found['bucket']}{request.path}"
    return Request(request.method, path, request.query, request.headers)


@dataclass(frozen=True)
class _Route:
    """One REST operation: what a request must carry to be it."""

    operation: str
    method: str
    path: re.Pattern[str]
    query: frozenset[str]
    values: frozenset[tuple[str, str]]
    headers: frozenset[str]

    def fits(self, request: Request, query: Mapping[str, list[str]]) -> bool:
        return (
            request.method == self.method
            and self.path.fullmatch(request.path) is not None
            and self.query <= query.keys()
            and all(value in query[name] for name, value in self.values)
            and self.headers <= request.headers.keys()
        )

    @property
    def weight(self) -> int:
        return len(self.query) + len(self.values) + len(self.headers)


def _rest_operation(service: str, request: Request) -> str:
    query = parse_qs(request.query, keep_blank_values=True)
    plain = Request(request.method, unquote(request.path), "", request.headers)
    for route in _rest_routes(service):
        if route.fits(plain, query):
            return route.operation
    return f"{request.method} {request.path}"


@cache
def _rest_routes(service: str) -> tuple[_Route, ...]:
    """The REST operations of a service by botocore's model, the most demanding first."""
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        return ()
    model = session.get_service_model(service)
    operations = (model.operation_model(name) for name in model.operation_names)
    routes = [_route(operation) for operation in operations if not operation.deprecated]
    return tuple(sorted(routes, key=lambda route: -route.weight))


def _route(operation: Any) -> _Route:
    path, _, literal = operation.http["requestUri"].partition("?")
    query = parse_qs(literal, keep_blank_values=True)
    required = list(_required(operation))
    return _Route(
        operation=operation.name,
        method=operation.http["method"],
        path=_path_pattern(path),
        query=frozenset(query) | {n for place, n in required if place == "querystring"},
        values=frozenset((name, values[0]) for name, values in query.items() if values[0]),
        headers=frozenset(name.lower() for place, name in required if place == "header"),
    )


def _required(operation: Any) -> Iterable[tuple[str, str]]:
    shape = operation.input_shape
    if shape is None:
        return
    for name in shape.required_members:
        how = shape.members[name].serialization
        if how.get("location") in {"querystring", "header"}:
            yield how["location"], how["name"]


def _path_pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", template.rstrip("/") or "/")
    text = "".join(_path_part(part) for part in parts)
    return re.compile(text if text == "/" else f"{text}/?")


def _path_part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part.endswith("+}") else "[^/]+"
