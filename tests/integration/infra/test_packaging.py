"""The package for AWS itself: built for Lambda's platform, not for this machine."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from infra.packaging import package_lambdas
from mlops.errors import JobFailed


def test_compiled_dependencies_are_those_of_lambdas_platform(tmp_path: Path) -> None:
    try:
        package = package_lambdas(env="prod", build=tmp_path)
    except JobFailed as exc:
        pytest.skip(f"needs a reachable package index: {exc}")
    names = zipfile.ZipFile(package.path).namelist()
    compiled = [name for name in names if name.endswith(".so")]
    assert compiled
    assert all("cpython-311-x86_64-linux-gnu" in name for name in compiled)
    assert "infra/lambdas/deploy_model.py" in names
