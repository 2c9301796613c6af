"""An offline store for Feast on Athena: exact point-in-time joins in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.stores.athena.store import AthenaOfflineStore, AthenaOfflineStoreConfig

__all__ = ["AthenaOfflineStore", "AthenaOfflineStoreConfig"]


def __getattr__(name: str) -> Any:
    """Import Feast, which takes seconds, only where its store is asked for."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from mlops.stores.athena import store  # noqa: PLC0415  # as said

    return getattr(store, name)
