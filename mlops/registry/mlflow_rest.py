"""Calls to an MLflow tracking server, with the platform's errors."""

from __future__ import annotations

import base64
import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from mlops.aws import Aws, translated
from mlops.errors import Conflict, MlopsError, NotFound, Refused, SettingsError, Unavailable
from mlops.settings import Settings

_API = "/api/2.0/mlflow/"
_TIMEOUT_SECONDS = 30
_SIGNING = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class MlflowServer:
    """A tracking server; authorization: the header's value, empty where it asks for none."""

    url: str
    authorization: str = field(default="", repr=False)

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        return self._call(self._request("GET", f"{path}?{urlencode(query)}"))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send("PATCH", path, body)

    def delete(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send("DELETE", path, body)

    def identity(self) -> str | None:
        """Who the server takes the caller for, as an ARN; None where it asks nobody."""
        try:
            user = self.get("users/current", {})["user"]["username"]
        except NotFound:
            return None
        return f"arn:mlflow:iam::{urlsplit(self.url).hostname}:user/{user}"

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call(self._request(method, path, json.dumps(body).encode()))

    def _request(self, method: str, path: str, data: bytes | None = None) -> Request:
        headers = {"Content-Type": "application/json"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        url = f"{self.url}{_API}{path}"
        return Request(url, data, headers, method=method)  # noqa: S310 - http(s): see open_server

    def _call(self, request: Request) -> dict[str, Any]:
        doing = f"MLflow, {request.get_method()} {urlsplit(request.full_url).path}"
        try:
            with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
                found: dict[str, Any] = json.loads(answer.read() or b"{}")
                return found
        except HTTPError as exc:
            raise _translate(doing, exc) from exc
        except (URLError, TimeoutError, ConnectionError) as exc:
            raise Unavailable(f"{doing}: {exc}. Is the server at {self.url} up?") from exc


def open_server(uri: str, environ: Mapping[str, str]) -> MlflowServer:
    """The server of a tracking URI, with the credentials that MLflow's own clients take.

    Raises SettingsError where the URI names none.
    """
    if urlsplit(uri).scheme not in {"http", "https"}:
        raise SettingsError(
            f"MLOPS_MLFLOW_TRACKING_URI is '{uri}'; a registry in MLflow needs its server, since "
            "approvers ask it who they are. Start 'mlflow server --app-name basic-auth', and name "
            "its http(s) address."
        )
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    user, password = (environ.get(f"MLFLOW_TRACKING_{k}", "") for k in ("USERNAME", "PASSWORD"))
    basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
    authorization = f"Bearer {token}" if token else f"Basic {basic}" if basic else ""
    return MlflowServer(uri.rstrip("/"), authorization)


def sign_in(settings: Settings, aws: Aws, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that MLflow's own clients sign in by: the process's own, or of the secret.

    Raises Refused where the secret may not be read: a person signs in as themselves.
    """
    own = {name: environ[name] for name in _SIGNING if environ.get(name)}
    if own or settings.mlflow_secret is None:
        return own
    secret = settings.mlflow_secret
    with translated(f"Reading secret '{secret}' (or set MLFLOW_TRACKING_USERNAME and _PASSWORD)"):
        answer = aws.client("secretsmanager").get_secret_value(SecretId=secret)
    try:
        user = json.loads(answer["SecretString"])
        return {
            "MLFLOW_TRACKING_USERNAME": str(user["username"]),
            "MLFLOW_TRACKING_PASSWORD": str(user["password"]),
        }
    except (ValueError, KeyError, TypeError) as exc:
        raise SettingsError(
            f"Secret '{secret}' is not JSON with a username and a password. Set it so."
        ) from exc


def os_user() -> str:
    """Who runs this process, as an ARN; by the system's word, not the environment's."""
    return f"arn:mlflow:iam::localhost:user/{pwd.getpwuid(os.getuid()).pw_name}"


def _translate(doing: str, error: HTTPError) -> MlopsError:
    try:
        answer = json.loads(error.read())
        code, message = str(answer.get("error_code", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        code, message = "", error.reason or ""
    text = f"{doing}: {message} ({code or error.code})"
    if code == "RESOURCE_ALREADY_EXISTS":
        return Conflict(text)
    if error.code == 404 or code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound(text)
    if error.code in {401, 403}:
        return Refused(f"{text}. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.")
    if error.code in {429, 502, 503, 504} or code == "TEMPORARILY_UNAVAILABLE":
        return Unavailable(text)
    return MlopsError(text)
