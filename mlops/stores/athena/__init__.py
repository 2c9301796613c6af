"""An offline store for Feast on Athena: exact point-in-time joins in one pass."""

from mlops.stores.athena.store import AthenaOfflineStore, AthenaOfflineStoreConfig

__all__ = ["AthenaOfflineStore", "AthenaOfflineStoreConfig"]
