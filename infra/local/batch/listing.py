"""How an operation of Batch pages. Pure."""

from __future__ import annotations

from infra.local.batch.checks import Document, client_error

_PAGE = 100


def page(documents: list[Document], request: Document) -> tuple[list[Document], Document]:
    """One page, and the nextToken that goes with it while more follow."""
    token = request.get("nextToken", "0")
    if not token.isdecimal():
        raise client_error(f"Invalid nextToken: '{token}'")
    start = int(token)
    end = start + min(request.get("maxResults") or _PAGE, _PAGE)
    return documents[start:end], {"nextToken": str(end)} if end < len(documents) else {}
