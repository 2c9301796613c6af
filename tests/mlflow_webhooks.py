"""Deliveries as MLflow makes them, and a load balancer that hands them to a Lambda."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from mlops.registry.webhooks.delivery import ID, SENT, SIGNATURE, sign
from tests.approvals import NAMES, NOW

KEY = "what MLflow and its receiver share"


def body_of(entity: str, action: str, *, model: str = "fraud", **data: Any) -> bytes:
    """What is posted, with the names that MLflow gives it."""
    told = {"name": NAMES.model_group(model), **data}
    written = {"entity": entity, "action": action, "timestamp": NOW.isoformat(), "data": told}
    return json.dumps(written).encode()


def headers_of(
    body: bytes, *, number: int = 1, at: datetime = NOW, key: str = KEY
) -> dict[str, str]:
    """Its headers; number: which delivery it is."""
    delivery, seconds = str(UUID(int=number)), str(int(at.timestamp()))
    return {ID: delivery, SENT: seconds, SIGNATURE: sign(key, delivery, seconds, body)}


@contextmanager
def balancer(invoke: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Iterator[str]:
    """Turns requests into a load balancer's events, and its answers into responses; its URL.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event = {
                "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:…"}},
                "httpMethod": "POST",
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body.decode(),
                "isBase64Encoded": False,
            }
            answer = invoke(event)
            self.send_response(answer["statusCode"])
            sent = answer["body"].encode()
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/mlops/registry-events"
        finally:
            server.shutdown()
