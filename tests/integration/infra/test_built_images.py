"""The images as Docker builds and starts them: what is in them, as whom they run, that they live.

SOAK_IMAGES=1 ('make soak PART=images') runs it where Docker answers; it fetches some hundred
megabytes. The registry and a task's role stay out: containers work on the local AWS beside them.
"""

from __future__ import annotations

import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.stacks.tasks import STOP_SECONDS
from mlops.manifest import MANIFEST, MODEL
from mlops.names import Role
from tests import docker
from tests.contract.sagemaker_requests import until
from tests.dockerfiles import ROOT
from tests.serving_examples import build_manifest, build_plan, onnx_model, write_repo

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

WHY_NOT = (
    docker.missing()
    if os.environ.get("SOAK_IMAGES")
    else "builds images, which takes minutes; SOAK_IMAGES=1 runs it"
)
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

LOCKS = {
    "proxy": "serving",
    "inference": "serving",
    "training": "pipelines",
    "features": "pipelines",
    "mlflow": "mlflow",
}
OURS = {"proxy": {"feast-mlops"}, "inference": {"feast-mlops"}, "features": {"feast-mlops"}}
INSTALLERS = {"training": ["pip"], "features": ["pip"]}
"""What a lock asks for: SageMaker's toolkit installs what a script's folder names."""
MEGABYTES = {"proxy": 850, "inference": 850, "training": 1300, "features": 1300, "mlflow": 900}
PORTS = {"proxy": 8080, "inference": 8081, "mlflow": 5000}
MLFLOW = {
    "MLOPS_MLFLOW_DATABASE_SECRET": {"uri": "sqlite:////tmp/mlflow.db"},
    "MLOPS_MLFLOW_ADMIN_SECRET": {"username": "admin", "password": "of the administrator"},
    "MLOPS_MLFLOW_WRITER_SECRET": {"username": "jobs", "password": "of the jobs' own"},
    "MLOPS_MLFLOW_READER_SECRET": {"username": "reader", "password": "of the readers"},
}
HOSTED = {
    "MLOPS_ENV": "dev",
    "MLOPS_ACCOUNT": "000000000000",
    "MLOPS_REGION": "eu-west-1",
    "MLOPS_INFERENCE_MODEL_DIR": "/opt/ml/model",
    "MLOPS_INFERENCE_MODEL_VERSION": "1",
}
_FACTS = """
import importlib.metadata as m, importlib.util as u, json
print(json.dumps({
    "packages": {d.metadata["Name"]: d.version for d in m.distributions()},
    "installers": [name for name in ("pip", "uv") if u.find_spec(name)],
    "bundled": u.find_spec("ensurepip") is not None,
}))
"""
_TORN = (
    "find /app -name '*.so*' -type f ! -path '*.libs/*' "
    "| xargs -r ldd 2>/dev/null | grep 'not found' || true"
)
_OPEN = "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/dev/*' 2>/dev/null || true"
_TRAIN = """
import json, os, lightgbm, onnxmltools, sagemaker
told = {"user": os.getuid(), "depth": json.loads(os.environ["SM_HPS"])["depth"]}
with open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w") as stream:
    json.dump(told, stream)
"""


@pytest.fixture(scope="module", params=LOCKS)
def image(request: pytest.FixtureRequest) -> str:
    """Each image's name, once it is built."""
    name: str = request.param
    docker.build(name)
    return name


def made(image: str) -> str:
    return docker.build(image)


def facts(image: str, python: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker.run(made(image), python, "-c", _FACTS))
    return found


def test_it_runs_as_a_user_that_is_not_root(image: str) -> None:
    assert docker.run(made(image), "id", "-u").strip() == "10001"


def test_its_user_can_change_nothing_that_runs(image: str) -> None:
    changeable = docker.run(made(image), "sh", "-c", _OPEN).split()
    # /app/.lock is empty: uv's, while it installs.
    allowed = ("/home/mlops", "/tmp", "/var/tmp", "/run/lock", "/opt/ml", "/app/.lock")
    assert [path for path in changeable if not path.startswith(allowed)] == []


def test_it_holds_its_lock_and_nothing_else(image: str) -> None:
    held = facts(image, "python")["packages"]
    assert {canonicalize_name(name): version for name, version in held.items()} == locked(
        image, python=docker.run(made(image), "python", "-V").split()[1]
    ) | {name: held[name] for name in OURS.get(image, ())}


def locked(image: str, *, python: str) -> dict[str, str]:
    """Versions by package, for the image's Python."""
    lines = (ROOT / f"requirements/{LOCKS[image]}.txt").read_text().splitlines()
    pins = [Requirement(line.rstrip(" \\")) for line in lines if line[:1].isalnum()]
    place = {"python_full_version": python, "python_version": "3.11"}
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(place)
    }


def test_every_library_finds_what_it_loads(image: str) -> None:
    assert docker.run(made(image), "sh", "-c", _TORN) == ""


def test_it_has_no_installer_that_its_lock_does_not_ask_for(image: str) -> None:
    assert facts(image, "python")["installers"] == INSTALLERS.get(image, [])


def test_the_bases_own_installer_is_gone(image: str) -> None:
    base = facts(image, "/usr/local/bin/python3")
    assert (base["packages"], base["installers"], base["bundled"]) == ({}, [], False)


def test_it_has_no_compiler(image: str) -> None:
    assert docker.run(made(image), "sh", "-c", "command -v gcc cc ld uv || true") == ""


def test_it_is_no_larger_than_told(image: str) -> None:
    size = json.loads(docker.docker("image", "inspect", made(image)))[0]["Size"] / 1e6
    print(f"{image}: {size:.0f} MB")  # noqa: T201 - 'make soak PART=images' shows it
    assert size < MEGABYTES[image]


@pytest.fixture
def environment(image: str, platform: LocalAws) -> dict[str, str]:
    """What a task is told; the folder of features is the image's own."""
    if image != "mlflow":
        told = platform.environment(Role.SERVING)
        return {name: text for name, text in told.items() if name != "MLOPS_FEATURE_REPO"}
    secrets = platform.client("secretsmanager")
    for variable, secret in MLFLOW.items():
        secrets.create_secret(Name=variable, SecretString=json.dumps(secret))
    given = {variable: variable for variable in MLFLOW}
    bucket = {"MLOPS_MLFLOW_ARTIFACTS": f"s3://{platform.names.artifact_bucket}/mlflow"}
    return platform.environment() | given | bucket | {"MLOPS_MLFLOW_HOST": "mlflow.example.com"}


@pytest.mark.parametrize("image", PORTS, indirect=True)
def test_a_service_becomes_healthy_and_ends_when_told(
    image: str, environment: dict[str, str]
) -> None:
    need_port(PORTS[image])
    with docker.started(made(image), environment=environment) as container:
        container.wait_until_healthy(180)
        assert container.stop(STOP_SECONDS) in (0, 143)


def need_port(port: int) -> None:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError:
            pytest.skip(
                f"port {port}, which the image listens on, is taken; end what listens there"
            )


@pytest.mark.parametrize("image", ["inference"], indirect=True)
def test_inference_serves_a_folder_as_sagemaker_starts_it(image: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder)
    place = ("--network", "none", "--volume", f"{folder}:/opt/ml/model:ro")
    ping = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/ping').status)"
    with docker.started(made(image), "serve", environment=HOSTED, options=place) as container:
        assert until(lambda: container.answer("python", "-c", ping), seconds=60) == "200"


def write_model(folder: Path) -> None:
    """What the archive of a registered version holds."""
    graph = onnx_model()
    manifest = build_manifest(build_plan(write_repo(folder.with_name("repo"))), graph)
    folder.mkdir()
    (folder / MODEL).write_bytes(graph)
    (folder / MANIFEST).write_text(manifest.model_dump_json())


@pytest.mark.parametrize(
    ("image", "commands"),
    [
        ("proxy", {"deploy", "models", "serve"}),
        ("inference", {"deploy", "models", "serve"}),
        ("features", {"data", "datasets", "deploy", "features", "models", "workflows"}),
    ],
    indirect=["image"],
)
def test_it_offers_the_commands_that_it_has(image: str, commands: set[str]) -> None:
    told = docker.run(made(image), "mlops", "--help").partition("Commands:")[2]
    assert {line.split()[0] for line in told.splitlines() if line[:3].strip()} == commands


@pytest.mark.parametrize("image", ["features"], indirect=True)
def test_features_says_what_it_can_do(image: str) -> None:
    assert "upsync" in docker.run(made(image))


@pytest.mark.parametrize("image", ["training"], indirect=True)
def test_training_runs_a_script_as_sagemaker_lays_it_out(image: str, tmp_path: Path) -> None:
    for folder in ("code", "model", "output/data", "input/data", "input/config"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "code/train.py").write_text(_TRAIN)
    script = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/code"}
    hosts = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
    config = {"hyperparameters": script | {"depth": "3"}, "resourceconfig": hosts}
    for name, text in (config | {"inputdataconfig": {}}).items():
        (tmp_path / f"input/config/{name}.json").write_text(json.dumps(text))
    open_to_all(tmp_path)
    docker.docker("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/opt/ml", made(image))
    assert json.loads((tmp_path / "model/told.json").read_text()) == {"user": 10001, "depth": 3}


def open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)


class Index(ThreadingHTTPServer):
    """Has no package, and knows what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Nothing)
        self.asked: list[str] = []


class Nothing(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("last", ["proxy", "training", "mlflow"])
def test_packages_come_from_the_index_that_is_a_secret(last: str, tmp_path: Path) -> None:
    with Index() as index:
        Thread(target=index.serve_forever, daemon=True).start()
        secret = docker.write_secret(tmp_path, f"http://127.0.0.1:{index.server_port}/own")
        with pytest.raises(docker.Failed, match="No matching distribution"):
            docker.build(last, "--no-cache", *secret)
        index.shutdown()
    assert set(index.asked) == {"/own/setuptools/"}
