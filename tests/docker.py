"""Docker, where one answers that can build: the images of infra/images, made and started.

MLOPS_TEST_DOCKER names another client than `docker`; DOCKER_HOST and its like count as ever.
MLOPS_TEST_BASE is the base image where the published one cannot be fetched.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.dockerfiles import FILES, ROOT

CLIENT = os.environ.get("MLOPS_TEST_DOCKER", "docker")
BASE = os.environ.get("MLOPS_TEST_BASE", "")
AS_TASK = (
    *("--network", "host", "--read-only", "--tmpfs", "/tmp"),
    *("--cap-drop", "ALL", "--init", "--env", "HOME=/tmp"),
)
"""How ECS runs a task (infra/stacks/tasks.py), beside the servers of this process."""
_PROBE = "FROM scratch\nHEALTHCHECK NONE\n"


class Failed(AssertionError):
    """Docker's own words."""


def docker(*words: str, given: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """What a command of the client answers. Raises Failed when it ends with an error."""
    done = subprocess.run(
        [CLIENT, *words],
        input=given,
        env={**os.environ, "DOCKER_BUILDKIT": "1", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{CLIENT} {' '.join(words)}: {(done.stderr or done.stdout)[-3000:]}")
    return done.stdout


def missing() -> str | None:
    """Why no image can be built here, or nothing."""
    try:
        probe = docker("build", "--quiet", "-", given=_PROBE).strip()
    except OSError as error:
        return f"no Docker: {error}"
    except Failed as error:
        return f"no Docker that builds: {str(error).splitlines()[0]}"
    docker("image", "rm", "--force", probe)
    return None


def build(image: str, *options: str) -> str:
    """The id of the image that a last stage makes; what was made before is not made again."""
    file = next(path for path in FILES.values() if f" AS {image}\n" in path.read_text())
    base = ("--build-arg", f"BASE={BASE}") if BASE else ()
    where = ("--network", "host", "--file", str(file), "--target", image)
    return docker("build", "--quiet", *where, *base, *options, str(ROOT)).strip()


def run(image: str, *command: str) -> str:
    """What a command prints that takes the place of the image's own."""
    return docker("run", "--rm", "--network", "none", image, *command)


@dataclass(frozen=True)
class Container:
    """One that was started."""

    name: str

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.name))[0]["State"]
        return found

    def wait_until_healthy(self, seconds: float) -> None:
        """Docker asks, as the image says. Raises Failed with the container's log."""
        deadline = time.monotonic() + seconds
        while (state := self.state)["Health"]["Status"] != "healthy":
            if not state["Running"] or time.monotonic() > deadline:
                log = docker("logs", "--tail", "40", self.name)
                raise Failed(f"{state['Status']}: {state['Health']}\n{log}")
            time.sleep(0.5)

    def answer(self, *command: str) -> str | None:
        """What a command inside says, or nothing while it fails."""
        try:
            return docker("exec", self.name, *command).strip()
        except Failed:
            return None

    def stop(self, seconds: int) -> int:
        """Its exit code; 137 where it had to be killed."""
        docker("stop", "--time", str(seconds), self.name)
        return int(self.state["ExitCode"])


@contextmanager
def started(
    image: str, *command: str, environment: Mapping[str, str], options: tuple[str, ...] = AS_TASK
) -> Iterator[Container]:
    """A container, gone at the end. No command line holds what its variables say."""
    name = f"mlops-test-{uuid4().hex[:8]}"
    variables = [word for variable in environment for word in ("--env", variable)]
    docker(
        "run", "--detach", "--name", name, *options, *variables, image, *command, env=environment
    )
    try:
        yield Container(name)
    finally:
        docker("rm", "--force", "--volumes", name)


def write_secret(folder: Path, text: str) -> tuple[str, str]:
    """The options of a build that hand it a package index."""
    file = folder / "index"
    file.write_text(text)
    return "--secret", f"id=index,src={file}"
