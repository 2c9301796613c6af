"""How a source says that a row is deleted: a Bool feature of the view, named by the view's tag."""

from __future__ import annotations

from typing import Any

from mlops.errors import InputError

DELETED_TAG = "deleted_field"


def deleted_field(view: Any) -> str | None:
    """The feature that is true in a deleted row; None where the view's rows are never deleted.

    Raises InputError where the tag names no Bool feature of the view.
    """
    name: str | None = (getattr(view, "tags", None) or {}).get(DELETED_TAG)
    if name is None:
        return None
    types = {field.name: str(field.dtype) for field in view.features}
    if types.get(name) != "Bool":
        found = f"is {types[name]}" if name in types else "is no feature of it"
        raise InputError(
            f"View '{view.name}': {DELETED_TAG} is '{name}', which {found}. Name a Bool feature of "
            "the view."
        )
    return name
