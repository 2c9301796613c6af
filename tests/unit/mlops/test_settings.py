"""Settings are read once, and complain once about everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.clock import FixedClock, SystemClock
from mlops.errors import SettingsError
from mlops.settings import load_settings

COMPLETE = {
    "MLOPS_ENV": "local",
    "MLOPS_ACCOUNT": "000000000000",
    "MLOPS_REGION": "ap-northeast-2",
    "MLOPS_REDIS_URL": "redis://localhost:6379",
}


def test_missing_settings_are_listed_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"MLOPS_ENV": "dev"})
    for name in ("MLOPS_ACCOUNT", "MLOPS_REGION"):
        assert name in str(caught.value)


def test_wrong_settings_are_named_with_the_missing_ones() -> None:
    with pytest.raises(SettingsError, match=r"missing: MLOPS_REGION.*wrong: MLOPS_ENV"):
        load_settings({**COMPLETE, "MLOPS_ENV": "moon", "MLOPS_REGION": ""})


def test_redis_is_asked_for_only_where_it_is_needed() -> None:
    without = load_settings({**COMPLETE, "MLOPS_REDIS_URL": ""})
    with pytest.raises(SettingsError, match="MLOPS_REDIS_URL"):
        without.require_redis_url()
    assert load_settings(COMPLETE).require_redis_url() == "redis://localhost:6379"


def test_the_region_is_taken_from_the_aws_variables() -> None:
    environ = {k: v for k, v in COMPLETE.items() if k != "MLOPS_REGION"}
    assert load_settings({**environ, "AWS_DEFAULT_REGION": "eu-west-1"}).region == "eu-west-1"


def test_the_clock_stands_still_on_request() -> None:
    assert isinstance(load_settings(COMPLETE).build_clock(), SystemClock)
    fixed = load_settings({**COMPLETE, "MLOPS_CLOCK": "2018-08-08"}).build_clock()
    assert isinstance(fixed, FixedClock)
    assert fixed.now().isoformat() == "2018-08-08T00:00:00+00:00"


def test_prod_refuses_any_clock_but_the_systems() -> None:
    with pytest.raises(SettingsError, match="MLOPS_CLOCK"):
        load_settings({**COMPLETE, "MLOPS_ENV": "prod", "MLOPS_CLOCK": "2018-08-08"})


def test_a_clock_without_a_zone_is_wrong() -> None:
    with pytest.raises(SettingsError, match="no time zone"):
        load_settings({**COMPLETE, "MLOPS_CLOCK": "2018-08-08T06:00:00"})


def test_the_environment_of_another_process_rebuilds_the_same_settings() -> None:
    settings = load_settings({**COMPLETE, "MLOPS_CLOCK": "2018-08-08"})
    assert load_settings(settings.environment()) == settings


def test_secrets_are_not_in_the_environment_of_other_processes_nor_in_the_repr() -> None:
    settings = load_settings({**COMPLETE, "MLOPS_REDIS_PASSWORD": "hunter2"})
    assert "hunter2" not in str(settings.environment())
    assert "hunter2" not in repr(settings)


def test_the_cache_lies_where_the_machine_keeps_caches() -> None:
    assert load_settings(COMPLETE).dataset_cache == Path.home() / ".cache/feast-mlops/datasets"
    moved = {**COMPLETE, "XDG_CACHE_HOME": "/var/cache"}
    assert load_settings(moved).dataset_cache == Path("/var/cache/feast-mlops/datasets")
    named = {**moved, "MLOPS_CACHE_DIR": "/scratch"}
    assert load_settings(named).dataset_cache == Path("/scratch/datasets")


def test_the_cache_is_this_machine_s_and_not_passed_on() -> None:
    passed = load_settings({**COMPLETE, "MLOPS_CACHE_DIR": "/scratch"}).environment()
    assert not [name for name in passed if "CACHE" in name]
