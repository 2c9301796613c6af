"""A platform of its own with simulated payments, built features and applied definitions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.lifecycle import LocalAws, start
from mlops.aws import Aws
from mlops.names import Role
from mlops.settings import Settings, load_settings
from pipelines.data.simulator import World, write
from tests.commands import mlops
from tests.recorded_calls import read_calls, uncovered

WORLD = World(customers=60, terminals=400, days=130, seed=5)
"""From 2025-01-01: more days than Athena writes partitions in one statement."""


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Workplace:
    """A local AWS, and the `mlops` command as Jenkins runs it there."""

    local: LocalAws
    payments: Path

    @property
    def settings(self) -> Settings:
        return load_settings(self.local.environment(Role.JENKINS))

    @property
    def aws(self) -> Aws:
        return Aws(self.local.session(Role.JENKINS))

    def run(self, *arguments: str, **changes: str) -> Finished:
        """The command, with its exit code; in this process, since loading Feast takes seconds."""
        done = mlops(*arguments, environment={"MLOPS_CLOCK": "system"} | changes)
        return Finished(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, **changes: str) -> Any:
        done = self.run(*arguments, "--json", **changes)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="package")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """Deployed, without payments; every call of a role must be one that it was granted."""
    folder = tmp_path_factory.mktemp("features")
    payments = folder / "simulated.parquet"
    write(WORLD, payments)
    with start(folder / "state") as local:
        place = Workplace(local, payments)
        done = subprocess.run(
            [Path(sys.executable).with_name("mlops"), "infra", "deploy"],
            env=os.environ | local.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with pytest.MonkeyPatch.context() as patch:
            # Feast makes its own AWS clients, from the environment of the process.
            for name, value in local.environment(Role.JENKINS).items():
                patch.setenv(name, value)
            yield place
        missing = uncovered(read_calls(local.state.root), local.names)
        assert not missing, f"Calls that infra/stacks/permissions.py does not grant: {missing}"


@dataclass(frozen=True)
class Built:
    """The workplace after the first import, build and apply, with what each said."""

    place: Workplace
    imported: Any
    builds: Any
    applied: Any


@pytest.fixture(scope="package")
def built(empty: Workplace) -> Built:
    return Built(
        empty,
        imported=empty.json("data", "import", str(empty.payments)),
        builds=empty.json("features", "build"),
        applied=empty.json("features", "apply"),
    )
