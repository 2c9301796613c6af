"""`rediss://` is TLS with a checked certificate; redis-server's own TLS is left out of this build,
so a relay ends it here as ElastiCache would."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from mlops.errors import Unavailable
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.reading import RedisFeatures
from mlops.stores.redis.target import parse_target


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    running = local_redis.start(folder, log=folder / "log")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@asynccontextmanager
async def relay(server: RedisServer, certificate: Path) -> AsyncIterator[int]:
    """Ends TLS and passes everything on; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(
            pass_on(reader, there[1]), pass_on(there[0], writer), return_exceptions=True
        )

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def store_at(url: str, password: str) -> RedisFeatures:
    return RedisFeatures(open_async_link(parse_target(url, password)))


async def test_a_certificate_of_a_known_authority_is_accepted(
    server: RedisServer, certificate: Path
) -> None:
    async with relay(server, certificate) as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        store = store_at(url, server.password)
        await store.ping()
        await store.close()


async def test_an_iam_token_gets_in_as_the_users_password(
    server: RedisServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is told the token here, which ElastiCache works out by itself."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    async with relay(server, certificate) as port:
        options = f"ssl_ca_certs={certificate}&iam=online-group"
        target = parse_target(f"rediss://app@127.0.0.1:{port}/0?{options}")
        link: Any = open_async_link(target)
        with pytest.raises(Unavailable, match="invalid username-password"):
            await link.command("PING")
        provider = link.client.connection_pool.connection_kwargs["credential_provider"]
        user, token = provider.get_credentials()
        with redis.Redis(port=server.port, password=server.password) as admin:
            admin.acl_setuser(user, enabled=True, passwords=[f"+{token}"], commands=["+@all"])
        assert await link.command("ACL", "WHOAMI") == b"app"
        await link.close()


async def test_an_unknown_certificate_is_refused(server: RedisServer, certificate: Path) -> None:
    async with relay(server, certificate) as port:
        store = store_at(f"rediss://127.0.0.1:{port}/0", server.password)
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            await store.ping()
        await store.close()
