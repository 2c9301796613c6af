"""Who decides is who AWS or the MLflow server takes the caller for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mlops.aws import Aws
from mlops.errors import Refused, SettingsError
from mlops.registry.files import FileRecords
from mlops.registry.mlflow import MlflowRegistry
from mlops.registry.opening import identify, open_records, open_registry
from mlops.settings import Settings

_USERS = {"ann": "secret"}


class _MlflowAuth(BaseHTTPRequestHandler):
    """Answers GET users/current as MLflow's basic-auth application does."""

    def do_GET(self) -> None:
        _, _, encoded = self.headers.get("Authorization", "").partition(" ")
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        known = _USERS.get(name) == password
        self.send_response(200 if known else 401)
        self.end_headers()
        answer = {"user": {"id": 2, "username": name, "is_admin": False}, "is_basic_auth": True}
        self.wfile.write(json.dumps(answer).encode() if known else b"You are not authenticated.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


class _MlflowWithoutAuth(_MlflowAuth):
    def do_GET(self) -> None:
        self.send_error(404)


@pytest.fixture(params=[_MlflowAuth])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), request.param) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _settings(uri: str, **changed: str) -> Settings:
    values = {"env": "dev", "account": "111122223333", "region": "ap-northeast-2"}
    return Settings.model_validate(
        values | {"registry": "mlflow", "mlflow_tracking_uri": uri} | changed
    )


def test_mlflow_says_who_the_caller_is(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert identify(_settings(address), Aws()) == "arn:mlflow:iam::127.0.0.1:user/ann"


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_name_without_its_password_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    with pytest.raises(Refused, match="MLFLOW_TRACKING_PASSWORD"):
        identify(_settings(address), Aws())


@pytest.mark.parametrize("address", [_MlflowWithoutAuth], indirect=True)
def test_a_server_that_asks_nobody_lets_nobody_decide_but_locally(address: str) -> None:
    with pytest.raises(Refused, match="--app-name basic-auth"):
        identify(_settings(address), Aws())
    assert identify(_settings(address, env="local"), Aws()).startswith("arn:mlflow:iam::localhost")


def test_a_database_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs its server"):
        open_registry(_settings(f"sqlite:///{tmp_path}/mlflow.db"), Aws())


def test_the_settings_choose_registry_and_record(tmp_path: Path, address: str) -> None:
    settings = _settings(address, records=f"file://{tmp_path}")
    assert isinstance(open_registry(settings, Aws()), MlflowRegistry)
    assert isinstance(open_records(settings, Aws()), FileRecords)


class _Vault(Aws):
    """An AWS whose Secrets Manager holds one text under every name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def client(self, service: str) -> Any:
        assert service == "secretsmanager"
        return self

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3's
        return {"SecretString": self._text}


_VAULT = _Vault(json.dumps({"username": "ann", "password": "secret"}))


def test_a_process_signs_in_by_the_secret_that_its_settings_name(address: str) -> None:
    settings = _settings(address, mlflow_secret="mlops-dev/mlflow-reader")
    assert identify(settings, _VAULT).endswith(":user/ann")


def test_a_person_s_own_name_comes_before_the_secret(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    with pytest.raises(Refused):
        identify(_settings(address, mlflow_secret="mlops-dev/mlflow-reader"), _VAULT)


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"username": "ann"}'])
def test_a_secret_that_is_no_user_is_named(address: str, text: str) -> None:
    settings = _settings(address, mlflow_secret="mlops-dev/mlflow-reader")
    with pytest.raises(SettingsError, match=r"mlops-dev/mlflow-reader.*password"):
        identify(settings, _Vault(text))
