"""The Lambdas' package: the kernel, the handlers and their locked dependencies, as one zip.

The same sources and locks give the same bytes, on any machine and whenever it is built.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from infra.synth import BUILD, ROOT, alone, settle
from mlops.errors import JobFailed, SettingsError

LOCK = ROOT / "requirements" / "lambda.txt"
RUNTIME = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
_SOURCES = ("infra/__init__.py", "infra/lambdas/**/*.py", "mlops/**/*.py")
_NOT_IN_LAMBDA = ("mlops/cli/", "mlops/feast.py", "mlops/stores/", "mlops/registry/cli.py")
"""Commands, and what needs Feast: their packages are not in the zip."""
_UNSTABLE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """A zip, named by what is in it."""

    path: Path
    digest: str

    @property
    def key(self) -> str:
        """Where it lies in the assets bucket."""
        return f"lambdas/{self.digest}.zip"


Files = dict[str, Path]
"""The package's files by their name in the zip."""


def package_lambdas(*, env: str, build: Path = BUILD) -> Package:
    """Build the zip, or find it under `build` when nothing has changed.

    The local AWS runs Lambdas with this interpreter, so there the dependencies are this
    environment's own; on AWS they are the wheels of Lambda's platform.
    Raises JobFailed when dependencies cannot be had.
    """
    target = _this_machine() if env == "local" else f"{PLATFORM}-py{RUNTIME}"
    digest = _digest(target)
    path = build / "lambda" / f"{digest}.zip"
    if not path.exists():
        with alone(path):
            if not path.exists():
                dependencies = _installed() if env == "local" else _downloaded(build / "lambda")
                _write(path, {**dependencies, **sources()})
    return Package(path, digest)


def sources() -> Files:
    """Our own modules, by their path in the zip."""
    found = (path for pattern in _SOURCES for path in ROOT.glob(pattern))
    named = {path.relative_to(ROOT).as_posix(): path for path in found}
    return {name: named[name] for name in sorted(named) if not name.startswith(_NOT_IN_LAMBDA)}


def locked(lock: Path = LOCK) -> dict[str, str]:
    """The versions that the lock pins, by package."""
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\;]+)", lock.read_text(encoding="utf-8"), re.M)
    return dict(pins)


def _digest(target: str) -> str:
    digest = hashlib.sha256(f"{target}\0".encode() + LOCK.read_bytes())
    for name, path in sources().items():
        digest.update(f"\0{name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _this_machine() -> str:
    return f"{sysconfig.get_platform()}-py{sysconfig.get_python_version()}"


def _installed() -> Files:
    """The locked packages' files in this environment. Raises SettingsError when they differ."""
    files: Files = {}
    for name, wanted in locked().items():
        try:
            package = distribution(name)
        except PackageNotFoundError as exc:
            raise SettingsError(f"{name} {wanted} is not installed. Run 'make setup'.") from exc
        if package.version != wanted:
            raise SettingsError(
                f"{name} {package.version} is installed, but requirements/lambda.txt pins "
                f"{wanted}. Run 'make setup'."
            )
        found = {file.as_posix(): Path(str(file.locate())) for file in package.files or ()}
        files.update({key: path for key, path in found.items() if _belongs(key)})
    return files


def _downloaded(build: Path) -> Files:
    """The locked wheels of Lambda's platform, installed once under `build`."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:20]
    home = build / f"packages-{lock}"
    if not home.exists():
        build.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=build) as aside:
            made = Path(aside) / "packages"
            _install(made)
            settle(made, home)
    found = (path for path in home.rglob("*") if path.is_file())
    named = {path.relative_to(home).as_posix(): path for path in found}
    return {name: path for name, path in named.items() if _belongs(name)}


def _install(target: Path) -> None:
    done = subprocess.run(  # noqa: S603 -- uv of this environment, arguments of this module
        [
            *(
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--system-certs",
                "--target",
                str(target),
            ),
            *("--python-platform", PLATFORM, "--python-version", RUNTIME),
            *("--only-binary", ":all:", "--no-deps", "--require-hashes", "-r", str(LOCK)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise JobFailed(
            f"The Lambdas' dependencies cannot be installed:\n{done.stderr.strip()}\n"
            "Check that the package index is reachable (UV_INDEX_URL)."
        )


def _belongs(name: str) -> bool:
    """Leaves out caches, scripts and what an installer writes about itself."""
    parts = name.split("/")
    return (
        "__pycache__" not in parts
        and ".." not in parts
        and parts[0] != "bin"
        and parts[-1] not in _UNSTABLE
        and not parts[-1].startswith(".")
    )


def _write(path: Path, files: Files) -> None:
    """Names sorted, times fixed; moved into place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as aside:
        made = Path(aside) / "package.zip"
        with zipfile.ZipFile(made, "w") as package:
            for entry, content in _entries(files):
                package.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
        made.replace(path)


def _entries(files: Files) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    for name in sorted(files):
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
        yield entry, files[name].read_bytes()
