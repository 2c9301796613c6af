"""A repository that is pushed to, and the build of main that a push starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.jenkins_pipeline import parse

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("feature_repo", "infra", "mlops", "pipelines", "requirements", "serving")
_FILES = ("Jenkinsfile", "Makefile", "pyproject.toml")
_WHO = {
    f"GIT_{part}_{what}": value
    for part in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "dana"), ("EMAIL", "dana@example.com"))
}


def git(folder: Path, *arguments: str) -> str:
    """Without what this machine's owner configured for git."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull} | _WHO
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Clone:
    """A data scientist's working copy of a bare repository that holds this one's code."""

    folder: Path
    bare: Path

    @classmethod
    def begin(cls, place: Path) -> Clone:
        clone = cls(place / "clone", place / "origin.git")
        clone.folder.mkdir(parents=True)
        skip = shutil.ignore_patterns("__pycache__")
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, clone.folder / name, ignore=skip)
        for name in _FILES:
            shutil.copy(ROOT / name, clone.folder / name)
        git(place, "init", "--quiet", "--bare", "--initial-branch=main", str(clone.bare))
        git(clone.folder, "init", "--quiet", "--initial-branch=main")
        git(clone.folder, "remote", "add", "origin", str(clone.bare))
        clone.push("Begin")
        return clone

    def edit(self, name: str, changes: Mapping[str, str]) -> None:
        """Put new text in the place of old."""
        path = self.folder / name
        text = path.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"{name} has {text.count(old)} times: {old}"
            text = text.replace(old, new)
        path.write_text(text)

    def push(self, message: str) -> str:
        """Commit all and push it; the commit's name."""
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", message)
        git(self.folder, "push", "--quiet", "origin", "main")
        return git(self.folder, "rev-parse", "HEAD")


@dataclass(frozen=True)
class Build:
    """What Jenkins does with the head of main: its steps, in a checkout of their own."""

    checkout: Path
    environment: Mapping[str, str]

    @classmethod
    def check_out(cls, bare: Path, folder: Path, environment: Mapping[str, str]) -> Build:
        """environment: Jenkins' own on the environment that is deployed to."""
        git(bare.parent, "clone", "--quiet", "--branch=main", str(bare), str(folder))
        (folder / "build" / "plan").mkdir(parents=True)
        for cache in ("cdk", "lambda"):  # what an agent keeps from build to build
            (ROOT / "build" / cache).mkdir(parents=True, exist_ok=True)
            (folder / "build" / cache).symlink_to(ROOT / "build" / cache)
        own = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),  # 'make setup' installs the checkout
            "MLOPS_FEATURE_REPO": str(folder / "feature_repo"),
            "BUILD_NUMBER": "7",
        }
        return cls(folder, os.environ | dict(environment) | own)

    @property
    def commit(self) -> str:
        return git(self.checkout, "rev-parse", "HEAD")

    def steps(self) -> Iterator[str]:
        """The shell steps of main that change the environment, as the pushed Jenkinsfile has it."""
        stages = parse((self.checkout / "Jenkinsfile").read_text()).one("pipeline").one("stages")
        changing = [one for one in stages.children if one.arguments[0] in {"Deploy", "Run"}]
        assert len(changing) == 2
        for stage in changing:
            for step in stage.one("steps").all("sh"):
                yield step.arguments[0].replace('\\"', '"')

    def walk(
        self, *, leaves_out: Callable[[str], bool], narrowed: Mapping[str, str]
    ) -> dict[str, str]:
        """Run every step but some; what each printed. The first that fails ends it.

        narrowed: words of the steps, and what stands in their place.
        """
        (self.checkout / "build" / "environment.sh").touch()
        walked = [step for step in self.steps() if not leaves_out(step)]
        for wide, narrow in narrowed.items():
            walked = [step.replace(wide, narrow) for step in walked]
        return {step: self.run(step) for step in walked}

    def run(self, step: str) -> str:
        """What a step prints; it must not fail."""
        began = time.monotonic()
        done = subprocess.run(
            ["sh", "-xe", "-c", step],
            cwd=self.checkout,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
        sys.stdout.write(f"{time.monotonic() - began:5.1f} s  {step}\n")
        return done.stdout
