"""The plan of a change as one document: what a reviewer must see first stands first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

PARTS = {
    "checks": "Checks",
    "tests": "Tests",
    "infrastructure": "Infrastructure",
    "schemas": "Schemas of feature tables",
    "features": "Features: definitions, who reads them, what loading takes",
    "workflows": "Workflows, and what starts them",
    "rules": "Approval rules",
    "price": "Price of a month",
}
"""What a plan consists of, by the name of its file, in the order of the document."""
_PROGRESS = re.compile(r"[.sxXFE]+ +\[ *\d+%\]\s*$")
ALARMING = (
    *("LOSES ITS DATA", "BREAKS ", "REFUSED ", "STILL STARTS"),
    *("to delete", "to remove", "to replace"),
)
"""What a reviewer must not miss; a count of none is no alarm."""
STARTING = "starts after the merge"
"""What costs money once somebody says yes."""


def render(texts: Mapping[str, str]) -> str:
    """Markdown: what to look at, then each part as its command printed it."""
    lines = ["# What this change would do", ""]
    lines += [f"- **{part}**: {line}" for part, line in _alarming(texts)]
    lines += [f"- **{PARTS[name]}** is missing" for name in PARTS if name not in texts]
    for name, title in PARTS.items():
        if name in texts:
            lines += ["", f"## {title}", "", "```", _shown(texts[name]) or "nothing", "```"]
    return "\n".join(lines)


def _shown(text: str) -> str:
    """All of it but the rows of dots by which pytest tells how far it is."""
    return "\n".join(line for line in text.splitlines() if not _PROGRESS.match(line)).strip()


def _alarming(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, title in PARTS.items():
        for line in texts.get(name, "").splitlines():
            words = (*ALARMING, STARTING)
            found = [word for word in words if word in line and f"0 {word}" not in line]
            if found:
                yield title, line.strip()
