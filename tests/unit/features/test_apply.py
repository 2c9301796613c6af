"""Definitions compile without any service, and applying them is safe to repeat."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from feast import Field
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.types import Float64

from mlops.errors import Conflict, InputError, Refused, SettingsError, Unavailable
from mlops.feast import REGISTRY_KEY, load_registry
from mlops.objects import Document, MemoryDocuments
from mlops.plan import FeaturePlan, load_plan, load_transformations, plan_key
from pipelines.features.apply import ApplyPlan, apply_changes, plan_changes, unshown
from pipelines.features.definitions import (
    Definitions,
    compile_plan,
    load_definitions,
    planned_field,
)
from pipelines.features.removals import Removal

REPO = Path(__file__).parents[3] / "feature_repo"
ENVIRONMENT = {
    "FEAST_REGISTRY": "s3://artifacts/feast/registry.db",
    "FEAST_REGION": "eu-west-1",
    "FEAST_DATABASE": "mlops_test",
    "FEAST_WORKGROUP": "mlops-test",
    "FEAST_STAGING": "s3://staging",
    "FEAST_CLOCK": "system",
    "FEAST_REDIS": "redis://localhost:1",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPO, tmp_path / "repo", ignore=shutil.ignore_patterns("__py*")))


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture(scope="module")
def applied_bytes() -> Iterator[dict[str, bytes]]:
    """A bucket to which the project's own repo was applied; compiled once."""
    documents = MemoryDocuments()
    apply_changes(load(REPO), documents)
    return documents.stored  # type: ignore[return-value]  # a fixture may return


@pytest.fixture
def applied(applied_bytes: dict[str, bytes]) -> MemoryDocuments:
    return MemoryDocuments(dict(applied_bytes))


def load(repo: Path) -> Definitions:
    return load_definitions(repo, ENVIRONMENT)


def fraud_plan(definitions: Definitions) -> FeaturePlan:
    (service,) = (s for s in definitions.services if s.name == "fraud_v1")
    return compile_plan(service, definitions)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_planning_says_what_would_be_created_and_changes_nothing(
    documents: MemoryDocuments,
) -> None:
    plan = plan_changes(load(REPO), documents)
    created = {(c.kind, c.name) for c in plan.changes if c.action == "create"}
    assert {
        ("entity", "customer"),
        ("entity", "terminal"),
        ("feature view", "customer_spend"),
        ("feature view", "terminal_risk"),
        ("on-demand feature view", "payment_context"),
        ("feature service", "fraud_v1"),
    } <= created
    assert plan.services == ("credit_v1", "fraud_v1")
    assert not documents.stored


def test_applying_twice_writes_once(applied: MemoryDocuments) -> None:
    before = dict(applied.stored)
    plan = apply_changes(load(REPO), applied)
    assert plan.empty
    assert applied.stored == before


def test_the_service_plan_holds_what_serving_needs(applied: MemoryDocuments) -> None:
    plan = load_plan(applied, "fraud_v1")
    assert [e.name for e in plan.entities] == ["customer_id", "terminal_id"]
    assert [(f.name, f.dtype) for f in plan.request] == [
        ("amount", "Float64"),
        ("event_time", "UnixTimestamp"),
    ]
    assert plan.references[0] == "customer_spend:customer_count_1d"
    assert len(plan.references) == 12
    assert [v.ttl_seconds for v in plan.views] == [259_200, 259_200]
    [on_demand] = plan.transformations
    assert on_demand.inputs == ("amount", "event_time", "customer_mean_amount_30d")
    assert [f.name for f in on_demand.outputs] == ["is_night", "is_weekend", "amount_over_mean"]
    assert plan.entities[0].pii
    assert not plan.entities[1].pii
    of_customers = {field.name for field in plan.views[0].features}
    assert plan.personal == of_customers | set(plan.computed), "as their views' tags say"


def test_of_an_on_demand_view_a_service_has_the_outputs_that_it_selects(repo: Path) -> None:
    replace(repo / "services.py", "payment_context]", 'payment_context[["is_night"]]]')
    [on_demand] = fraud_plan(load(repo)).transformations
    assert [f.name for f in on_demand.outputs] == ["is_night"]
    assert on_demand.inputs == ("amount", "event_time", "customer_mean_amount_30d")


@pytest.mark.parametrize(
    ("own", "of_view", "is_personal"),
    [({}, "true", True), ({"pii": "false"}, "true", False), ({"pii": "true"}, "false", True)],
)
def test_a_field_without_a_pii_tag_has_its_views(
    own: dict[str, str], of_view: str, is_personal: bool
) -> None:
    field, view = Field(name="f", dtype=Float64, tags=own), SimpleNamespace(tags={"pii": of_view})
    assert planned_field(field, within=view).pii is is_personal


def test_the_on_demand_function_is_the_repo_s_own(applied: MemoryDocuments) -> None:
    compute = load_transformations(load_plan(applied, "fraud_v1"), REPO)["payment_context"]
    assert compute(
        {
            "amount": [30.0, 30.0, 30.0],
            "event_time": [
                datetime(2018, 8, 8, 6, 59, tzinfo=UTC),
                datetime(2018, 8, 11, 7, tzinfo=UTC),
                datetime(2018, 8, 12, 23, tzinfo=UTC),
            ],
            "customer_mean_amount_30d": [15.0, None, 0.0],
        }
    ) == {
        "is_night": [1, 0, 0],
        "is_weekend": [0, 1, 1],
        "amount_over_mean": [2.0, 0.0, 0.0],
    }


def test_a_change_names_what_differs(applied: MemoryDocuments, repo: Path) -> None:
    replace(repo / "views.py", "TTL = timedelta(days=3)", "TTL = timedelta(days=5)")
    plan = plan_changes(load(repo), applied)
    ttl = {c.name: c.fields["ttl"] for c in plan.changes}
    assert ttl["customer_spend"] == ("259200s", "432000s")


def test_what_was_applied_from_elsewhere_shows_as_drift_from_this_checkout(
    applied: MemoryDocuments, repo: Path
) -> None:
    assert plan_changes(load(REPO), applied).empty
    replace(repo / "views.py", "TTL = timedelta(days=3)", "TTL = timedelta(days=5)")
    apply_changes(load(repo), applied)
    drift = {(c.action, c.name): c.fields for c in plan_changes(load(REPO), applied).changes}
    assert drift["change", "customer_spend"]["ttl"] == ("432000s", "259200s")


def test_a_changed_view_keeps_its_history(applied: MemoryDocuments, repo: Path) -> None:
    registry, document = load_registry(applied)
    view = next(v for v in registry.feature_views if v.spec.name == "customer_spend")
    view.meta.materialization_intervals.add().start_time.seconds = 7
    created = view.meta.created_timestamp.seconds
    assert document is not None
    applied.put(REGISTRY_KEY, registry.SerializeToString(), etag=document.etag)
    replace(repo / "views.py", "TTL = timedelta(days=3)", "TTL = timedelta(days=5)")
    apply_changes(load(repo), applied)
    changed, _ = load_registry(applied)
    view = next(v for v in changed.feature_views if v.spec.name == "customer_spend")
    assert view.spec.ttl.seconds == 432_000
    assert view.meta.created_timestamp.seconds == created
    assert [i.start_time.seconds for i in view.meta.materialization_intervals] == [7]


def test_a_changed_function_changes_the_service_plan(applied: MemoryDocuments, repo: Path) -> None:
    replace(repo / "transformations.py", "time.hour <= 6", "time.hour <= 5")
    plan = plan_changes(load(repo), applied)
    assert plan.services == ("fraud_v1",)
    assert [c.name for c in plan.changes] == ["payment_context"]


def remove_service(repo: Path) -> None:
    (repo / "services.py").write_text('"""None."""\n')


def test_deleting_needs_the_flag(applied: MemoryDocuments, repo: Path) -> None:
    remove_service(repo)
    before = dict(applied.stored)
    with pytest.raises(Refused, match=r"delete feature service 'fraud_v1'.*--allow-delete"):
        apply_changes(load(repo), applied)
    assert applied.stored == before


def test_deleting_with_the_flag_removes_the_plan_too(applied: MemoryDocuments, repo: Path) -> None:
    remove_service(repo)
    apply_changes(load(repo), applied, allow_delete=True)
    registry, _ = load_registry(applied)
    assert [service.spec.name for service in registry.feature_services] == ["credit_v1"]
    assert plan_key("fraud_v1") not in applied.stored
    assert len(registry.feature_views) == 4


class TestOnlineRows:
    """A deleted view's rows go from the online store, whatever comes between."""

    GONE = Removal(project="payments", view="terminal_risk", join_keys=("terminal_id",))

    @pytest.fixture
    def smaller(self, repo: Path) -> Definitions:
        """Definitions without a view that is applied."""
        views = repo / "views.py"
        views.write_text(views.read_text().partition("terminal_risk = FeatureView(")[0])
        replace(views, "customer_spend_source, terminal_risk_source", "customer_spend_source")
        replace(repo / "services.py", ", terminal_risk", "")
        return load(repo)

    def test_they_are_removed_last_and_counted(
        self, applied: MemoryDocuments, smaller: Definitions
    ) -> None:
        asked = []

        def remove(removal: Removal) -> int:
            registry, _ = load_registry(applied)
            assert "terminal_risk" not in [view.spec.name for view in registry.feature_views]
            asked.append(removal)
            return 7

        assert plan_changes(smaller, applied).removals == ("terminal_risk",)
        done = apply_changes(smaller, applied, allow_delete=True, remover=remove)
        assert (asked, done.removed) == ([self.GONE], {"terminal_risk": 7})
        again = apply_changes(smaller, applied, remover=remove)
        assert (again.empty, asked) == (True, [self.GONE])

    def test_what_could_not_be_removed_is_removed_by_the_next_apply(
        self, applied: MemoryDocuments, smaller: Definitions
    ) -> None:
        def lost(_: Removal) -> int:
            raise Unavailable("Redis does not answer.")

        with pytest.raises(Unavailable):
            apply_changes(smaller, applied, allow_delete=True, remover=lost)
        assert plan_changes(smaller, applied).removals == ("terminal_risk",)
        done = apply_changes(smaller, applied, remover=lambda _: 3)
        assert (done.changes, done.removed) == ((), {"terminal_risk": 3})
        assert plan_changes(smaller, applied).empty

    def test_killed_before_the_registry_is_written_they_stay(
        self, applied: MemoryDocuments, smaller: Definitions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = applied.put

        def killed(key: str, body: bytes, *, etag: str | None = None) -> Document:
            if key == REGISTRY_KEY:
                raise KeyboardInterrupt
            return put(key, body, etag=etag)

        monkeypatch.setattr(applied, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            apply_changes(smaller, applied, allow_delete=True, remover=lambda _: 1)
        monkeypatch.undo()
        done = apply_changes(load(REPO), applied, remover=lambda _: 1)
        assert (done.empty, done.removed) == (True, {})
        done = apply_changes(smaller, applied, allow_delete=True, remover=lambda _: 1)
        assert done.removed == {"terminal_risk": 1}

    def test_a_view_that_came_back_before_keeps_its_rows(
        self, applied: MemoryDocuments, smaller: Definitions
    ) -> None:
        apply_changes(smaller, applied, allow_delete=True)
        done = apply_changes(load(REPO), applied, remover=lambda _: 1)
        assert done.removed == {}
        assert apply_changes(load(REPO), applied, remover=lambda _: 1).empty


def test_a_registry_that_changed_meanwhile_is_not_overwritten(
    applied: MemoryDocuments, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(repo / "views.py", "TTL = timedelta(days=3)", "TTL = timedelta(days=5)")
    put = applied.put

    def changed_before(key: str, body: bytes, *, etag: str | None = None) -> Document:
        applied.stored[REGISTRY_KEY] = b""
        return put(key, body, etag=etag)

    monkeypatch.setattr(applied, "put", changed_before)
    with pytest.raises(Conflict):
        apply_changes(load(repo), applied)


def test_code_in_the_registry_is_never_run(applied: MemoryDocuments) -> None:
    registry, _ = load_registry(applied)
    (view,) = (v for v in registry.on_demand_feature_views if v.spec.name == "payment_context")
    function = view.spec.feature_transformation.user_defined_function
    function.body = b"\x80\x04cbuiltins\nexec\n(V1/0\ntR."
    function.body_text = "changed"
    applied.stored[REGISTRY_KEY] = registry.SerializeToString()
    plan = apply_changes(load(REPO), applied)
    assert [c.name for c in plan.changes] == ["payment_context"]


def test_missing_variables_are_all_named_and_no_file_appears(repo: Path) -> None:
    environment = {**ENVIRONMENT, "FEAST_REGISTRY": "", "FEAST_REDIS": ""}
    with pytest.raises(SettingsError, match=r"needs FEAST_REGISTRY, FEAST_REDIS"):
        load_definitions(repo, environment)
    assert not list(repo.parent.rglob("*$*"))


def test_a_registry_outside_s3_is_refused(repo: Path) -> None:
    with pytest.raises(SettingsError, match=r"'data/registry\.db'; it must be in S3"):
        load_definitions(repo, {**ENVIRONMENT, "FEAST_REGISTRY": "data/registry.db"})


def test_a_view_without_an_entity_is_planned_and_asks_for_no_id(repo: Path) -> None:
    with (repo / "views.py").open("a") as views:
        views.write(
            "rates = FeatureView(name='rates', entities=[], ttl=TTL, source=terminal_risk_source, "
            "schema=[Field(name='rate', dtype=Float64)], description='d', owner=OWNER, "
            "tags={'pii': 'false', 'publication_delay': '0s'})\n"
        )
    replace(repo / "services.py", "import customer_spend,", "import customer_spend, rates,")
    replace(repo / "services.py", "features=[customer_spend,", "features=[customer_spend, rates,")
    definitions = load(repo)
    plan = fraud_plan(definitions)
    keys = {view.name: view.join_keys for view in plan.views}
    assert keys["rates"] == ()
    assert [field.name for field in plan.entities] == ["customer_id", "terminal_id"]


def test_a_publication_delay_is_planned_for_serving(repo: Path) -> None:
    replace(
        repo / "views.py",
        '"publication_delay": "0s", "pii": "true"',
        '"publication_delay": "6h", "pii": "true"',
    )
    definitions = load(repo)
    plan = fraud_plan(definitions)
    delays = {view.name: view.publication_delay_seconds for view in plan.views}
    assert delays == {"customer_spend": 21_600, "terminal_risk": 0}


def test_a_publication_delay_that_is_no_duration_is_refused(
    repo: Path, documents: MemoryDocuments
) -> None:
    replace(repo / "views.py", '"publication_delay": "0s"', '"publication_delay": "soon"')
    with pytest.raises(InputError, match=r"publication_delay is 'soon'\. Write it as '0s', '15m'"):
        plan_changes(load(repo), documents)


def test_a_tag_of_which_no_rule_can_be_read_is_refused(
    repo: Path, documents: MemoryDocuments
) -> None:
    replace(repo / "views.py", "tags=PERSONAL", 'tags=PERSONAL | {"min": "some"}')
    with pytest.raises(
        InputError, match="field customer_id of customer_spend: tag 'min' is 'some'"
    ):
        plan_changes(load(repo), documents)


def test_what_lacks_an_owner_or_a_ttl_is_listed(repo: Path, documents: MemoryDocuments) -> None:
    replace(repo / "views.py", "    ttl=TTL,\n", "")
    replace(repo / "services.py", '    owner="fraud-models@example.com",\n', "")
    with pytest.raises(
        InputError, match=r"fraud_v1 has no owner; customer_spend has no ttl; terminal_risk has no"
    ):
        plan_changes(load(repo), documents)


def test_a_module_that_fails_is_named(repo: Path) -> None:
    (repo / "broken.py").write_text("raise ValueError('no')\n")
    with pytest.raises(InputError, match=r"broken\.py cannot be loaded: ValueError: no"):
        load(repo)


def test_an_on_demand_function_elsewhere_is_refused(repo: Path, documents: MemoryDocuments) -> None:
    replace(
        repo / "on_demand.py", "import transformations\n", "import elsewhere as transformations\n"
    )
    (repo / "credit.py").unlink()
    (repo / "transformations.py").rename(repo / "elsewhere.py")
    (repo / "transformations.py").write_text('"""Nothing."""\n')
    with pytest.raises(InputError, match=r"must be a function of transformations\.py"):
        plan_changes(load(repo), documents)


def test_loading_leaves_the_interpreter_as_it_was(repo: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    load(repo)
    assert sys.path == path
    assert not {"views", "sources", "entities", "transformations"} & (set(sys.modules) - modules)


def test_the_registry_can_be_parsed_by_feast_itself(applied: MemoryDocuments) -> None:
    registry = Registry()
    registry.ParseFromString(applied.stored[REGISTRY_KEY])
    assert registry.projects[0].spec.name == "payments"


def test_what_the_plan_showed_is_applied(documents: MemoryDocuments) -> None:
    shown = plan_changes(load(REPO), documents)
    assert apply_changes(load(REPO), documents, shown=shown).changes == shown.changes


def test_what_the_plan_did_not_show_is_refused(documents: MemoryDocuments) -> None:
    shown = plan_changes(load(REPO), documents)
    fewer = shown.model_copy(update={"changes": shown.changes[1:]})
    with pytest.raises(Refused, match=r"would create .*, which the plan does not show"):
        apply_changes(load(REPO), documents, shown=fewer)
    assert not documents.stored


def test_a_plan_of_an_environment_that_moved_on_is_refused(applied: MemoryDocuments) -> None:
    shown = plan_changes(load(REPO), MemoryDocuments())
    with pytest.raises(Refused, match="would no longer create"):
        apply_changes(load(REPO), applied, shown=shown)


def test_a_plan_that_was_written_down_is_the_same_plan(documents: MemoryDocuments) -> None:
    shown = plan_changes(load(REPO), documents)
    read = ApplyPlan.model_validate_json(shown.model_dump_json())
    assert unshown(read, shown) == []
