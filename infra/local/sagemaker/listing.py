"""How a List operation filters, sorts and pages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.local.service import AwsError

Document = Mapping[str, Any]

_TIMES = {
    "CreationTimeAfter": ("CreationTime", 1),
    "CreationTimeBefore": ("CreationTime", -1),
    "LastModifiedTimeAfter": ("LastModifiedTime", 1),
    "LastModifiedTimeBefore": ("LastModifiedTime", -1),
}


def select(
    documents: Iterable[Document], request: Document, *, name: str, equals: Mapping[str, str]
) -> list[Document]:
    """The documents that the request's filters let through, in the order that it asks for.

    name: the field that NameContains and SortBy=Name look at.
    equals: the document's field by the request's, where one must equal the other.
    """
    found = [d for d in documents if _passes(d, request, name, equals)]
    key = _sort_key(request.get("SortBy", "CreationTime"), name, equals)
    descending = request.get("SortOrder", "Descending") == "Descending"
    return sorted(found, key=key, reverse=descending)


def page(documents: list[Document], request: Document) -> tuple[list[Document], dict[str, str]]:
    """One page, and the NextToken that goes with it while more follow."""
    start, size = _start(request.get("NextToken")), int(request.get("MaxResults", 10))
    rest = {"NextToken": str(start + size)} if start + size < len(documents) else {}
    return documents[start : start + size], rest


def _start(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise AwsError("ValidationException", f"Invalid pagination token: '{token}'")
    return int(token)


def _passes(document: Document, request: Document, name: str, equals: Mapping[str, str]) -> bool:
    contained = request.get("NameContains", "").lower() in str(document.get(name, "")).lower()
    equal = all(
        document.get(field) == request[asked]
        for asked, field in equals.items()
        if request.get(asked) is not None
    )
    timely = all(
        sign * (document.get(field, 0) - float(request[asked])) >= 0
        for asked, (field, sign) in _TIMES.items()
        if request.get(asked) is not None
    )
    return contained and equal and timely


def _sort_key(
    sort_by: str, name: str, equals: Mapping[str, str]
) -> Callable[[Document], tuple[Any, ...]]:
    status = next((field for asked, field in equals.items() if asked == "StatusEquals"), name)
    first = {"Name": name, "Status": status}.get(sort_by, "CreationTime")
    return lambda d: (d.get(first, ""), d.get("CreationTime", 0), d.get("ModelPackageVersion", 0))
