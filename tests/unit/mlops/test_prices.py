"""The price table: dated, sourced, by region, and added up by tier."""

from __future__ import annotations

import pytest

from mlops.errors import NotFound
from mlops.prices import Prices, load_prices

SEOUL = "ap-northeast-2"


@pytest.fixture
def prices() -> Prices:
    return load_prices(SEOUL)


def test_the_table_says_of_when_and_from_where_it_is(prices: Prices) -> None:
    assert prices.dated.year >= 2025
    assert prices.currency == "USD"
    assert "Seoul" in prices.source


def test_what_was_checked_is_in_the_table_with_its_day_and_what_it_was_held_to(
    prices: Prices,
) -> None:
    assert prices.checked is not None
    assert prices.checked.prices <= set(prices.table)
    assert prices.checked.on > prices.dated
    assert "offers/v1.0/aws" in prices.checked.against


def test_a_price_is_of_one_unit(prices: Prices) -> None:
    assert prices.of("fargate.vcpu_hour") == 0.04656


def test_an_instance_has_a_price_by_the_hour(prices: Prices) -> None:
    assert prices.instance_hour("ml.m5.large") == prices.of("sagemaker.ml.m5.large.hour") == 0.142


def test_what_has_one_price_costs_in_proportion(prices: Prices) -> None:
    assert prices.cost("athena.tb_scanned", 3) == 15.0


def test_what_has_tiers_costs_less_beyond_each(prices: Prices) -> None:
    # 50 TiB at 0.025, 450 TiB at 0.024, the last 100 GB at 0.023
    assert prices.cost("s3.gb_month", 51_200) == pytest.approx(1_280.0)
    assert prices.cost("s3.gb_month", 51_300) == pytest.approx(1_282.4)
    assert prices.cost("s3.gb_month", 512_100) == pytest.approx(1_280 + 11_059.2 + 2.3)


def test_the_first_tier_is_the_price_of_a_unit(prices: Prices) -> None:
    assert prices.of("s3.gb_month") == 0.025


def test_tiers_rise_and_the_last_has_no_end(prices: Prices) -> None:
    for name, price in prices.table.items():
        if isinstance(price, list):
            limits = [limit for limit, _ in price]
            assert limits[-1] is None, name
            assert limits[:-1] == sorted({limit for limit in limits[:-1] if limit}), name


def test_a_price_that_is_missing_is_named_with_the_file_to_add_it_to(prices: Prices) -> None:
    with pytest.raises(NotFound, match=r"'sagemaker.ml.p9.huge.hour' for ap-northeast-2.*json"):
        prices.instance_hour("ml.p9.huge")


def test_a_region_without_prices_is_refused_naming_those_that_have() -> None:
    with pytest.raises(NotFound, match=r"region 'eu-west-1', only for ap-northeast-2"):
        load_prices("eu-west-1")
