"""Fixtures that every suite shares: the local AWS, started once per worker."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import boto3

# Before Feast, whose import would make every counter of this process share files with others.
import prometheus_client  # noqa: F401
import pytest
from hypothesis import HealthCheck, settings

from mlops.names import Role

if TYPE_CHECKING:
    from typing import Any

    from infra.local.lifecycle import LocalAws
    from mlops.registry.mlflow_rest import MlflowServer
    from tests.training_site import Site


# A busy machine is no failure; what is slow is measured by 'make bench'.
_PATIENT: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# Half of hypothesis' own number: 'make soak PART=properties' makes thousands.
settings.register_profile("default", **_PATIENT, max_examples=50)
settings.register_profile(
    "soak", **_PATIENT, max_examples=int(os.environ.get("SOAK_CASES", "2000"))
)
settings.load_profile("default")


gc.set_threshold(50_000)  # thousands of tests and modules stay; looking at them takes time


def pytest_collection_finish() -> None:
    """Leave what collecting made out of every later look for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Undo what Feast does to its process.

    It works in boto3's default session, which keeps the credentials of its first use, and when it
    first reads it lets every counter of the process share files with others.
    """
    boto3.DEFAULT_SESSION = None
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers do not get what Feast left in the environment of the process that starts them.

    It reads conftest.py of the folders that it is given, and some of them read Feast.
    """
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


_LONG = ("fraud-workflow", "features-on-athena", "demo", "serving")
"""Groups that take minutes: begun late, one of them would keep a single worker busy at the end."""


@pytest.hookimpl(tryfirst=True)  # before workers note the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, what is short last; each file with servers on one worker.

    What goes from end to end comes after its parts, whose platforms it goes on with.
    """
    for item in items:
        if "unit" not in item.path.parts and item.get_closest_marker("xdist_group") is None:
            place = f"{item.path.parent.name}/{item.path.stem}"
            item.add_marker(pytest.mark.xdist_group(place))
    items.sort(key=_order)


def _order(item: pytest.Item) -> tuple[int, bool, bool]:
    marker, parts = item.get_closest_marker("xdist_group"), item.path.parts
    group = marker.args[0] if marker else ""
    rank = _LONG.index(group) if group in _LONG else len(_LONG)
    return rank, "unit" in parts, "e2e" in parts


class Clients(Protocol):
    """Makes boto3 clients of the local AWS."""

    def __call__(self, service: str, role: Role | None = None) -> Any: ...


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS with nothing in it."""
    from infra.local import lifecycle

    with lifecycle.start(tmp_path_factory.mktemp("local-aws")) as running:
        yield running


@pytest.fixture(scope="session")
def aws(local_aws: LocalAws) -> Clients:
    """boto3 clients of the empty local AWS: `aws("s3")`, `aws("s3", Role.APPROVER)`."""
    return local_aws.client


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server that asks nobody who they are."""
    from tests import mlflow_server

    with mlflow_server.running(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS of its own with the platform deployed, as 'mlops infra deploy' does it.

    At its end, every call that a role made must be among what the role was granted.
    """
    from infra.local import lifecycle
    from tests.recorded_calls import read_calls, uncovered

    with lifecycle.start(tmp_path_factory.mktemp("platform")) as running:
        done = subprocess.run(
            [Path(sys.executable).with_name("mlops"), "infra", "deploy"],
            env=os.environ | running.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield running
        missing = uncovered(read_calls(running.state.root), running.names)
        assert not missing, f"Calls that infra/stacks/permissions.py does not grant: {missing}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform with payments and feature tables: for the tests of the group 'fraud-workflow'."""
    from tests.training_site import open_site

    yield from open_site(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def deployed(site: Site) -> dict[str, Any]:
    """What 'mlops workflows deploy fraud' says on the site."""
    done = site.mlops("workflows", "deploy", "fraud", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def first(site: Site, deployed: dict[str, Any]) -> dict[str, Any]:
    """The first run, which has no approved version to beat."""
    return site.finish("first")
