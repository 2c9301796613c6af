"""IAM tokens are signed requests."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from mlops.errors import SettingsError
from mlops.stores.redis.iam import IamCredentials


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def credentials(time: Time) -> IamCredentials:
    session = boto3.Session("AKIDEXAMPLE", "secret", "session+token", region_name="eu-west-1")
    return IamCredentials(session, "app", "online-group", now=time)


class TestIam:
    def test_the_password_is_a_signed_request_without_its_scheme(self) -> None:
        user, token = credentials(Time()).get_credentials()
        assert user == "app"
        assert token.startswith("online-group/?")
        query = {name: values[0] for name, values in parse_qs(urlsplit(token).query).items()}
        assert query["Action"] == "connect"
        assert query["User"] == "app"
        assert query["X-Amz-Expires"] == "900"
        assert query["X-Amz-Security-Token"] == "session+token"
        assert "/eu-west-1/elasticache/aws4_request" in query["X-Amz-Credential"]
        assert len(query["X-Amz-Signature"]) == 64

    async def test_a_token_serves_again_until_it_is_ten_minutes_old(self) -> None:
        time = Time()
        provider = credentials(time)
        signed: list[str] = []
        provider._sign = lambda: signed.append("x") or f"token{len(signed)}"  # type: ignore[method-assign, func-returns-value]
        found = []
        for time.seconds in (0, 599, 601):
            found.append((await provider.get_credentials_async())[1])
        assert found == ["token1", "token1", "token2"]

    def test_without_a_region_there_is_no_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE"):
            monkeypatch.delenv(name, raising=False)
        provider = IamCredentials(boto3.Session("a", "b"), "app", "online-group")
        with pytest.raises(SettingsError, match=r"'online-group'.*AWS_REGION"):
            provider.get_credentials()

    def test_the_token_is_not_shown(self) -> None:
        provider = credentials(Time())
        _, token = provider.get_credentials()
        assert token not in repr(provider)
