"""The provider's keys over HTTP, and whatever else may come from there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from mlops.errors import Unavailable
from serving.proxy.tokens import HttpJwks


class Provider(ThreadingHTTPServer):
    """Answers every request with the same."""

    status, body = 200, b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/keys"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider: Any = self.server
        self.send_response(provider.status)
        self.end_headers()
        self.wfile.write(provider.body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Provider(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def published(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def test_keys_are_read_and_those_of_an_unknown_kind_passed_over(provider: Provider) -> None:
    first = ECKey.generate_key("P-256", {"kid": "a"}).as_dict(private=False)
    second = RSAKey.generate_key(2048, {"kid": "b"}).as_dict(private=False)
    provider.body = published(first, {"kty": "ML-DSA", "kid": "c"}, second)
    assert [key.kid for key in HttpJwks(provider.url).load()] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [7]}'),
        (200, b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "?", "y": "?"}]}'),
        (200, b'{"keys": 7}'),
        (200, b" " * 1_100_000),
    ],
    ids=["500", "302", "html", "list", "empty", "no keys", "number", "bad key", "no list", "large"],
)
def test_anything_else_is_no_keys(provider: Provider, status: int, body: bytes) -> None:
    provider.status, provider.body = status, body
    with pytest.raises(Unavailable, match="keys at"):
        HttpJwks(provider.url).load()


def test_a_provider_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="OIDC_JWKS_URL"):
        HttpJwks("http://127.0.0.1:1/keys").load()
