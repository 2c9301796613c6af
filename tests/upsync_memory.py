"""Loads a staged file into a Redis and prints the mebibytes of its process's peak beyond its start.

python -m tests.upsync_memory FILE PORT PASSWORD
"""

from __future__ import annotations

import io
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from mlops.clock import FixedClock
from mlops.objects import MemoryDocuments
from mlops.plan import PlannedField
from mlops.stores.redis.link import open_link
from mlops.stores.redis.target import RedisTarget as Server
from pipelines.features.upsync import loading
from pipelines.features.upsync.loading import Loader
from pipelines.features.upsync.redis_target import RedisTarget
from pipelines.features.upsync.state import Runs, Task
from tests.benchmarks.measure import peak, resident
from tests.upsync_examples import at, make_plan

FEATURES = tuple(PlannedField(name=f"f{n}", dtype="Float64") for n in range(10))


class Folder:
    """S3 as far as a staged file is read: any part of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.s3 = self

    def get_object(self, *, Bucket: str, Key: str, Range: str) -> dict[str, Any]:  # noqa: N803
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        with self.file.open("rb") as opened:
            opened.seek(first)
            return {"Body": io.BytesIO(opened.read(last - first + 1))}


def main(file: Path, port: int, password: str) -> None:
    loading._SMALL = 0  # whatever its size, it is read in parts
    task = Task(kind="rows", files=(("s3://staged/rows.parquet", file.stat().st_size),))
    plan = make_plan([task], features=FEATURES)
    with closing(open_link(Server("127.0.0.1", port, password=password))) as link:
        online = RedisTarget(link, plan.project, FixedClock(at("2018-08-08")))
        storage: Any = Folder(file)
        before = resident()
        done = Loader(Runs(MemoryDocuments()), storage, online, rows=5_000).load(plan, 0)
    assert (done.done, done.written + done.older, done.refused) == (True, done.read, 0)
    sys.stdout.write(f"{done.read} {peak() - before}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
