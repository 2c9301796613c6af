"""What a change of definitions comes to for models, for Redis and for the bill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlops.manifest import ModelInput
from mlops.objects import MemoryDocuments
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.registry.versions import Status
from pipelines.features.changes import Change
from pipelines.features.impact import Effect, Impact, find_impact
from pipelines.features.schemas.consumers import RegisteredVersion, Users
from pipelines.features.upsync.state import RunReport, Runs
from tests.approvals import model_version

NOW = datetime(2018, 8, 8, tzinfo=UTC)
MEAN = ModelInput(name="m", origin="feature", source="spend:mean_7d")


def plan(*features: str, service: str = "fraud_v1", dtype: str = "Float64") -> FeaturePlan:
    fields = tuple(PlannedField(name=name, dtype=dtype) for name in features)
    view = PlannedView(name="spend", join_keys=("customer_id",), features=fields, ttl_seconds=0)
    return FeaturePlan(
        service=service,
        project="mlops",
        entities=(PlannedField(name="customer_id", dtype="String"),),
        request=(),
        views=(view,),
        transformations=(),
    )


BEFORE = plan("mean_7d", "count_7d")
DEPLOYED = RegisteredVersion(
    model_version(3).model_copy(update={"status": Status.APPROVED}),
    (MEAN,),
    uses=("stable of fraud",),
)
USERS = Users(plans=(BEFORE,), models={"fraud": (MEAN,)}, versions=(DEPLOYED,))


def loaded(*, written: int = 1000, scanned: int = 2 * 10**12, full: bool = True) -> Runs:
    runs = Runs(MemoryDocuments())
    report = RunReport(
        view="spend",
        state="loaded",
        run="20180808-1",
        reason="first",
        full=full,
        oldest=None,
        until=NOW,
        through=NOW,
        rows=written,
        written=written,
        scanned=scanned,
    )
    runs.save_report(report)
    return runs


def impact(after: FeaturePlan | None, *, users: Users = USERS, runs: Runs | None = None) -> Impact:
    change = Change(action="change", kind="feature view", name="spend")
    desired = [] if after is None else [after]
    return find_impact([change], desired, users, runs or Runs(MemoryDocuments()))


def only(found: Impact) -> Effect:
    (effect,) = found.effects
    return effect


def test_a_changed_view_names_the_services_and_models_that_read_it() -> None:
    effect = only(impact(plan("mean_7d", "count_7d", "max_7d")))
    assert effect.services == ("fraud_v1",)
    assert effect.models == ("fraud (settings)", "fraud/3 (stable of fraud)")


def test_a_feature_more_breaks_nobody() -> None:
    assert impact(plan("mean_7d", "count_7d", "max_7d")).breaks == ()


def test_a_feature_that_goes_breaks_who_needs_it_by_name() -> None:
    found = impact(plan("count_7d"))
    missing = "needs spend:mean_7d, which 'fraud_v1' would no longer supply"
    assert found.breaks == (
        f"model fraud, by its settings {missing}",
        f"fraud/3, stable of fraud, {missing}",
    )


def test_a_feature_that_nobody_needs_may_go() -> None:
    assert impact(plan("mean_7d")).breaks == ()


def test_another_type_breaks_who_reads_it() -> None:
    found = impact(plan("mean_7d", "count_7d", dtype="Int64"))
    assert "spend:mean_7d (Float64 to Int64), of another type" in found.breaks[0]


def test_a_service_that_goes_breaks_its_models() -> None:
    assert "reads feature service 'fraud_v1', which goes" in impact(None).breaks[0]


def test_a_model_that_another_service_still_supplies_is_not_broken() -> None:
    users = replace(USERS, plans=(BEFORE, plan("mean_7d", service="fraud_v2")))
    change = Change(action="change", kind="feature view", name="spend")
    desired = [plan("count_7d"), plan("mean_7d", service="fraud_v2")]
    assert find_impact([change], desired, users, Runs(MemoryDocuments())).breaks == ()


def test_redis_grows_by_the_values_of_the_rows_that_were_loaded() -> None:
    # two doubles more in each of a thousand rows; the bits of four features still fit in a byte
    effect = only(impact(plan("mean_7d", "count_7d", "a", "b"), runs=loaded()))
    assert (effect.rows, effect.redis_bytes) == (1000, 16_000)


def test_redis_shrinks_by_a_whole_view_that_goes() -> None:
    # 22 bytes of a row, 12 of its field, a byte of bits, two doubles
    assert only(impact(None, runs=loaded())).redis_bytes == -1000 * (22 + 12 + 1 + 16)


def test_loading_is_priced_by_what_the_last_full_load_scanned() -> None:
    found = impact(plan("mean_7d"), runs=loaded())
    assert only(found).scanned == 2 * 10**12
    assert found.dollars == pytest.approx(10.0)


@pytest.mark.parametrize("runs", [Runs(MemoryDocuments()), loaded(full=False)])
def test_what_was_never_loaded_whole_is_not_guessed(runs: Runs) -> None:
    effect = only(impact(plan("mean_7d"), runs=runs))
    assert (effect.rows, effect.redis_bytes, effect.dollars) == (None, None, None)
    assert "never loaded whole" in impact(plan("mean_7d"), runs=runs).words[0]


def test_changes_of_other_things_have_no_view_to_tell_of() -> None:
    change = Change(action="create", kind="project", name="mlops")
    assert find_impact([change], [BEFORE], USERS, Runs(MemoryDocuments())) == Impact()
