"""Whatever the OpenAPI documents allow, and much that they do not, is answered as they say.

Requests are made by schemathesis, from the documents that the services themselves publish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.deadline import TIMEOUT, read_timeout
from serving.errors import InvalidRequest
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services, serving

pytestmark = [pytest.mark.hypothesis, pytest.mark.xdist_group("openapi")]

KNOWN = {"model": "fraud", "version": "1", "service": "payments_v1", "push_source": "spend_push"}
"""Without these nearly every request would end at an unknown name."""

ROW = [12.5, 4.0, 10.0, 0.1, 1.25, 1.0]
SOUND: dict[str, Any] = {
    ":predict": {"instances": [INSTANCE]},
    ":read": {"entities": {"customer_id": ["c1"], "terminal_id": ["t1"]}},
    "/infer": {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 6], "data": ROW}]},
    "/invocations": {"instances": [ROW]},
}
"""Bodies that are answered with 200, by the end of the path; the documents cannot say so much."""

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

with_examples = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=settings().max_examples // 20,
    derandomize=settings().max_examples <= 100,  # the same each time, and ever new ones in a soak
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def services(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    context = serving(tmp_path_factory.mktemp("openapi") / "repo")
    running = loop.run(context.__aenter__())
    (key,) = running.keys.stored.keys
    may = key.model_copy(update={"permissions": ("predict", "read:*", "push:*", "pii")})
    running.keys.stored = running.keys.stored.model_copy(update={"keys": (may,)})
    loop.run(running.doorkeeper.refresh())
    yield running
    loop.run(context.__aexit__(None, None, None))


def operations(document: dict[str, Any]) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def requests_of(operation: Any) -> st.SearchStrategy[Any]:
    """Sound and broken ones, to names that there are and to any."""
    known = {name: KNOWN[name] for name in KNOWN if f"{{{name}}}" in operation.path}
    strategies = [operation.as_strategy(mode) for mode in GenerationMode]
    if known:
        strategies += [
            operation.as_strategy(mode, path_parameters=known) for mode in GenerationMode
        ]
    return st.one_of(strategies)


@pytest.mark.parametrize("service", ["proxy", "inference"])
def test_every_request_is_answered_as_the_document_says(
    service: str, services: Services, loop: asyncio.Runner
) -> None:
    client: httpx.AsyncClient = getattr(services, service)
    document = loop.run(client.get("/openapi.json")).json()

    def statuses(requests: st.SearchStrategy[Any]) -> set[int]:
        """Of all answers; each is held to the document."""
        found = set()

        @with_examples
        @given(case=requests)
        def holds(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url=str(client.base_url))
            answer = loop.run(client.send(request_of(client, sent)))
            case.validate_response(answer, checks=CHECKS)
            found.add(answer.status_code)

        holds()
        return found

    for operation in operations(document):
        statuses(requests_of(operation))
        for ending, body in SOUND.items():
            if operation.path.endswith(ending):
                assert 200 in statuses(sound_requests(operation, body)), operation.path


def sound_requests(operation: Any, body: Any) -> st.SearchStrategy[Any]:
    known = {name: KNOWN[name] for name in KNOWN if f"{{{name}}}" in operation.path}
    strategy: st.SearchStrategy[Any] = operation.as_strategy(
        path_parameters=known, body=body, media_type="application/json", headers={}
    )
    return strategy


def request_of(client: httpx.AsyncClient, sent: dict[str, Any]) -> httpx.Request:
    """Schemathesis writes for requests, which httpx reads nearly alike."""
    if "data" in sent:
        sent["content"] = sent.pop("data")
    request = client.build_request(**sent)
    with suppress(InvalidRequest):
        if read_timeout(request.headers.get(TIMEOUT)):
            request.headers[TIMEOUT] = "60000"  # a shorter one is rightly answered with 504
    return request
