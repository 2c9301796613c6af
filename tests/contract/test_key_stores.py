"""Every place that API keys are kept in behaves the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.lifecycle import LocalAws
from mlops.aws import Aws
from mlops.errors import SettingsError
from serving.proxy.keys import ApiKeys, FileKeys, KeyStore, SecretKeys
from tests.serving_examples import NOW
from tests.serving_processes import MemoryKeys


@pytest.fixture
def admin(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.endpoint)
    return Aws(local_aws.session())


@pytest.fixture(params=["secret", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    make: dict[str, Callable[[], KeyStore]] = {
        "secret": lambda: SecretKeys(request.getfixturevalue("admin"), f"test/{uuid.uuid4().hex}"),
        "file": lambda: FileKeys(tmp_path / "keys.json"),
        "memory": MemoryKeys,
    }
    return make[request.param]()


def test_nothing_is_kept_at_the_start(store: KeyStore) -> None:
    assert store.load() == ApiKeys()


def test_what_is_saved_is_loaded_and_replaced_whole(store: KeyStore) -> None:
    first, _ = ApiKeys().add("first", now=NOW)
    both, _ = first.add("second", now=NOW)
    store.save(both)
    assert store.load() == both
    store.save(first)
    assert store.load() == first


def test_a_secret_of_something_else_is_not_taken_for_keys(admin: Aws) -> None:
    name = f"test/{uuid.uuid4().hex}"
    admin.client("secretsmanager").create_secret(Name=name, SecretString="a password")
    with pytest.raises(SettingsError, match=name):
        SecretKeys(admin, name).load()
