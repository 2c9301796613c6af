"""Endpoints and their record as the rows of tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlops.deploying.record import Written
from mlops.deploying.telling import serves
from mlops.registry.tables import Rows, person

_WIDEST = 60


def statuses(found: Iterable[dict[str, Any]]) -> Rows:
    """One row per endpoint: what it serves, what is on its way, and who changed it last."""
    columns = ["endpoint", "stable", "canary", "shadow", "rollout", "held", "falls back to", "last"]
    return columns, [_row(one) for one in found]


def _row(one: dict[str, Any]) -> list[str]:
    changed = one["changed"]
    return [
        one["endpoint"],
        _text(one["stable"]),
        _canary(one),
        _shadow(one["shadow"]),
        _rollout(one),
        _held(one),
        ", ".join(map(str, one["falls_back_to"])),
        f"{changed['at']:%Y-%m-%d %H:%M:%S} {person(changed['by'])}: {_short(changed['reason'])}",
    ]


def _canary(one: dict[str, Any]) -> str:
    if one["experiment"]:
        return f"experiment {one['experiment']}"
    canary = one["canary"]
    if canary is None:
        return ""
    key = f" by {canary['key']}" if canary["key"] else ""
    return f"{canary['version']} at {canary['weight']:.4g}{key}"


def _shadow(shadow: dict[str, Any] | None) -> str:
    return f"{shadow['version']} of {shadow['share']:.4g}" if shadow else ""


def _rollout(one: dict[str, Any]) -> str:
    rollout = one["rollout"]
    if rollout is None:
        return ""
    told = f"version {rollout['version']}, stage {rollout['stage']} of {rollout['stages']}"
    since = f"since {rollout['since']:%H:%M:%S}"
    return "\n".join(filter(None, [told, since, one.get("verdict", {}).get("says", "")]))


def _held(one: dict[str, Any]) -> str:
    held = {"frozen": one["frozen"], "paused": (one["rollout"] or {}).get("paused")}
    return "\n".join(
        f"{how} by {person(hold['by'])}: {_short(hold['reason'])}"
        for how, hold in held.items()
        if hold
    )


def record(entries: Iterable[Written]) -> Rows:
    """One row per revision."""
    columns = ["revision", "at (UTC)", "who", "action", "serves", "reason", "hash"]
    rows = [
        [
            str(entry.revision),
            f"{entry.document.changed_at:%Y-%m-%d %H:%M:%S}",
            person(entry.document.changed_by),
            entry.action,
            "\n".join(f"{use}: {what}" for use, what in serves(entry.document).items()),
            entry.document.reason,
            entry.hash[:12],
        ]
        for entry in entries
    ]
    return columns, rows


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _text(value: object) -> str:
    return "none" if value is None else str(value)
