"""ElastiCache IAM authentication: a signed request is the user's password for 15 minutes.

Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from redis.credentials import CredentialProvider

from mlops.errors import SettingsError

_LIFE_SECONDS = 900
_RENEW_SECONDS = 600
"""A token is checked when a connection is made; one that is nearly over may come too late."""


@dataclass
class IamCredentials(CredentialProvider):
    """User and token for each new connection; a token is used again while it is fresh."""

    session: Any
    """A boto3 session; its identity needs elasticache:Connect on the user and the group."""
    username: str
    cache: str
    now: Callable[[], float] = time.monotonic
    _token: tuple[float, str] | None = field(default=None, repr=False)

    def get_credentials(self) -> tuple[str, str]:
        if self._token is None or self.now() - self._token[0] > _RENEW_SECONDS:
            self._token = self.now(), self._sign()
        return self.username, self._token[1]

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()

    def _sign(self) -> str:
        credentials, region = self.session.get_credentials(), self.session.region_name
        if credentials is None or not region:
            raise SettingsError(
                f"ElastiCache '{self.cache}' takes IAM authentication, but there are no AWS "
                "credentials or no region. Set AWS_REGION and a role or a profile."
            )
        query = urlencode({"Action": "connect", "User": self.username})
        request = AWSRequest(method="GET", url=f"http://{self.cache}/?{query}")
        frozen = credentials.get_frozen_credentials()
        SigV4QueryAuth(frozen, "elasticache", region, expires=_LIFE_SECONDS).add_auth(request)
        url: str = request.prepare().url
        return url.removeprefix("http://")
