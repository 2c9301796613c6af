"""Writing feature rows in a process of its own: seconds, and mebibytes beyond the rows themselves.

`python -m tests.benchmarks.online_writing WAY ENTITIES FOLDER URL`, the password in
ONLINE_REDIS_PASSWORD; a way is a name of `WAYS`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.local.redis import RedisServer
from tests.benchmarks.measure import peak, resident, seconds
from tests.benchmarks.online_peers import FIFTY, Chunks, Feasts, Ours, open_peers

_PASSWORD = "ONLINE_REDIS_PASSWORD"
WAYS: dict[str, int] = {"together": 5, "by-view": 5, "feast": 1}
"""How often each writes into an empty database: the median counts."""


@dataclass(frozen=True)
class Written:
    """What writing took."""

    entities: int
    seconds: float
    mebibytes: float

    @property
    def rate(self) -> float:
        return self.entities / self.seconds


def write(way: str, entities: int, server: RedisServer, folder: Path) -> Written:
    """Write the rows of five views, and leave them there."""
    address = f"redis://127.0.0.1:{server.port}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", __name__, way, str(entities), str(folder), address],
        env=os.environ | {_PASSWORD: server.password},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Written(**json.loads(done.stdout.splitlines()[-1]))


def main(way: str, entities: int, folder: Path, address: str) -> Written:
    ours, feasts = open_peers(FIFTY, folder, address, os.environ[_PASSWORD])
    peer: Ours | Feasts = feasts if way == "feast" else ours
    chunks = FIFTY.rows(entities, datetime.now(UTC))
    work: Callable[[Chunks], None] = ours.write_by_view if way == "by-view" else peer.write
    # Connected, loaded and warm, with rows that are not counted.
    work(chunks[:1])
    before = resident()
    taken = []
    for _ in range(WAYS[way] if entities <= 50_000 else 1):
        peer.link.command("FLUSHDB")
        taken.append(seconds(lambda: work(chunks)))
    return Written(entities, statistics.median(taken), peak() - before)


if __name__ == "__main__":
    way, entities, folder, address = sys.argv[1:]
    written = main(way, int(entities), Path(folder), address)
    sys.stdout.write(json.dumps(asdict(written)) + "\n")
