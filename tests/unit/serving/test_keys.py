"""API keys are stored as hashes, made once, and end when they are revoked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlops.errors import Conflict, InputError, NotFound, SettingsError
from serving.cli import serve
from serving.proxy.keys import ApiKeys, FileKeys, parse_keys
from tests.serving_examples import NOW


def test_a_new_key_is_found_by_its_text_and_stored_as_a_hash() -> None:
    keys, key = ApiKeys().add("checkout", now=NOW)
    assert owner(keys, key) == "checkout"
    assert keys.find(key + "x") is None
    assert key not in keys.model_dump_json()


def owner(keys: ApiKeys, key: str) -> str | None:
    found = keys.find(key)
    return found.name if found else None


def test_keys_differ() -> None:
    keys, first = ApiKeys().add("a", now=NOW)
    keys, second = keys.add("b", now=NOW)
    assert (owner(keys, first), owner(keys, second)) == ("a", "b")


def test_a_name_has_one_key() -> None:
    keys, _ = ApiKeys().add("checkout", now=NOW)
    with pytest.raises(Conflict, match="revoke-key checkout"):
        keys.add("checkout", now=NOW)


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "ä"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(InputError):
        ApiKeys().add(name, now=NOW)


def test_a_revoked_key_is_unknown() -> None:
    keys, key = ApiKeys().add("checkout", now=NOW)
    assert keys.remove("checkout").find(key) is None
    with pytest.raises(NotFound, match="mlops serve keys"):
        keys.remove("other")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{"name": "a"}]}', "xK9$generated"])
def test_a_document_that_holds_something_else_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError, match="holds no API keys") as refused:
        parse_keys(text, where="Secret 'x'")
    assert "generated" not in str(refused.value)


def test_an_empty_document_is_no_keys() -> None:
    assert parse_keys("{}", where="Secret 'x'").keys == ()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = FileKeys(tmp_path / "keys.json")
    keys, _ = store.load().add("checkout", now=NOW)
    store.save(keys)
    assert store.load() == keys
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_the_command_prints_the_key_once_and_keeps_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    for name, value in {
        "MLOPS_ENV": "local",
        "MLOPS_ACCOUNT": "0" * 12,
        "MLOPS_REGION": "ap-northeast-2",
        "MLOPS_PROXY_API_KEYS_FILE": str(path),
    }.items():
        monkeypatch.setenv(name, value)
    run = CliRunner()
    made = run.invoke(serve, ["create-key", "checkout", "--json"], catch_exceptions=False)
    key = json.loads(made.output)["key"]
    assert owner(FileKeys(path).load(), key) == "checkout"
    assert key not in path.read_text()
    listed = run.invoke(serve, ["keys", "--json"], catch_exceptions=False)
    assert [entry["name"] for entry in json.loads(listed.output)] == ["checkout"]
    run.invoke(serve, ["revoke-key", "checkout"], catch_exceptions=False)
    assert FileKeys(path).load().find(key) is None
