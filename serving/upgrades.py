"""uvicorn's HTTP/1.1 connection, in which a wish to speak another protocol is ignored.

RFC 9110 lets a server do so (section 7.8). uvicorn's parser stops at a head with such a wish and
loses the body behind it; Java's HTTP client asks for HTTP/2 in this way on plain connections.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UPGRADE = (b"upgrade", b"http2-settings")


class OneProtocol(HttpToolsProtocol):
    """One connection of a caller."""

    _data = b""
    """What is being parsed."""

    def data_received(self, data: bytes) -> None:
        self._data = data
        super().data_received(data)

    def on_headers_complete(self) -> None:
        if not self._asks_for_another_protocol():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._asks_for_another_protocol():
            super().on_message_complete()

    def _asks_for_another_protocol(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _should_upgrade(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Called where the parser stopped at such a head: read it again without the wish."""
        stopped = sys.exception()
        assert isinstance(stopped, httptools.HttpParserUpgrade)
        if not self._asks_for_another_protocol():
            return  # CONNECT has been refused like any method that a route does not know
        head, behind = self._plain_head(), self._data[stopped.args[0] :]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(head + behind)

    def _plain_head(self) -> bytes:
        lines = [b"%s: %s\r\n" % line for line in _without_upgrade(self.headers)]
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(lines))


def _without_upgrade(headers: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            kept = [one for one in value.split(b",") if one.strip().lower() not in _UPGRADE]
            yield name, b",".join(kept)
        elif name not in _UPGRADE:
            yield name, value
