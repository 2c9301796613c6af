"""Runs one command and ends it, with all its children, when the process that asked is gone.

Started as a script by `process.start`, in a session of its own, with nothing but the standard
library. Its stdin is a pipe that the asking process never writes to: when it closes, that
process is dead. Exits as the command did, 128 + n for signal n, 127 when it cannot be started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time


def main(grace: float, command: list[str]) -> int:
    # The group gets the signal; the command is to react to it and this process to wait for that.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the job itself
    except OSError as exc:
        print(f"{command[0]}: {exc.strerror}", file=sys.stderr, flush=True)  # noqa: T201 - its log
        return 127
    threading.Thread(target=_end_with_parent, args=(grace,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent(grace: float) -> None:
    while os.read(0, 1):
        continue
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    # No interpreter shutdown: the thread above stands in a read.
    os._exit(main(float(sys.argv[1]), sys.argv[2:]))
