"""The services' image without Docker: its build's steps in a folder, its commands started.

Emulated: the base image is this Python, the file system a folder, the user whoever runs this. Where
Docker builds, test_built_images.py says it of the images themselves, and this is left out.
SOAK_IMAGES=1 ('make soak PART=images') runs it: it fetches some hundred megabytes.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops.names import Role
from tests import docker
from tests.dockerfiles import FILES, ROOT, Stage, inherited, parse

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("SOAK_IMAGES"),
        reason="fetches an image's packages; SOAK_IMAGES=1 runs it",
    ),
    pytest.mark.skipif(
        "SOAK_IMAGES" in os.environ and docker.missing() is None,
        reason="emulates what Docker, which answers here, does in test_built_images.py",
    ),
]
PLACES = ("/app", "/build", "/tools")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage of the services makes."""
    root = tmp_path_factory.mktemp("image")
    for place in PLACES:
        (root / place.strip("/")).mkdir()
    run_build(parse(FILES["serving"].read_text())[1]["build"], root)
    return root


def run_build(stage: Stage, root: Path) -> None:
    """COPY from the repository and RUN in a shell, below a folder in place of /."""
    work = root / "build"
    for one in stage.instructions:
        if one.kind == "COPY":
            *sources, target = one.words
            for source in sources:
                copy(ROOT / source, Path(moved(target, root)), work, many=target.endswith("/"))
        elif one.kind == "RUN":
            command = one.text
            while command.startswith("--"):
                command = command.partition(" ")[2].lstrip()
            subprocess.run(
                ["bash", "-ec", moved(command, root)],
                cwd=work,
                check=True,
                env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )


def copy(source: Path, target: Path, work: Path, *, many: bool) -> None:
    place = work / target
    place = place / source.name if many else place
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place)
    else:
        shutil.copyfile(source, place)


def moved(text: str, root: Path) -> str:
    for place in PLACES:
        text = text.replace(f"{place}/", f"{root}{place}/").replace(f"{place} ", f"{root}{place} ")
        text = f"{root}{text}" if text == place else text
        text = text[: -len(place)] + f"{root}{place}" if text.endswith(f" {place}") else text
    return text


@pytest.mark.parametrize("image", ["proxy", "inference"])
def test_the_command_starts_and_its_health_check_passes(
    built: Path, image: str, platform: LocalAws
) -> None:
    stages = parse(FILES["serving"].read_text())[1]
    whole = inherited(stages[image], stages)
    command = [one for one in whole if one.kind == "CMD"][-1].words
    health = [one for one in whole if one.kind == "HEALTHCHECK"][-1].text
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    usual = command[-1]
    environment = platform.environment(Role.SERVING) | {
        "PATH": f"{built}/app/bin:/usr/bin:/bin",
        "HOME": str(built),
        "MLOPS_FEATURE_REPO": f"{built}/app/feature_repo",
    }
    started = subprocess.Popen(
        [f"{built}/app/bin/{command[0]}", *command[1:-1], port], env=environment, cwd=built
    )
    try:
        check = health.partition("CMD ")[2].replace(usual, port)
        words = parse(f"FROM x AS y\nCMD {check}")[1]["y"].instructions[0].words
        assert healthy(words, environment, started)
    finally:
        started.terminate()
        started.wait(30)


def healthy(
    check: list[str], environment: dict[str, str], started: subprocess.Popen[bytes]
) -> bool:
    """As Docker asks: now and then, until it answers."""
    for _ in range(60):
        done = subprocess.run(check, env=environment, capture_output=True, check=False)
        if done.returncode == 0 or started.poll() is not None:
            return done.returncode == 0
        time.sleep(0.5)
    return False


def test_the_image_offers_the_commands_that_it_has(built: Path) -> None:
    told = subprocess.run(
        [f"{built}/app/bin/mlops", "--help"], capture_output=True, text=True, check=True, cwd=built
    ).stdout
    offered = {line.split()[0] for line in told.partition("Commands:")[2].splitlines() if line}
    assert offered == {"deploy", "models", "serve"}


def test_the_image_has_no_installer(built: Path) -> None:
    assert not (built / "app/bin/pip").exists()
    assert not list((built / "app/lib").glob("*/site-packages/pip"))
