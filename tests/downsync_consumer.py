"""A consumer process that is killed at a chosen step: `python -m tests.downsync_consumer STEP`.

STEP is 'committed' or 'copied:2': the (second) time that a commit has passed it, SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

from pipelines.features.downsync.cli import Place
from pipelines.features.downsync.consumer import Consumer
from pipelines.features.downsync.worker import Limits

LIMITS = Limits(rows=40, seconds=60, lease_seconds=1)


def main() -> None:
    step, _, times = sys.argv[1].partition(":")
    left = [int(times or 1)]

    def passed(reached: str) -> None:
        left[0] -= reached == step
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    place = Place.open()
    tools = place.tools(place.data, place.glue(), LIMITS)
    Consumer(replace(tools, passed=passed), until_caught_up=True).run()


if __name__ == "__main__":
    main()
