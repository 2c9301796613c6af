"""Drawing is a matter of chance to the caller and of the seed to everybody."""

from __future__ import annotations

import math
from collections import Counter
from uuid import UUID

import pytest

from mlops.downsync.flow import Thinning
from mlops.downsync.thinning import BUCKETS, bucket_of, is_drawn, key_digest

ROWS = 40_000
IDS = [UUID(int=n, version=4).hex for n in range(ROWS)]
DIGESTS = [key_digest({"customer_id": str(n)}) for n in range(ROWS)]
FIVE_SIGMA = 5.0
"""A right draw is outside of these bounds once in 1.7 million times; the seeds are fixed."""


def drawn(thinning: Thinning) -> list[bool]:
    """By row n of key n."""
    return [is_drawn(thinning, d, i) for d, i in zip(DIGESTS, IDS, strict=True)]


def within(hits: int, n: int, p: float) -> bool:
    return abs(hits - n * p) <= FIVE_SIGMA * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("by", ["row", "key"])
@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, -7])
def test_the_kept_part_is_the_ratio(by: str, ratio: float, seed: int) -> None:
    kept = sum(drawn(Thinning.model_validate({"by": by, "ratio": ratio, "seed": seed})))
    assert within(kept, ROWS, ratio)


def test_a_ratio_of_one_keeps_everything() -> None:
    assert all(drawn(Thinning()))


def test_by_key_a_key_is_kept_with_all_of_its_rows_or_none() -> None:
    thinning = Thinning(by="key", ratio=0.3)
    for digest in DIGESTS[:50]:
        assert len({is_drawn(thinning, digest, event) for event in IDS[:50]}) == 1


def test_by_row_the_rows_of_one_key_are_drawn_apart() -> None:
    thinning = Thinning(by="row", ratio=0.3)
    assert within(sum(is_drawn(thinning, DIGESTS[0], event) for event in IDS), ROWS, 0.3)


def test_by_row_neighbouring_draws_are_independent() -> None:
    kept = drawn(Thinning(by="row", ratio=0.4))
    counts = Counter(zip(kept[::2], kept[1::2], strict=True))
    expected = {(a, b): (0.4 if a else 0.6) * (0.4 if b else 0.6) for a in (0, 1) for b in (0, 1)}
    chi2 = sum(
        (counts[bool(a), bool(b)] - ROWS / 2 * p) ** 2 / (ROWS / 2 * p)
        for (a, b), p in expected.items()
    )
    assert chi2 < 21.1  # 3 degrees of freedom, p = 0.0001


@pytest.mark.parametrize("by", ["row", "key"])
def test_two_seeds_draw_independently(by: str) -> None:
    one, other = (
        drawn(Thinning.model_validate({"by": by, "ratio": 0.5, "seed": seed})) for seed in (1, 2)
    )
    assert within(sum(a and b for a, b in zip(one, other, strict=True)), ROWS, 0.25)


@pytest.mark.parametrize("by", ["row", "key"])
def test_a_larger_ratio_keeps_what_a_smaller_one_kept(by: str) -> None:
    few, many = (drawn(Thinning.model_validate({"by": by, "ratio": ratio})) for ratio in (0.1, 0.2))
    assert all(m for f, m in zip(few, many, strict=True) if f)


def test_what_is_drawn_is_the_same_on_every_machine() -> None:
    """Written down: a changed hash would draw other keys tomorrow than today."""
    by_key = Thinning(by="key", ratio=0.1, seed=42)
    assert [n for n in range(100) if is_drawn(by_key, DIGESTS[n], "")] == KEPT_KEYS
    by_row = Thinning(ratio=0.1, seed=42)
    assert [n for n in range(100) if is_drawn(by_row, b"", IDS[n])] == KEPT_ROWS


KEPT_KEYS = [19, 35, 40, 50, 53, 72, 86, 90, 94, 98]
KEPT_ROWS = [25, 36, 39, 52, 65, 67, 70, 71]


def test_keys_are_spread_evenly_over_the_buckets() -> None:
    counts = Counter(map(bucket_of, DIGESTS))
    expected = ROWS / BUCKETS
    chi2 = sum((counts[n] - expected) ** 2 / expected for n in range(BUCKETS))
    assert 160 < chi2 < 365  # 255 degrees of freedom, p = 0.00001 on either side
