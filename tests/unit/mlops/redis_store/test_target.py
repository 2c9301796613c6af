"""One URL says where Redis is and how to get in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import SettingsError
from mlops.stores.redis.target import RedisTarget, parse_target

pytestmark = pytest.mark.hypothesis


def test_a_url_without_anything_else_is_a_host() -> None:
    assert parse_target("redis://cache") == RedisTarget("cache", 6379)


def test_every_part_is_taken() -> None:
    url = "rediss://app:s%40cret@[::1]:6380/2?ssl_ca_certs=/ca.pem&replica=reader:6379"
    assert parse_target(url) == RedisTarget(
        host="::1",
        port=6380,
        db=2,
        username="app",
        password="s@cret",
        is_tls=True,
        ca_certs="/ca.pem",
        replica="reader:6379",
    )


@given(st.text(min_size=1), st.text(min_size=1))
def test_user_and_password_may_hold_any_character(user: str, password: str) -> None:
    target = RedisTarget("cache", username=user, password=password)
    assert parse_target(target.url) == target


@pytest.mark.parametrize(
    "target",
    [
        RedisTarget("h", is_tls=True, username="app", iam="group-1"),
        RedisTarget("h", is_cluster=True, replica="any"),
        RedisTarget("::1", replica="::2:7000", ca_certs="/a b", is_tls=True, db=3),
    ],
)
def test_a_target_is_its_url(target: RedisTarget) -> None:
    assert parse_target(target.url) == target


def test_the_password_given_beside_the_url_is_used_where_the_url_has_none() -> None:
    assert parse_target("redis://h", "secret").password == "secret"
    assert parse_target("redis://:own@h", "secret").password == "own"


def test_iam_takes_no_password() -> None:
    assert parse_target("rediss://app@h?iam=group", "secret").password is None


def test_the_password_is_in_no_message() -> None:
    target = parse_target("redis://:hidden@h")
    assert "hidden" not in repr(target) + target.address
    with pytest.raises(SettingsError) as failed:
        parse_target("redis://:hidden@h?what=1")
    assert "hidden" not in str(failed.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h", "redis:// or rediss://"),
        ("redis://", "redis:// or rediss://"),
        ("redis://h:port", "wrong"),
        ("redis://h/first", "wrong"),
        ("redis://h?timeout=1", "unknown options timeout"),
        ("redis://h?cluster=yes", "cluster is true or false"),
        ("redis://h/1?cluster=true", "no database but 0"),
        ("redis://h?cluster=true&replica=r:1", "a cluster's replica is 'any'"),
        ("redis://h?replica=any", "replica is host:port"),
        ("redis://app@h?iam=group", "needs rediss://"),
        ("rediss://h?iam=group", "needs a user"),
        ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs needs rediss://"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        parse_target(url)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"unknown options a, b.*; IAM.*; IAM"):
        parse_target("redis://h?b=1&a=1&iam=group")
