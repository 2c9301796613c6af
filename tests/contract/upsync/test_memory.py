"""What a run holds in memory does not grow with its rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.local.redis import RedisServer
from pipelines.features.upsync.state import CREATED, EVENT
from tests.redis_processes import running
from tests.upsync_examples import at, micro

ROWS = int(os.environ.get("SOAK_ROWS", "50000"))
"""`make soak` takes more."""
GROWTH = 40.0
"""Mebibytes. All rows at once were seen to take 125 more for 150,000 more rows, a run 20."""


def stage(path: Path, rows: int) -> None:
    """Ten doubles a row, in row groups as Athena writes them."""
    chance = np.random.default_rng(7)
    moment = np.full(rows, micro(at("2018-08-07")))
    columns = {"customer_id": pa.array(map(str, range(rows)), pa.string())}
    columns |= {f"f{n}": pa.array(chance.random(rows)) for n in range(10)}
    columns |= {EVENT: pa.array(moment), CREATED: pa.array(moment)}
    pq.write_table(pa.table(columns), path, row_group_size=20_000)


def load(path: Path, server: RedisServer) -> tuple[int, float]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.upsync_memory", str(path)]
    command += [str(server.port), server.password]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows, mebibytes = done.stdout.split()
    return int(rows), float(mebibytes)


@pytest.mark.skipif("SOAK_ROWS" not in os.environ, reason="takes seconds; 'make soak' runs it")
def test_four_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    stage(tmp_path / "few", ROWS)
    stage(tmp_path / "many", 4 * ROWS)
    with running(tmp_path / "redis", appendonly="no") as server:
        few, many = load(tmp_path / "few", server), load(tmp_path / "many", server)
    assert (few[0], many[0]) == (ROWS, 4 * ROWS)
    assert many[1] - few[1] < GROWTH, (few, many)
