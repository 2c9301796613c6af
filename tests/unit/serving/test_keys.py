"""API keys are stored as hashes, made once, and end when they are revoked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from mlops.errors import Conflict, InputError, NotFound, SettingsError
from serving.cli import serve
from serving.errors import NotAllowed
from serving.proxy.keys import ApiKey, ApiKeys, CallerRate, FileKeys, build_rate, parse_keys
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


def test_permissions_and_rates_are_checked_when_they_are_given() -> None:
    for wrong in ("predict:", "read", "admin", "push:a b", "pii:x", ""):
        with pytest.raises(InputError, match="cannot be registered"):
            ApiKeys().add("checkout", now=NOW, permissions=[wrong])
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="per_second"):
            build_rate(rate, None)
    assert build_rate(2.5, None) == CallerRate(per_second=2.5, burst=3)


def test_a_subject_is_one_callers_and_a_caller_is_known_by_one_thing() -> None:
    keys = ApiKeys().add_subject("checkout", "service-7", now=NOW)
    with pytest.raises(Conflict, match="those of 'checkout'"):
        keys.add_subject("other", "service-7", now=NOW)
    with pytest.raises(ValidationError, match="either"):
        ApiKey(name="both", sha256="0" * 64, subject="s", created=NOW)


def test_a_document_from_before_rates_and_subjects_is_read() -> None:
    text = (
        '{"keys": [{"name": "checkout", "permissions": ["predict", "push:*"],'
        f' "sha256": "{"0" * 64}", "created": "2018-08-08T00:00:00Z"}}]}}'
    )
    (key,) = parse_keys(text, where="Secret 'x'").keys
    key.caller().require_model("any")
    key.caller().require_push("any")
    with pytest.raises(NotAllowed):
        key.caller().require_service("any")


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


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of callers that commands use."""
    path = tmp_path / "keys.json"
    for name, value in {
        "MLOPS_ENV": "local",
        "MLOPS_ACCOUNT": "0" * 12,
        "MLOPS_REGION": "ap-northeast-2",
        "MLOPS_PROXY_API_KEYS_FILE": str(path),
    }.items():
        monkeypatch.setenv(name, value)
    return path


def run(*arguments: str) -> str:
    return CliRunner().invoke(serve, arguments, catch_exceptions=False).stdout


def test_the_command_prints_the_key_once_and_keeps_its_hash(path: Path) -> None:
    key = json.loads(run("create-key", "checkout", "--json"))["key"]
    assert owner(FileKeys(path).load(), key) == "checkout"
    assert key not in path.read_text()
    assert [entry["name"] for entry in json.loads(run("keys", "--json"))] == ["checkout"]
    run("revoke-key", "checkout")
    assert FileKeys(path).load().find(key) is None


def test_the_commands_options_become_permissions_and_a_rate(path: Path) -> None:
    run("create-key", "a", "--model", "fraud", "--service", "*", "--pii", "--rate", "2.5")
    run("add-subject", "b", "service-7", "--no-predict", "--push", "clicks")
    first, second = FileKeys(path).load().keys
    assert first.permissions == ("predict:fraud", "read:*", "pii")
    assert first.rate == CallerRate(per_second=2.5, burst=3)
    assert (second.permissions, second.subject) == (("push:clicks",), "service-7")
    assert "2.5, at once 3" in run("keys")


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    "options",
    [
        ["--no-predict"],
        ["--no-predict", "--model", "x"],
        ["--no-predict", "--pii"],
        ["--burst", "2"],
    ],
)
def test_options_that_contradict_or_allow_nothing_are_refused(options: list[str]) -> None:
    with pytest.raises(InputError):
        run("create-key", "a", *options)
