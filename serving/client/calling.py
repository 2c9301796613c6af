"""The two clients. Each keeps its connections: make one per process and use it for all calls."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx

from serving.client.answers import FeatureTable, Predictions, read_predictions, read_table
from serving.client.errors import InvalidRequest
from serving.client.exchange import Answer, Late, Lost, Pause, Send, Steps, exchange

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)
Transport = TypeVar("Transport", httpx.BaseTransport, httpx.AsyncBaseTransport)

_TIMEOUT_HEADER = "X-Request-Timeout-Ms"


@dataclass(frozen=True)
class Request:
    """What is sent, but for who sends it."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Options:
    api_key: str | None
    token: Callable[[], str] | None
    timeout: float
    retries: int

    def steps(self, timeout: float | None) -> Steps:
        given = self.timeout if timeout is None else timeout
        return exchange(timeout=given, retries=self.retries, now=time.monotonic)

    def headers(self, request: Request, seconds: float) -> dict[str, str]:
        who = {"X-Api-Key": self.api_key} if self.api_key else {}
        if self.token is not None:
            who["Authorization"] = f"Bearer {self.token()}"
        left = str(max(1, int(seconds * 1000)))
        return {
            "Content-Type": "application/json",
            _TIMEOUT_HEADER: left,
            **request.headers,
            **who,
        }


class _Client(Generic[Http, Transport]):
    """What the two have in common."""

    _open: Callable[..., Http]

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: Callable[[], str] | None = None,
        timeout: float = 1.0,
        retries: int = 2,
        connections: int = 100,
        verify: Any = True,
        transport: Transport | None = None,
    ) -> None:
        self._options = _Options(api_key, token, timeout, retries)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http: Http = self._open(
            base_url=url, limits=limits, verify=verify, transport=transport
        )


class ProxyClient(_Client[httpx.Client, httpx.BaseTransport]):
    """Scores and features, waiting for each answer. Threads may share one.

    url: of the proxy, such as 'https://proxy.example'.
    api_key, or token: a function that gives a token that has not expired; called for each request.
    timeout: seconds for a whole call, retries and pauses included; the proxy is told of it.
    retries: how often more a call is sent where the first time came to nothing.
    connections: how many are kept at most.
    verify: an `ssl.SSLContext` where the system's authorities do not vouch for the proxy.
    """

    _open = httpx.Client

    def predict(
        self,
        model: str,
        instances: Sequence[Mapping[str, Any]],
        *,
        explain: bool = False,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Predictions:
        """Score instances by their ids; one that cannot be scored has its own error.

        explain: show the features' values and event times. Raises ProxyError.
        """
        request = predict_request(model, instances, explain=explain, request_id=request_id)
        return read_predictions(self._call(request, timeout))

    def read(
        self,
        service: str,
        entities: Mapping[str, Sequence[Any]],
        *,
        features: Sequence[str] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> FeatureTable:
        """The stored features of a feature service, a row for each of the ids.

        entities: per join key a list of ids, all as long as each other; features: 'view:feature'
        of those that are wanted, all where left out. Raises ProxyError.
        """
        request = read_request(service, entities, features=features, request_id=request_id)
        return read_table(self._call(request, timeout))

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, request: Request, timeout: float | None) -> bytes:
        steps, came = self._options.steps(timeout), None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as done:
                body: bytes = done.value
                return body
            came = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                came = self._send(request, step)

    def _send(self, request: Request, step: Send) -> Answer | Lost:
        try:
            answer = self._http.post(
                request.path,
                content=request.body,
                headers=self._options.headers(request, step.seconds),
                timeout=step.seconds,
            )
        except httpx.TimeoutException as exc:
            return Late(exc)
        except httpx.TransportError as exc:
            return Lost(exc)
        return _answer(answer)


class AsyncProxyClient(_Client[httpx.AsyncClient, httpx.AsyncBaseTransport]):
    """The same for asyncio; its arguments are those of `ProxyClient`."""

    _open = httpx.AsyncClient

    async def predict(
        self,
        model: str,
        instances: Sequence[Mapping[str, Any]],
        *,
        explain: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - it is told to the proxy, too
        request_id: str | None = None,
    ) -> Predictions:
        """See `ProxyClient.predict`."""
        request = predict_request(model, instances, explain=explain, request_id=request_id)
        return read_predictions(await self._call(request, timeout))

    async def read(
        self,
        service: str,
        entities: Mapping[str, Sequence[Any]],
        *,
        features: Sequence[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is told to the proxy, too
        request_id: str | None = None,
    ) -> FeatureTable:
        """See `ProxyClient.read`."""
        request = read_request(service, entities, features=features, request_id=request_id)
        return read_table(await self._call(request, timeout))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, request: Request, timeout: float | None) -> bytes:  # noqa: ASYNC109
        steps, came = self._options.steps(timeout), None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as done:
                body: bytes = done.value
                return body
            came = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                came = await self._send(request, step)

    async def _send(self, request: Request, step: Send) -> Answer | Lost:
        headers = self._options.headers(request, step.seconds)
        try:
            async with asyncio.timeout(step.seconds):
                answer = await self._http.post(
                    request.path, content=request.body, headers=headers, timeout=step.seconds
                )
        except (httpx.TimeoutException, TimeoutError) as exc:
            return Late(exc)
        except httpx.TransportError as exc:
            return Lost(exc)
        return _answer(answer)


def predict_request(
    model: str, instances: Sequence[Mapping[str, Any]], *, explain: bool, request_id: str | None
) -> Request:
    path = f"/v1/models/{quote(model, safe='')}:predict" + ("?explain=features" if explain else "")
    return Request(path, _body({"instances": list(instances)}), _id(request_id))


def read_request(
    service: str,
    entities: Mapping[str, Sequence[Any]],
    *,
    features: Sequence[str] | None,
    request_id: str | None,
) -> Request:
    asked: dict[str, Any] = {"entities": {name: list(ids) for name, ids in entities.items()}}
    if features is not None:
        asked["features"] = list(features)
    path = f"/v1/features/{quote(service, safe='')}:read"
    return Request(path, _body(asked), _id(request_id))


def _id(request_id: str | None) -> dict[str, str]:
    return {"X-Request-Id": request_id} if request_id else {}


def _body(asked: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(asked, default=_encode, allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise InvalidRequest(f"The request cannot be written as JSON: {exc}.") from exc


def _encode(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"'{type(value).__name__}' has no form in JSON")
    if value.tzinfo is None:
        raise ValueError(f"the time {value} has no time zone; say which with tzinfo")
    return value.isoformat()


def _answer(answer: httpx.Response) -> Answer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status_code, headers, answer.content)
