"""Notices as messages in a Slack channel, by its incoming webhook.

The webhook's URL is a secret: whoever has it can write there. It stands in no message and no log.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from mlops.errors import SettingsError, Unavailable

TIMEOUT_SECONDS = 5.0
LONGEST = 2_900
"""Characters of one section; Slack takes 3,000."""
_LINE = 80
"""Characters up to which a list stands in one line."""
_SHOWN = (
    *("message", "event", "workflow", "execution", "model", "version", "reason", "who"),
    *("decision", "error", "cause", "shortfalls", "metrics", "comparison", "figures"),
    *("drifted", "why", "package", "report"),
)
"""The facts that people read first, in this order; scripts find the others in the topic."""


class Slack:
    """One channel."""

    def __init__(self, webhook: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """Raises SettingsError for what is no webhook, without repeating it."""
        parts = urlsplit(webhook)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost"}:
            raise SettingsError("The secret of Slack's webhook holds no https address.")
        self._webhook = webhook
        self._timeout = timeout

    def publish(self, subject: str, facts: Mapping[str, Any]) -> None:
        """Raises Unavailable when Slack does not take it."""
        body = json.dumps(format_notice(subject, facts)).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
            self._webhook, body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as exc:
            raise _unavailable(f"answered {exc.code}") from None
        except (OSError, HTTPException) as exc:
            # From None: what urllib says may name the address.
            raise _unavailable(type(exc).__name__) from None


def format_notice(subject: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The message: its subject in bold, and a line for each fact that people read."""
    told = [(name, facts[name]) for name in _SHOWN if facts.get(name) not in (None, "", subject)]
    lines = [f"• {name}: {_escaped(_plain(value))}" for name, value in told]
    text = "\n".join([f"*{_escaped(subject)}*", *lines])
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    return {"text": _escaped(subject), "blocks": [section]}


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        parts = [_plain(one) for one in value]
        whole = ", ".join(parts)
        return whole if len(whole) <= _LINE else "".join(f"\n    {part}" for part in parts)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    """Slack's own way: what users wrote makes no links and calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unavailable(how: str) -> Unavailable:
    return Unavailable(f"Slack did not take the notice: it {how}. Look at its webhook's secret.")
