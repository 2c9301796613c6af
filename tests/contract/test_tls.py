"""Over TLS: real handshakes with the server's own configuration, over HTTP and gRPC."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import httpx
import pytest

from mlops.errors import SettingsError
from serving.inference.settings import PREFIX, InferenceSettings
from serving.settings import load_section
from serving.tls import Tls, client_context
from tests.certificates import Authority, make_authority
from tests.inference_server import inference_server
from tests.serving_examples import build_manifest, build_plan, onnx_model, write_repo


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "authority")


async def fetch(address: str, context: ssl.SSLContext) -> int:
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return (await client.get(f"https://{address}/healthz")).status_code


async def test_who_trusts_the_authority_is_served_and_others_turn_away(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path / "stranger")
    async with inference_server({}, tls=authority.sign("server")) as addresses:
        assert await fetch(addresses.http, client_context(authority.certificate)) == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await fetch(addresses.http, client_context(stranger.certificate))
        async with httpx.AsyncClient(trust_env=False) as plain:
            with pytest.raises(httpx.TransportError):
                await plain.get(f"http://{addresses.http}/healthz")


async def test_old_tls_is_refused(authority: Authority) -> None:
    old = client_context(authority.certificate)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with inference_server({}, tls=authority.sign("server")) as addresses:
        with pytest.raises(httpx.TransportError):
            await fetch(addresses.http, old)


async def test_callers_show_a_certificate_where_one_is_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path / "stranger")
    server = authority.sign("server", clients_ca=authority.certificate)
    async with inference_server({}, tls=server) as addresses:
        known = client_context(authority.certificate, authority.sign("caller"))
        assert await fetch(addresses.http, known) == 200
        for context in (
            client_context(authority.certificate),
            client_context(authority.certificate, stranger.sign("caller")),
        ):
            with pytest.raises(httpx.TransportError):
                await fetch(addresses.http, context)


async def test_grpc_is_served_likewise(authority: Authority, tmp_path: Path) -> None:
    plan, graph = build_plan(write_repo(tmp_path / "repo")), onnx_model()
    server = authority.sign("server", clients_ca=authority.certificate)
    caller = authority.sign("caller")
    trusted = authority.certificate.read_bytes()
    good = grpc.ssl_channel_credentials(
        trusted, caller.key.read_bytes(), caller.certificate.read_bytes()
    )
    async with inference_server({"fraud": (build_manifest(plan, graph), graph)}, tls=server) as at:
        assert await is_live(at.grpc, good)
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await is_live(at.grpc, grpc.ssl_channel_credentials(trusted))


async def is_live(address: str, credentials: grpc.ChannelCredentials) -> bool:
    async with grpc.aio.secure_channel(address, credentials) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        answer: bytes = await ask(b"", timeout=5)
    return answer == b"\x08\x01"


def test_files_that_do_not_do_are_named(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.sign("server"), authority.sign("other")
    for files in (
        Tls(tmp_path / "missing.pem", good.key),
        Tls(good.certificate, other.key),
        Tls(good.certificate, good.key, clients_ca=good.key),
    ):
        with pytest.raises(SettingsError, match=str(files.certificate)):
            files.server_context()


def test_half_of_the_settings_is_refused(authority: Authority) -> None:
    files = authority.sign("server")
    whole = {
        PREFIX + "TLS_CERTIFICATE_FILE": str(files.certificate),
        PREFIX + "TLS_KEY_FILE": str(files.key),
    }
    assert load_section(InferenceSettings, PREFIX, whole).tls == files
    assert load_section(InferenceSettings, PREFIX, {}).tls is None
    for name, file in whole.items():
        with pytest.raises(SettingsError, match="set both or none"):
            load_section(InferenceSettings, PREFIX, {name: file})
