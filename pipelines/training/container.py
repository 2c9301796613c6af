"""SageMaker's container contract: where a job finds its inputs and leaves its outputs.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import MlopsError

BASE_DIR = "SAGEMAKER_BASE_DIR"
_MESSAGE_BYTES = 1024


@dataclass(frozen=True)
class Container:
    """The files of one processing job, below /opt/ml."""

    root: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Container:
        return cls(Path(environ.get(BASE_DIR, "/opt/ml")))

    def input(self, name: str) -> Path:
        return self.root / "processing" / "input" / name

    def output(self, name: str) -> Path:
        folder = self.root / "processing" / "output" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def say(self, message: str) -> None:
        """What DescribeProcessingJob shows as the exit message; cut at 1 KB."""
        path = self.root / "output" / "message"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(message.encode()[:_MESSAGE_BYTES])


def log_progress() -> None:
    """Our own progress, and only the warnings of others, into the job's log."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    for name in ("mlops", "pipelines", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)


def _begin() -> None:
    log_progress()
    # At its end Python would look through all that was imported for garbage.
    atexit.register(gc.freeze)


def run_script(main: Callable[[], None]) -> None:
    """Run a training script; what goes wrong ends it with one line that the toolkit recognises.

    The toolkit takes a failed script's message from the first line that names a built-in error,
    so that our own errors would be lost.
    """
    _begin()
    try:
        main()
    except Exception as exc:  # noqa: BLE001  # the process ends here; the job tells its cause
        if not isinstance(exc, MlopsError):
            traceback.print_exc()
        sys.stderr.write(f"Exception: {type(exc).__name__}: {exc}\n")
        sys.exit(1)


def run_step(step: Callable[[Container], None]) -> None:
    """Run a processing job's work; what goes wrong becomes its exit message and status 1."""
    _begin()
    container = Container.of(os.environ)
    try:
        step(container)
    except Exception as exc:  # noqa: BLE001  # the process ends here; the job tells its cause
        if not isinstance(exc, MlopsError):
            traceback.print_exc()
        message = f"{type(exc).__name__}: {exc}"
        sys.stderr.write(f"{message}\n")
        container.say(message)
        sys.exit(1)
