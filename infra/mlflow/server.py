"""Starts MLflow's server: everyone is asked who they are, and one database holds runs and users.

It runs in an image of its own, where nothing of the platform is installed (infra/images/
mlflow.Dockerfile). Passwords come from Secrets Manager and never stand in a command or a file but
one that this user alone can read, below TMPDIR. Safe to start again, and as often as wanted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import boto3

VARIABLES = {
    "database": "MLOPS_MLFLOW_DATABASE_SECRET",
    "admin": "MLOPS_MLFLOW_ADMIN_SECRET",
    "writer": "MLOPS_MLFLOW_WRITER_SECRET",
    "reader": "MLOPS_MLFLOW_READER_SECRET",
    "artifacts": "MLOPS_MLFLOW_ARTIFACTS",
    "host": "MLOPS_MLFLOW_HOST",
}
"""Names of secrets, where artifacts are kept, and by which name callers ask."""
ENCRYPTION = "MLOPS_MLFLOW_ENCRYPTION_SECRET"
"""Name of the secret by which webhooks' keys are kept; unset is without webhooks."""
WORKERS = 2


class Secrets(Protocol):
    """What is used of boto3's Secrets Manager."""

    def get_secret_value(self, *, SecretId: str) -> Mapping[str, Any]: ...  # noqa: N803


class Users(Protocol):
    """What is used of MLflow's own users."""

    def has_user(self, username: str) -> bool: ...

    def create_user(self, username: str, password: str, is_admin: bool = False) -> Any: ...

    def update_user(self, username: str, password: str | None = None) -> Any: ...


@dataclass(frozen=True)
class User:
    """Somebody whom MLflow knows by a password."""

    name: str
    password: str


@dataclass(frozen=True)
class Server:
    """What a server is started with."""

    database: str
    """SQLAlchemy's URI."""
    admin: User
    writer: User
    """Whom jobs sign in as; it owns what it makes, and reads the rest."""
    reader: User
    """Whom the model deployer and Jenkins sign in as."""
    artifacts: str
    host: str
    encryption: str | None = None
    """What the keys of webhooks are encrypted with; None where nobody is told anything."""


def read_server(environ: Mapping[str, str], secrets: Secrets) -> Server:
    """Raises SystemExit naming every variable that is missing."""
    missing = [variable for variable in VARIABLES.values() if not environ.get(variable)]
    if missing:
        raise SystemExit(f"Settings missing: {', '.join(missing)}.")
    given = {name: environ[variable] for name, variable in VARIABLES.items()}
    kept = {
        name: json.loads(secrets.get_secret_value(SecretId=given[name])["SecretString"])
        for name in ("database", "admin", "writer", "reader")
    }
    admin, writer, reader = (
        User(kept[name]["username"], kept[name]["password"])
        for name in ("admin", "writer", "reader")
    )
    return Server(
        database=database_uri(kept["database"]),
        admin=admin,
        writer=writer,
        reader=reader,
        artifacts=given["artifacts"],
        host=given["host"],
        encryption=_read_encryption(environ.get(ENCRYPTION), secrets),
    )


def _read_encryption(name: str | None, secrets: Secrets) -> str | None:
    return secrets.get_secret_value(SecretId=name)["SecretString"] if name else None


def database_uri(secret: Mapping[str, Any]) -> str:
    """Of a database's secret as RDS writes it; one with a `uri` says it itself."""
    if "uri" in secret:
        return str(secret["uri"])
    user, password = quote(secret["username"], safe=""), quote(secret["password"], safe="")
    place = f"{secret['host']}:{secret['port']}/{secret['dbname']}"
    return f"postgresql+psycopg2://{user}:{password}@{place}?sslmode=require"


def auth_config(server: Server) -> str:
    """Who has an account reads everything, and changes what is theirs or was granted to them."""
    database = server.database.replace("%", "%%")  # configparser would interpolate it
    return f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {database}\n"


def variables(server: Server, config: Path) -> dict[str, str]:
    """MLflow's own settings; the session key is the same for every task of the service."""
    key = hashlib.sha256(b"sessions of " + server.admin.password.encode()).hexdigest()
    return {
        "MLFLOW_BACKEND_STORE_URI": server.database,
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_USERNAME": server.admin.name,
        "MLFLOW_AUTH_ADMIN_PASSWORD": server.admin.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key,
        "MLFLOW_SERVER_ALLOWED_HOSTS": server.host,
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"https://{server.host}",
        **_webhooks(server),
    }


def _webhooks(server: Server) -> dict[str, str]:
    """Every task and worker decrypts what another encrypted, so none may make up a key.

    The receiver is inside, where MLflow sends nothing by itself. Only its administrator can say
    where to, only to https, and no route leads to anyone but the network and AWS.
    """
    if server.encryption is None:
        return {}
    digest = hashlib.sha256(b"keys of webhooks " + server.encryption.encode()).digest()
    return {
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(digest).decode(),
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "https",
    }


def command(server: Server, *, address: str, port: int) -> list[str]:
    """The same interpreter's MLflow, without a secret among its arguments."""
    options = {
        "app-name": "basic-auth",
        "host": address,
        "port": str(port),
        "workers": str(WORKERS),
        "artifacts-destination": server.artifacts,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "mlflow", "server", *words]


def keep_users(server: Server, users: Users) -> None:
    """Make the platform's users, or give them the passwords that their secrets hold by now."""
    for user, is_admin in ((server.admin, True), (server.writer, False), (server.reader, False)):
        if users.has_user(user.name):
            users.update_user(user.name, user.password)
        else:
            users.create_user(user.name, user.password, is_admin=is_admin)


def prepare(server: Server) -> None:
    """Bring the database to this release of MLflow, and its users to their secrets."""
    # MLflow reads the environment when it is imported.
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415
    from mlflow.store.db import utils  # noqa: PLC0415

    engine = utils.create_sqlalchemy_engine(server.database)
    utils._safe_initialize_tables(engine)
    utils._upgrade_db(engine)
    users = SqlAlchemyStore()
    users.init_db(server.database)
    keep_users(server, users)


def main() -> None:
    port = int(sys.argv[sys.argv.index("--port") + 1])
    address = sys.argv[sys.argv.index("--host") + 1]
    server = read_server(os.environ, boto3.client("secretsmanager"))
    config = Path(tempfile.mkdtemp()) / "auth.ini"
    config.touch(mode=0o600)
    config.write_text(auth_config(server), encoding="utf-8")
    os.environ |= variables(server, config)
    prepare(server)
    os.chdir(config.parent)
    words = command(server, address=address, port=port)
    os.execv(words[0], words)  # noqa: S606 - our own interpreter, and no shell


if __name__ == "__main__":
    main()
