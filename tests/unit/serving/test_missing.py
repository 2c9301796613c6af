"""What is missing is told with the id that lacks it, or without one where there is none."""

from __future__ import annotations

import pytest

from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.online import NOT_FOUND
from serving.proxy.instances import Instance
from serving.proxy.missing import explain_missing


@pytest.mark.parametrize(
    ("join_keys", "message", "field"),
    [
        (("customer_id",), "customer_id 'c1': rate of 'rates'", "instances[0].customer_id"),
        ((), "everyone: rate of 'rates'", "instances[0]"),
    ],
)
def test_whose_features_are_missing_is_told(
    join_keys: tuple[str, ...], message: str, field: str
) -> None:
    rate = PlannedField(name="rate", dtype="Float64")
    view = PlannedView(name="rates", join_keys=join_keys, features=(rate,), ttl_seconds=60)
    plan = FeaturePlan(
        service="s", project="p", entities=(), request=(), views=(view,), transformations=()
    )
    instance = Instance("instances[0]", {"customer_id": "c1"}, {})
    error = explain_missing("m", plan, instance, features={"rate": NOT_FOUND}, refused=["rate"])
    assert message in str(error)
    assert error.field == field
    assert "mlops features upsync rates" in str(error.remedy)
