"""The Lambdas' package: the same bytes each time, and nothing in it that does not belong."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra import packaging
from infra.packaging import Package, locked, package_lambdas, sources
from mlops.errors import SettingsError

RUNTIME_BRINGS = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return package_lambdas(env="local", build=tmp_path_factory.mktemp("build"))


def test_the_same_sources_give_the_same_bytes(package: Package, tmp_path: Path) -> None:
    again = package_lambdas(env="local", build=tmp_path)
    assert again.digest == package.digest
    assert again.path.read_bytes() == package.path.read_bytes()


def test_an_unchanged_package_is_not_built_again(package: Package) -> None:
    before = package.path.stat().st_mtime_ns
    package_lambdas(env="local", build=package.path.parents[1])
    assert package.path.stat().st_mtime_ns == before


def test_a_changed_source_changes_the_key(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "names.py"
    changed.write_text("# changed\n")
    files = sources() | {"mlops/names.py": changed}
    monkeypatch.setattr(packaging, "sources", lambda: files)
    assert package_lambdas(env="local", build=tmp_path).key != package.key


def test_the_package_holds_handlers_kernel_and_locked_dependencies(package: Package) -> None:
    names = zipfile.ZipFile(package.path).namelist()
    assert names == sorted(names)
    for wanted in (
        "infra/lambdas/deploy_workflow.py",
        "infra/lambdas/deploy_model.py",
        "mlops/settings.py",
        "pydantic/__init__.py",
    ):
        assert wanted in names


def test_the_package_leaves_out_commands_caches_and_what_the_runtime_brings(
    package: Package,
) -> None:
    names = zipfile.ZipFile(package.path).namelist()
    tops = {name.split("/")[0] for name in names}
    assert not tops & set(RUNTIME_BRINGS)
    assert not [name for name in names if "__pycache__" in name or name.startswith("mlops/cli/")]
    assert not [name for name in names if name.startswith(("infra/stacks/", "infra/local/"))]


@pytest.mark.parametrize(
    "handler", ["deploy_workflow", "deploy_model", "notify_slack", "receive_webhook"]
)
def test_a_handler_loads_with_nothing_but_the_package_and_boto3(
    package: Package, tmp_path: Path, handler: str
) -> None:
    code, runtime = tmp_path / "code", tmp_path / "runtime"
    zipfile.ZipFile(package.path).extractall(code)
    runtime.mkdir()
    for name in RUNTIME_BRINGS:
        _link(name, runtime)
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"from infra.lambdas.{handler} import handler"],
        env={"PYTHONPATH": f"{code}{os.pathsep}{runtime}", "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _link(name: str, folder: Path) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    target = origin.parent if origin.name == "__init__.py" else origin
    (folder / target.name).symlink_to(target)


def test_an_environment_that_differs_from_the_lock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "locked", lambda: {"pydantic": "0.0.1"})
    with pytest.raises(SettingsError, match=r"pydantic .* pins 0\.0\.1.*make setup"):
        package_lambdas(env="local", build=tmp_path)


def test_the_lock_pins_what_the_kernel_needs() -> None:
    assert {"pydantic", "pydantic-core"} <= set(locked())
