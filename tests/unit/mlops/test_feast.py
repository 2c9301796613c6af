"""The feature repo's settings are complete or refused; features come back in the caller's order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from mlops.aws import Aws
from mlops.errors import InputError, JobFailed, NotFound, SettingsError
from mlops.feast import feast_environment, historical_features, read_config
from mlops.plan import FeaturePlan, PlannedField, PlannedTransformation, PlannedView
from mlops.settings import Settings, load_settings
from mlops.stores.redis.target import RedisTarget, parse_target

YAML = """
project: payments
registry: {path: "${REGISTRY}"}
offline_store: {type: athena, region: $REGION}
online_store: {type: redis, connection_string: "${REDIS}"}
"""
GIVEN = {"REGISTRY": "s3://artifacts/r.db", "REGION": "eu-west-1", "REDIS": 'h:1,password="$x"'}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "feature_store.yaml").write_text(YAML)
    return tmp_path


def settings(**changes: str) -> Settings:
    return load_settings(
        {
            "MLOPS_ENV": "local",
            "MLOPS_ACCOUNT": "000000000000",
            "MLOPS_REGION": "eu-west-1",
            "MLOPS_REDIS_URL": "redis://cache:6380/2",
            "MLOPS_REDIS_PASSWORD": "secret",
        }
        | changes
    )


def target(of: Settings) -> RedisTarget:
    """What our store reads in the URL that we write, once it went through the YAML of the repo."""
    url = feast_environment(of, Aws(region="eu-west-1"))["FEAST_REDIS"]
    text = yaml.safe_load(f"online_store:\n  url: {url}")
    return parse_target(text["online_store"]["url"])


def test_variables_are_filled_in_once(repo: Path) -> None:
    config = read_config(repo, GIVEN)
    assert config["registry"]["path"] == "s3://artifacts/r.db"
    assert config["offline_store"]["region"] == "eu-west-1"
    assert config["online_store"]["connection_string"] == 'h:1,password="$x"'


def test_every_missing_variable_is_named(repo: Path) -> None:
    with pytest.raises(SettingsError, match="needs REGISTRY, REGION, REDIS, which"):
        read_config(repo, {})


def test_without_the_online_store_its_variables_are_not_needed(repo: Path) -> None:
    given = {k: v for k, v in GIVEN.items() if k != "REDIS"}
    assert read_config(repo, given, online=False)["online_store"] is None


def test_a_registry_on_disk_is_refused(repo: Path) -> None:
    with pytest.raises(SettingsError, match="must be in S3"):
        read_config(repo, {**GIVEN, "REGISTRY": "registry.db"})


def test_a_folder_that_is_no_feature_repo_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"There is no .*feature_store\.yaml.*MLOPS_FEATURE_REPO"):
        read_config(tmp_path, GIVEN)


def test_the_online_store_is_addressed_as_the_settings_say() -> None:
    assert target(settings()) == RedisTarget("cache", 6380, db=2, password="secret")


def test_tls_and_user_are_passed_on() -> None:
    found = target(settings(MLOPS_REDIS_URL="rediss://app@cache:6379"))
    assert (found.is_tls, found.username) == (True, "app")


@pytest.mark.parametrize("password", ["12345", "a,b=c", 'quo"te', "${HOME}", "true", "#: '@/%"])
def test_a_password_of_any_characters_arrives_as_it_is(password: str) -> None:
    assert target(settings(MLOPS_REDIS_PASSWORD=password)).password == password


def test_with_iam_authentication_no_password_is_asked_for() -> None:
    of = settings(MLOPS_REDIS_URL="rediss://app@cache?iam=group", MLOPS_REDIS_PASSWORD="")
    assert target(of).password is None


def test_the_platforms_clock_is_the_stores_clock() -> None:
    values = feast_environment(settings(MLOPS_CLOCK="2018-08-08"), Aws(region="eu-west-1"))
    assert values["FEAST_CLOCK"] == "2018-08-08"


def test_without_redis_no_password_is_asked_for() -> None:
    values = feast_environment(settings(MLOPS_REDIS_URL=""), Aws(region="eu-west-1"), online=False)
    assert "FEAST_REDIS" not in values


PLAN = FeaturePlan(
    service="s",
    project="payments",
    entities=(PlannedField(name="customer_id", dtype="String"),),
    request=(
        PlannedField(name="amount", dtype="Float64"),
        PlannedField(name="event_time", dtype="UnixTimestamp"),
    ),
    views=(
        PlannedView(
            name="spend",
            join_keys=("customer_id",),
            features=(PlannedField(name="mean", dtype="Float64"),),
            ttl_seconds=1,
        ),
    ),
    transformations=(
        PlannedTransformation(
            name="ratio",
            function="ratio",
            sha256="x",
            inputs=("amount", "event_time", "mean"),
            outputs=(PlannedField(name="over", dtype="Float64"),),
        ),
    ),
)


class Store:
    """Answers with the customer's number as mean, in reverse order; None for customer 'new'."""

    def __init__(self, extra_rows: int = 0) -> None:
        self.extra_rows = extra_rows
        self.asked: pd.DataFrame = pd.DataFrame()

    def get_historical_features(self, *, entity_df: pd.DataFrame, features: list[str]) -> Any:
        self.asked = entity_df
        assert features == ["spend:mean"]
        means = [float("nan") if c == "new" else float(c) for c in entity_df["customer_id"]]
        found = entity_df.assign(mean=means).iloc[::-1]
        if self.extra_rows:
            found = pd.concat([found, found.head(self.extra_rows)])
        return SimpleNamespace(to_df=lambda: found)


def ratio(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    assert all(time.tzinfo is not None for time in inputs["event_time"])
    pairs = zip(inputs["amount"], inputs["mean"], strict=True)
    return {"over": [amount / mean if mean else -1.0 for amount, mean in pairs]}


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [True, False, True],
            "customer_id": ["2", "new", "4"],
            "amount": [10.0, 20.0, 30.0],
            "event_time": pd.to_datetime(["2025-01-01 10:00:00.123456"] * 3, utc=True),
        },
        index=[7, 3, 5],
    )


def joined(entity_df: pd.DataFrame, store: Any = None) -> pd.DataFrame:
    return historical_features(store or Store(), PLAN, entity_df, {"ratio": ratio})


def test_features_come_in_the_caller_s_order_beside_the_caller_s_columns() -> None:
    result = joined(rows())
    assert list(result.index) == [7, 3, 5]
    assert list(result.columns) == [*rows().columns, "mean", "over"]
    assert result["label"].tolist() == [True, False, True]
    assert result["mean"].fillna(-9).tolist() == [2.0, -9.0, 4.0]


def test_on_demand_features_are_computed_by_the_given_function() -> None:
    assert joined(rows())["over"].tolist() == [5.0, -1.0, 7.5]


def test_the_caller_s_rows_are_not_modified() -> None:
    given = rows()
    joined(given)
    pd.testing.assert_frame_equal(given, rows())


def test_only_keys_and_times_leave_the_process() -> None:
    store = Store()
    joined(rows(), store)
    assert list(store.asked.columns) == ["entity_row", "event_timestamp", "customer_id"]
    assert store.asked["event_timestamp"].dt.microsecond.tolist() == [123_456] * 3


def test_a_naive_time_is_taken_as_utc() -> None:
    naive = rows().assign(event_time=lambda d: d["event_time"].dt.tz_localize(None))
    assert joined(naive)["over"].tolist() == joined(rows())["over"].tolist()


def test_no_rows_give_no_rows() -> None:
    assert len(joined(rows().head(0))) == 0


def test_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match="lack customer_id, amount, which feature service 's'"):
        joined(rows().drop(columns=["customer_id", "amount"]))


def test_a_join_that_fans_out_is_refused() -> None:
    with pytest.raises(JobFailed, match="4 rows for 3 entity rows"):
        joined(rows(), Store(extra_rows=1))
