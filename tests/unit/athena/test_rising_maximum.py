"""A running maximum of what rows are in order of is its last value, and is written as that."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from tests.athena_engine import MemoryAthena

SO_FAR = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
PAST = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING"
NEAR = "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"


@pytest.fixture(scope="module")
def athena() -> MemoryAthena:
    engine = MemoryAthena()
    draw = random.Random(3)
    rows = {
        "k": pa.array([draw.choice("ab") for _ in range(300)]),
        "at": pa.array([draw.choice([None, *range(-30, 30)]) for _ in range(300)]),
        "n": pa.array(range(300)),
        "kind": pa.array([draw.choice([None, 0, 1]) for _ in range(300)]),
    }
    engine.add(
        "t", pa.table(rows), {"k": "string", "at": "bigint", "n": "bigint", "kind": "bigint"}
    )
    return engine


@pytest.mark.parametrize("frame", [SO_FAR, BEFORE])
def test_it_answers_as_a_maximum_does(athena: MemoryAthena, frame: str) -> None:
    # Of rows with one time any may come first: a number makes them one order for both.
    over = f"(PARTITION BY k ORDER BY at, n {frame})"
    written = athena.translate(
        f"SELECT k, at, max(CASE WHEN kind = 1 THEN at END) OVER {over} FROM t"
    )
    assert "last_value(" in written
    plain = written.replace("last_value(", "max(").replace(" IGNORE NULLS", "")
    fast, slow = (
        sorted(map(str, athena.connection.execute(sql).fetchall())) for sql in (written, plain)
    )
    assert fast == slow


@pytest.mark.parametrize(
    "window",
    [
        f"max(CASE WHEN kind = 1 THEN at END) OVER (ORDER BY at DESC {SO_FAR})",
        f"max(CASE WHEN kind = 1 THEN at END) OVER (ORDER BY kind, at {SO_FAR})",
        f"max(CASE WHEN kind = 1 THEN at ELSE 7 END) OVER (ORDER BY at {SO_FAR})",
        f"max(CASE WHEN kind = 1 THEN kind END) OVER (ORDER BY at {SO_FAR})",
        f"min(CASE WHEN kind = 1 THEN at END) OVER (ORDER BY at {SO_FAR})",
        "max(CASE WHEN kind = 1 THEN at END) OVER (ORDER BY at)",
        f"max(CASE WHEN kind = 1 THEN at END) OVER (ORDER BY at {NEAR})",
        f"max(CASE WHEN kind = 1 THEN at END) OVER (ORDER BY at {PAST})",
    ],
)
def test_another_window_stays_what_it_is(athena: MemoryAthena, window: str) -> None:
    assert "last_value(" not in athena.translate(f"SELECT {window} FROM t")
