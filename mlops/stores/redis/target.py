"""Where Redis is and how to get in, from one URL.

    redis[s]://[user[:password]@]host[:port][/db][?option=value&…]

User and password are percent-encoded, so that they may hold any character. `rediss` is TLS with a
checked certificate. Options:
    ssl_ca_certs=FILE     the authorities to trust, in place of the system's
    cluster=true          a Redis in cluster mode; host and port are of any node
    replica=HOST:PORT     read from there, and from the primary where it does not answer
    replica=any           in cluster mode: read from a slot's replicas, too
    iam=NAME              ElastiCache IAM authentication for the replication group NAME
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from mlops.errors import SettingsError

_OPTIONS = ("ssl_ca_certs", "cluster", "replica", "iam")


@dataclass(frozen=True)
class RedisTarget:
    """One Redis, as a client reaches it."""

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    ca_certs: str | None = None
    is_cluster: bool = False
    replica: str | None = None
    """'host:port', or 'any' in cluster mode."""
    iam: str | None = None

    @property
    def address(self) -> str:
        """'host:port' for messages: never the user or the password."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """This target as a URL, the password included."""
        user = quote(self.username or "", safe="")
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        access = f"{user}{secret}@" if user or secret else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = {
            "ssl_ca_certs": self.ca_certs,
            "cluster": "true" if self.is_cluster else None,
            "replica": self.replica,
            "iam": self.iam,
        }
        query = urlencode({name: value for name, value in options.items() if value})
        scheme = "rediss" if self.is_tls else "redis"
        return f"{scheme}://{access}{host}:{self.port}/{self.db}{'?' if query else ''}{query}"


def parse_target(url: str, password: str | None = None) -> RedisTarget:
    """A target from its URL; `password` is used where the URL has none.

    Raises SettingsError, without the password, where the URL is wrong or contradicts itself.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        db = int(parts.path.strip("/") or 0)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as exc:
        raise SettingsError(f"The Redis URL is wrong: {exc}. {_FORM}") from exc
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise SettingsError(f"The Redis URL names no redis:// or rediss:// host. {_FORM}")
    given = unquote(parts.password) if parts.password else None
    target = RedisTarget(
        host=parts.hostname,
        port=port,
        db=db,
        username=unquote(parts.username) if parts.username else None,
        password=None if "iam" in options else given or password or None,
        is_tls=parts.scheme == "rediss",
        ca_certs=options.get("ssl_ca_certs"),
        is_cluster=options.get("cluster", "false") == "true",
        replica=options.get("replica"),
        iam=options.get("iam"),
    )
    faults = _faults(target, options)
    if faults:
        raise SettingsError(f"The Redis URL for {target.address} is wrong: {'; '.join(faults)}.")
    return target


_FORM = "It is redis[s]://[user[:password]@]host[:port][/db][?option=value]."


def _faults(target: RedisTarget, options: Mapping[str, str]) -> list[str]:
    unknown = sorted(set(options) - set(_OPTIONS))
    host, _, port = (target.replica or "").rpartition(":")
    checks = [
        (bool(unknown), f"unknown options {', '.join(unknown)} (there are {', '.join(_OPTIONS)})"),
        (options.get("cluster", "false") not in ("true", "false"), "cluster is true or false"),
        (target.is_cluster and target.db != 0, "a cluster has no database but 0"),
        (target.is_cluster and target.replica not in (None, "any"), "a cluster's replica is 'any'"),
        (
            not target.is_cluster and target.replica is not None and not (host and port.isdigit()),
            "replica is host:port",
        ),
        (target.iam is not None and not target.is_tls, "IAM authentication needs rediss://"),
        (target.iam is not None and not target.username, "IAM authentication needs a user"),
        (target.ca_certs is not None and not target.is_tls, "ssl_ca_certs needs rediss://"),
    ]
    return [message for is_wrong, message in checks if is_wrong]
