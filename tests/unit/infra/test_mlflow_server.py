"""How MLflow's server is started: nobody unasked, no password in sight."""

from __future__ import annotations

import configparser
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from infra.mlflow.server import (
    ENCRYPTION,
    VARIABLES,
    Server,
    User,
    auth_config,
    command,
    database_uri,
    keep_users,
    read_server,
    variables,
)

_RDS = {
    "username": "mlflow",
    "password": "p/w%",
    "host": "db.internal",
    "port": 5432,
    "dbname": "mlflow",
    "engine": "postgres",
}
_KEPT: dict[str, dict[str, Any]] = {
    "s/database": _RDS,
    **{f"s/{who}": {"username": who, "password": f"{who}'s own"} for who in ("admin", "writer")},
    "s/reader": {"username": "reader", "password": "reader's own"},
}
_ENCRYPTION = "sixty-four characters"
_ENVIRON = {
    "MLOPS_MLFLOW_DATABASE_SECRET": "s/database",
    "MLOPS_MLFLOW_ADMIN_SECRET": "s/admin",
    "MLOPS_MLFLOW_WRITER_SECRET": "s/writer",
    "MLOPS_MLFLOW_READER_SECRET": "s/reader",
    "MLOPS_MLFLOW_ARTIFACTS": "s3://artifacts/mlflow",
    "MLOPS_MLFLOW_HOST": "mlflow.example.com",
}


class Secrets:
    def get_secret_value(self, *, SecretId: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's
        if SecretId == "s/encryption":
            return {"SecretString": _ENCRYPTION}
        return {"SecretString": json.dumps(_KEPT[SecretId])}


class Users:
    """Keeps passwords and who is an administrator, by name."""

    def __init__(self, **known: str) -> None:
        self.passwords: dict[str, str | None] = dict(known)
        self.admins: set[str] = set()

    def has_user(self, username: str) -> bool:
        return username in self.passwords

    def create_user(self, username: str, password: str, is_admin: bool = False) -> None:
        self.passwords[username] = password
        self.admins |= {username} if is_admin else set()

    def update_user(self, username: str, password: str | None = None) -> None:
        self.passwords[username] = password


@pytest.fixture
def server() -> Server:
    return read_server(_ENVIRON, Secrets())


def test_a_server_is_read_from_its_secrets(server: Server) -> None:
    assert server.admin == User("admin", "admin's own")
    assert server.host == "mlflow.example.com"


def test_every_missing_variable_is_named_at_once() -> None:
    with pytest.raises(SystemExit, match=", ".join(VARIABLES.values())):
        read_server({}, Secrets())


def test_the_database_is_entered_with_tls_whatever_its_password_holds() -> None:
    assert database_uri(_RDS) == (
        "postgresql+psycopg2://mlflow:p%2Fw%25@db.internal:5432/mlflow?sslmode=require"
    )


def test_no_argument_holds_a_secret(server: Server) -> None:
    words = " ".join(command(server, address="0.0.0.0", port=5000))
    assert "--app-name basic-auth" in words
    assert not [kept for kept in _KEPT.values() if str(kept["password"]) in words]
    assert "db.internal" not in words


def test_mlflow_reads_the_database_that_was_written_for_it(server: Server) -> None:
    read = configparser.ConfigParser()
    read.read_string(auth_config(server))
    assert read["mlflow"]["database_uri"] == server.database
    assert read["mlflow"]["default_permission"] == "READ"


def test_only_its_own_name_is_answered_to(server: Server) -> None:
    given = variables(server, Path("/tmp/auth.ini"))
    assert given["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mlflow.example.com"


def test_sessions_outlive_a_task_and_not_a_password(server: Server) -> None:
    def key(password: str) -> str:
        changed = Server(**{**vars(server), "admin": User("admin", password)})
        return variables(changed, Path("x"))["MLFLOW_FLASK_SERVER_SECRET_KEY"]

    assert key("one") == key("one") != key("another")


def test_its_users_have_the_passwords_of_their_secrets_and_one_of_them_rights(
    server: Server,
) -> None:
    users = Users(writer="an old one")
    for _ in range(2):
        keep_users(server, users)
    assert users.passwords == {who: f"{who}'s own" for who in ("admin", "writer", "reader")}
    assert users.admins == {"admin"}


def test_nobody_is_told_anything_where_no_key_is_named(server: Server) -> None:
    assert not [name for name in variables(server, Path("x")) if "WEBHOOK" in name]


def test_every_task_keeps_the_keys_of_webhooks_by_the_same_secret_and_posts_by_https_alone() -> (
    None
):
    told = read_server(_ENVIRON | {ENCRYPTION: "s/encryption"}, Secrets())
    given = variables(told, Path("x"))
    key = given["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"a webhook's key")) == b"a webhook's key"
    assert variables(told, Path("y"))["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"] == key
    assert _ENCRYPTION not in key
    assert given["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] == "true"
    assert given["MLFLOW_WEBHOOK_ALLOWED_SCHEMES"] == "https"
