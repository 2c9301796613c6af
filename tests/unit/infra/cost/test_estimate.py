"""What a month costs: the arithmetic, by cases that were computed by hand."""

from __future__ import annotations

from datetime import date

import pytest

from infra.cost.components import Bill, Line
from infra.cost.estimate import Estimate, estimate_month
from infra.cost.load import PRESETS, PUBLISHED, Load
from infra.cost.sizes import Choices, Sizes, choices_of, sizes_of
from infra.stacks.profile import profile_of
from mlops.errors import InputError, NotFound
from mlops.prices import Prices, load_prices

SEOUL = load_prices("ap-northeast-2")
ONES = Prices("here", date(2025, 1, 1), "USD", "made up", dict.fromkeys(SEOUL.table, 1.0))
"""Every unit costs one, so that a line's dollars are its amount."""
CHOICES = Choices(
    node="cache.r7g.xlarge",
    replicas=1,
    snapshots=3,
    upsyncs_per_month=730,
    endpoints=16,
    log_months=12,
)
LOAD = Load(
    offline_tb=10,
    online_gb=40,
    reads_per_day=8_640_000,
    predictions_per_day=4_320_000,
    peak_factor=2,
    trainings_per_month=10,
    training_hours=2,
    training_scan_gb=100,
    new_gb_per_day=24,
    logged_share=0.5,
    answer_bytes=2**30 / 730_000,
    access_log_bytes=2**30 / 7_300_000,
)


def lines(
    load: Load = LOAD, choices: Choices = CHOICES, prices: Prices = ONES
) -> dict[tuple[str, str], Line]:
    made = Bill(prices, load, choices, sizes_of(load, choices)).lines()
    return {(line.component, line.item): line for line in made}


@pytest.mark.parametrize(
    ("component", "item", "amount"),
    [
        ("S3", "standard storage", 10 * 1024),
        # 24 GB a day, raw and as tables, of 30.4167 days, in objects of an eighth of a GB
        ("S3", "objects written", 24 * 2 * 730 / 24 * 8 / 1000),
        # the same read once each, and ten trainings of 100 GB
        ("S3", "objects read", (1_460 + 1_000) * 8 / 1000),
        ("Athena", "scans", 2_460 * 2**30 / 1e12),
        # 40 GB x 1.5 on nodes of 26.32 GB are 3 shards, each twice, for 730 hours
        ("Redis", "3 shards x 2 nodes", 6 * 730),
        ("Redis", "snapshots", 40 * 2),
        # 200 reads and 100 predictions a second at the peak are less than a core
        ("Proxy", "2 tasks", 2 * 730),
        ("Proxy", "memory", 2 * 2 * 730),
        ("Inference", "2 tasks", 2 * 730),
        # 12,960,000 requests a day of 1/730,000 GB, for 730 / 24 days
        ("ALB", "capacity units", 12_960_000 / 24 / 1000),
        ("Transfer", "between zones", 12_960_000 / 24 / 1000),
        ("Batch", "upsync", 730 * 3 * 2 / 60),
        ("Batch", "memory", 730 * 3 * 2 / 60 * 4),
        ("SageMaker", "training", 20),
        ("SageMaker", "volumes", 20 * 30 / 730),
        ("Step Functions", "transitions", (730 * 12 + 10 * 20) / 1000),
        ("Kinesis", "stream", 730),
        ("Kinesis", "written", 12_960_000 / 24 / 1000 / 2),
        ("Downsync", "1 tasks", 365),
        ("Endpoints", "addresses", 16 * 730),
        ("Endpoints", "logs and stream", 12_960_000 / 24 / 1000 / 2 + 12_960_000 / 24 / 10_000),
        ("CloudWatch", "logs written", 12_960_000 / 24 / 10_000),
        ("CloudWatch", "logs kept", 12_960_000 / 24 / 10_000 * 12),
    ],
)
def test_an_amount_is_as_computed_by_hand(component: str, item: str, amount: float) -> None:
    found = lines()[component, item]
    assert found.amount == pytest.approx(amount)
    assert found.dollars == pytest.approx(amount)


def test_a_line_is_its_amount_at_its_price() -> None:
    redis = lines(prices=SEOUL)["Redis", "3 shards x 2 nodes"]
    assert redis.price == "elasticache.cache.r7g.xlarge.hour"
    assert redis.dollars == pytest.approx(4_380 * 0.521)


def test_the_whole_of_a_month_is_the_sum_of_its_lines() -> None:
    found = estimate_month(LOAD, CHOICES, SEOUL)
    assert found.total == pytest.approx(sum(line.dollars for line in found.lines))
    assert sum(found.by_component().values()) == pytest.approx(found.total)


def test_tasks_are_planned_for_half_of_a_cores_limit_and_one_may_fail() -> None:
    # 50 million a day at a factor of 4 are 2,315 a second: 0.518 cores, 1.04 at half of the limit
    load = Load(offline_tb=0, online_gb=0, reads_per_day=50_000_000)
    assert sizes_of(load, CHOICES) == Sizes(shards=1, nodes=2, proxies=3, inferences=2)


def test_predictions_take_cores_of_both() -> None:
    # 10,000 a second: 3.125 cores of the proxy and 0.526 of inference, twice that, and one more
    load = Load(
        offline_tb=0, online_gb=0, reads_per_day=0, predictions_per_day=864e6, peak_factor=1
    )
    sizes = sizes_of(load, CHOICES)
    assert (sizes.proxies, sizes.inferences) == (8, 3)


def test_the_environment_says_how_often_features_are_loaded() -> None:
    assert choices_of(profile_of("prod")).upsyncs_per_month == pytest.approx(730 * 4)
    assert choices_of(profile_of("dev")).upsyncs_per_month == pytest.approx(730)
    assert choices_of(profile_of("local")).upsyncs_per_month == 0


def test_an_environment_that_runs_its_own_redis_pays_for_none() -> None:
    made = lines(choices=choices_of(profile_of("local")))
    assert not [line for line in made.values() if line.component == "Redis"]


def test_a_node_of_unknown_memory_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(NotFound, match=r"'cache.x9.huge' is not known"):
        sizes_of(LOAD, replace(CHOICES, node="cache.x9.huge"))


def kakaopay() -> Estimate:
    return estimate_month(
        PRESETS["kakaopay"],
        choices_of(profile_of("prod")),
        SEOUL,
        published=PUBLISHED["kakaopay"],
    )


def test_kakaopays_storage_is_36_terabytes_at_the_first_tier() -> None:
    (storage,) = (line for line in kakaopay().lines if line.item == "standard storage")
    assert storage.dollars == pytest.approx(36 * 1024 * 0.025)


def test_kakaopays_load_stands_beside_what_they_published() -> None:
    found = kakaopay()
    assert found.published == 5_433
    assert found.least < 5_433 < found.total


def test_a_lever_says_what_it_saves_alone() -> None:
    found = kakaopay()
    for lever in found.levers:
        assert lever.saves == pytest.approx(found.total - lever.dollars)
        assert lever.price
    (replica,) = (lever for lever in found.levers if "replica" in lever.what)
    assert replica.saves == pytest.approx(4 * 730 * 0.521)


def test_a_lever_that_saves_nothing_is_not_told() -> None:
    found = estimate_month(
        LOAD.model_copy(update={"access_log_bytes": 0}), choices_of(profile_of("dev")), SEOUL
    )
    assert not [lever for lever in found.levers if "log" in lever.what or "replica" in lever.what]


def test_an_interval_that_is_none_is_refused() -> None:
    from dataclasses import replace

    profile = replace(profile_of("dev"), upsync_every="sometimes")
    with pytest.raises(InputError, match="'sometimes' is no interval"):
        choices_of(profile)
