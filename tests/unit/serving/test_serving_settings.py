"""Settings of the services: read once, and every problem told at once."""

from __future__ import annotations

import socket

import pytest

from mlops.errors import Conflict, InputError, SettingsError
from serving.proxy.settings import PREFIX, ProxySettings
from serving.server import bind
from serving.settings import load_process_settings

COMPLETE = {
    "MLOPS_ENV": "local",
    "MLOPS_ACCOUNT": "0" * 12,
    "MLOPS_REGION": "ap-northeast-2",
    "MLOPS_REDIS_URL": "redis://127.0.0.1:6379/0",
}


def test_a_section_has_defaults_for_all_that_it_needs() -> None:
    settings, section = load_process_settings(ProxySettings, PREFIX, COMPLETE, needs_redis=True)
    assert settings.env == "local"
    assert section.inference_url == "http://127.0.0.1:8081"


def test_values_come_from_the_sections_own_variables() -> None:
    environ = COMPLETE | {"MLOPS_PROXY_MAX_INSTANCES": "7"}
    _, section = load_process_settings(ProxySettings, PREFIX, environ)
    assert section.max_instances == 7


def test_everything_missing_or_wrong_is_told_at_once() -> None:
    environ = {
        "MLOPS_ENV": "local",
        "MLOPS_PROXY_PORT": "none",
        "MLOPS_PROXY_INFERENCE_URL": "http://x/path",
    }
    with pytest.raises(SettingsError) as refused:
        load_process_settings(ProxySettings, PREFIX, environ, needs_redis=True)
    for name in ("ACCOUNT", "REGION", "REDIS_URL", "PROXY_PORT", "PROXY_INFERENCE_URL"):
        assert f"MLOPS_{name}" in str(refused.value)


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Conflict, match=r"in use.*--port or MLOPS_PROXY_PORT"):
            bind("127.0.0.1", taken.getsockname()[1], setting="MLOPS_PROXY_PORT")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=host):
        bind(host, 0, setting="MLOPS_PROXY_PORT")
