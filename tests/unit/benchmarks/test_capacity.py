"""What a day of reads takes is a sum of what was measured."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from tests.benchmarks.capacity import Demand, Machine, main, sum_up

DAY = Demand(reads_a_day=86_400 * 100, peak=4, entities=1e6)


def test_workers_run_at_half_of_their_limit_and_one_may_fail() -> None:
    found = sum_up(DAY, Machine({"features-1": 200.0, "predict": 200.0}, cores=2))
    assert found["reads a second at the peak"] == 400
    assert found["cores for reads of 1"] == 400 / 100 + 1
    assert found["cores for predictions"] == 400 / 50 + 2


def test_redis_has_room_for_what_it_loses_and_copies() -> None:
    assert sum_up(DAY, Machine({"bytes-50-used": 700.0}, cores=2))["GB of Redis a node"] == 1.1


def test_the_command_sums_up_what_benchmarks_wrote(tmp_path: Path) -> None:
    measured = [{"work": "features-10", "ours": 1000.0, "peer": 10.0}]
    path = tmp_path / "features.json"
    path.write_text(json.dumps(measured))
    written = datetime(2025, 5, 1, 12, tzinfo=UTC).timestamp()
    os.utime(path, (written, written))
    done = CliRunner().invoke(main, [str(path), "--reads", "86400"])
    assert done.exit_code == 0, done.output
    first, *rest = done.output.splitlines()
    assert rest == ["reads a second at the peak: 4", "cores for reads of 10: 2"]
    assert first.startswith("measured: 2025-05-01, ")
