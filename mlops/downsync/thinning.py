"""Which events are drawn: by a seeded hash, so that everybody draws alike, always.

The same seed and ratio keep the same keys in every view of an entity, so that what is kept of
them can be joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from mlops.downsync.flow import Thinning

BUCKETS = 256
"""Keys are spread over so many parts; a part is never divided over shards."""


def key_digest(key: Mapping[str, Any]) -> bytes:
    """16 bytes for an entity's key, whatever order its join keys come in."""
    return blake2b(orjson.dumps(sorted(key.items())), digest_size=16).digest()


def bucket_of(digest: bytes) -> int:
    return digest[0]


def is_drawn(thinning: Thinning, digest: bytes, event_id: str) -> bool:
    """Whether an event is kept, with a probability of the ratio.

    digest: of its key. By row the event's id decides, by key nothing but the key.
    """
    if thinning.ratio >= 1:
        return True
    what = digest if thinning.by == "key" else event_id.encode()
    salt = thinning.seed.to_bytes(16, "little", signed=True)
    drawn = int.from_bytes(blake2b(what, digest_size=8, salt=salt).digest(), "big")
    return drawn < int(thinning.ratio * (1 << 64))
