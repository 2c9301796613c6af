"""What the settings say of callers: a provider's tokens, whole or not at all, and rates."""

from __future__ import annotations

import pytest

from mlops.clock import FixedClock
from mlops.errors import SettingsError
from serving.errors import RateLimited, Unauthenticated
from serving.proxy.compose import build_doorkeeper
from serving.proxy.keys import ApiKeys
from serving.proxy.settings import PREFIX, ProxySettings
from serving.settings import load_section
from tests.serving_examples import NOW
from tests.serving_processes import MemoryKeys

PROVIDER = {
    "OIDC_ISSUER": "https://id.example",
    "OIDC_AUDIENCE": "mlops-proxy",
    "OIDC_JWKS_URL": "https://id.example/keys",
}


def load(**given: str) -> ProxySettings:
    return load_section(
        ProxySettings, PREFIX, {PREFIX + name: text for name, text in given.items()}
    )


@pytest.mark.parametrize("missing", PROVIDER)
def test_half_a_provider_is_refused(missing: str) -> None:
    with pytest.raises(SettingsError, match="belong together"):
        load(**{name: text for name, text in PROVIDER.items() if name != missing})


@pytest.mark.parametrize("algorithms", ["HS256", "none", "RS256,HS512", "rs256", "RS256, ES256"])
def test_shared_secrets_and_no_signature_are_no_algorithms(algorithms: str) -> None:
    with pytest.raises(SettingsError, match="OIDC_ALGORITHMS"):
        load(**PROVIDER, OIDC_ALGORITHMS=algorithms)


@pytest.mark.parametrize("url", ["http://id.example/keys", "file:///keys", "id.example/keys"])
def test_keys_of_a_provider_come_over_tls(url: str) -> None:
    with pytest.raises(SettingsError, match="OIDC_JWKS_URL"):
        load(**PROVIDER | {"OIDC_JWKS_URL": url})
    load(**PROVIDER | {"OIDC_JWKS_URL": "http://127.0.0.1:8000/keys"})


async def test_the_doorkeeper_is_built_as_the_settings_say() -> None:
    keys, key = ApiKeys().add("checkout", now=NOW)
    settings = load(**PROVIDER, RATE_PER_SECOND="0.5")
    door = build_doorkeeper(MemoryKeys(keys), settings, FixedClock(NOW))
    assert (await door.admit(key)).name == "checkout"
    with pytest.raises(RateLimited, match=r"0\.5 times a second \(1 at once\)"):
        await door.admit(key)
    with pytest.raises(Unauthenticated, match="keys are not known yet"):
        await door.admit(None, "Bearer x.y.z")
