"""The audit log: one line for every caller that was refused, without secrets and personal data.

A line has the caller's registered name and the permission that it lacked. What a caller sent in
the place of a name is written only where it looks like one.
"""

from __future__ import annotations

import logging
import re

from serving.errors import AccessRefused, status_of
from serving.logs import AUDIT

log = logging.getLogger(AUDIT)

_PERMISSION = re.compile(r"[a-z]+(:[A-Za-z][A-Za-z0-9_-]{0,63})?")


def audit(error: AccessRefused) -> None:
    """Write the refusal down."""
    facts = {
        "code": error.code,
        "status": status_of(error),
        "caller": error.caller,
        "asked": _shown(error.asked),
    }
    log.warning("access refused", extra={key: fact for key, fact in facts.items() if fact})


def _shown(asked: str | None) -> str | None:
    if asked is None or _PERMISSION.fullmatch(asked):
        return asked
    return asked.partition(":")[0] + ":(not a name)"
