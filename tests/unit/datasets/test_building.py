"""From entity rows to a dataset that is there whole, and the same whenever it is built again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.errors import Conflict, InputError, JobFailed, NotFound, Refused, SettingsError
from mlops.objects import Document, MemoryDocuments
from pipelines.datasets import files
from pipelines.datasets.store import RECORDS, ROWS
from tests.unit.datasets.examples import PLAN, START, Place, payments


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 16 rows, so that a few rows make several."""
    for module in ("files", "build"):
        monkeypatch.setattr(f"pipelines.datasets.{module}.ROWS_PER_PART", 16)


def bodies(place: Place, prefix: str = ROWS) -> list[bytes]:
    return [place.documents.stored[key] for key in place.documents.keys(prefix)]


def test_features_stand_beside_the_entity_rows_that_they_belong_to(place: Place) -> None:
    given_rows = payments(50)
    found = place.datasets.build("train", service="spend_v1", entities=given_rows).to_pandas()

    assert list(found.columns) == [*given_rows.columns, "mean", "count", "country", "over", "band"]
    known = found["customer_id"].str[1:].where(found["customer_id"] != "new").astype(float)
    pd.testing.assert_series_equal(found["mean"], known, check_names=False)
    pd.testing.assert_series_equal(found["count"], known, check_names=False)
    over = found["amount"] / found["mean"]
    pd.testing.assert_series_equal(found["over"].dropna(), over.dropna(), check_names=False)
    assert found["band"].isna().equals(found["mean"].isna())
    back = found[given_rows.columns].sort_values("payment_id", ignore_index=True)
    wanted = given_rows.sort_values("payment_id", ignore_index=True)
    pd.testing.assert_frame_equal(back, wanted, check_dtype=False)


def test_the_record_says_what_it_was_made_from_and_what_it_holds(place: Place) -> None:
    record = place.datasets.build(
        "train", service="spend_v1", entities=payments(50), tags={"team": "risk"}
    ).record

    assert (record.reference, record.rows, record.created) == ("train@1", 50, START)
    assert record.created_by.endswith("data-scientist/kim")
    assert (record.service, record.plan) == ("spend_v1", PLAN)
    assert record.tables[0].generations == ("g0001",)
    assert [c.role for c in record.columns[:5]] == ["entity", "time", "key", "entity", "entity"]
    assert [c.role for c in record.columns[5:]] == ["feature"] * 3 + ["on_demand"] * 2
    assert sum(file.rows for file in record.files) == 50
    assert [file.rows for file in record.files] == [16, 16, 16, 2]
    assert (record.cost.queries, record.cost.price, record.cost.currency) == (1, 0.25, "USD")
    assert record.tags == {"team": "risk"}


def test_statistics_are_in_the_record_and_quote_nothing_personal(place: Place) -> None:
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(50))
    place.documents.stored = {k: v for k, v in place.documents.stored.items() if "rows" not in k}

    found = dataset.statistics

    assert float(str(found.loc["amount", "median"])) > 0
    assert found.loc["is_fraud", "mean"] == pytest.approx(payments(50)["is_fraud"].mean())
    assert str(found.loc["country", "top"]).startswith(("KR", "FR"))
    assert str(found.loc["customer_id", "top"]) == "nan"
    assert '"c1"' not in next(iter(bodies(place, RECORDS))).decode()


@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 99))
def test_rows_in_any_order_and_batches_of_any_size_make_the_same_bytes(
    tmp_path: Path, count: int, batch_rows: int, seed: int
) -> None:
    one, other = Place(tmp_path), Place(tmp_path)
    other.features.batch_rows, other.features.joins = batch_rows, seed
    rows = payments(count)
    first = one.datasets.build("train", service="spend_v1", entities=rows)
    second = other.datasets.build(
        "train", service="spend_v1", entities=rows.sample(frac=1, random_state=seed)
    )
    assert first.record.sha256 == second.record.sha256
    assert bodies(one) == bodies(other)


def test_the_same_inputs_are_the_same_version_without_asking_athena(place: Place) -> None:
    first = place.datasets.build("train", service="spend_v1", entities=payments(50))
    again = place.datasets.build("train", service="spend_v1", entities=payments(50)[::-1])
    assert (first.reference, again.reference, place.features.joins) == ("train@1", "train@1", 1)


def test_forced_the_same_inputs_are_another_version(place: Place) -> None:
    for _ in range(2):
        last = place.datasets.build("train", service="spend_v1", entities=payments(50), force=True)
    assert last.reference == "train@2"
    assert len(set(bodies(place))) * 2 == len(bodies(place))


def test_other_generations_make_another_version(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(50))
    place.features.generation = "g0002"
    assert place.datasets.build("train", service="spend_v1", like="train@1").reference == "train@2"


def test_tables_without_generations_are_read_again_and_compared_by_their_rows(
    place: Place,
) -> None:
    place.features.pinned = False
    for _ in range(2):
        same = place.datasets.build("train", service="spend_v1", entities=payments(50))
    place.features.generation = "g0002"
    other = place.datasets.build("train", service="spend_v1", entities=payments(50))
    assert (same.reference, other.reference, place.features.joins) == ("train@1", "train@2", 3)


def test_a_query_s_rows_are_kept_with_its_text_and_price(place: Place) -> None:
    frame = payments(20)
    place.features.queries["SELECT 1"] = pa.Table.from_pandas(frame)
    record = place.datasets.build("train", service="spend_v1", query="SELECT 1").record
    assert (record.entities.origin, record.entities.source) == ("query", "SELECT 1")
    assert (record.cost.queries, record.cost.scanned_bytes, record.cost.price) == (2, 1100, 0.75)


def test_the_rows_of_another_dataset_are_taken_as_they_are(place: Place) -> None:
    first = place.datasets.build("train", service="spend_v1", entities=payments(20))
    other = place.datasets.build("other", service="spend_v1", like="train")
    assert other.record.entities.source == "train@1"
    assert other.record.sha256 == first.record.sha256


def test_entity_rows_given_in_no_way_or_two_are_refused(place: Place) -> None:
    for query, like in ((None, None), ("SELECT 1", "a@1")):
        with pytest.raises(InputError, match="in one way"):
            place.datasets.build("train", service="spend_v1", query=query, like=like)


def test_an_unknown_service_is_told(place: Place) -> None:
    with pytest.raises(NotFound, match="'none' is not applied"):
        place.datasets.build("train", service="none", entities=payments(5))


@pytest.mark.parametrize("name", ["", "Train", "a/b", "1a", "a@b", "a" * 64, "ä"])
def test_a_name_with_other_characters_is_refused(place: Place, name: str) -> None:
    with pytest.raises(InputError, match="is no name for a dataset"):
        place.datasets.build(name, service="spend_v1", entities=payments(5))


def test_a_join_that_loses_rows_makes_no_dataset(place: Place) -> None:
    place.features.drop = 3
    with pytest.raises(JobFailed, match="some missing or twice"):
        place.datasets.build("train", service="spend_v1", entities=payments(50))
    assert not place.documents.stored


def test_as_of_is_kept_and_decides_what_is_read(place: Place) -> None:
    place.features.generation = "g0002"
    then = datetime(2025, 2, 1, tzinfo=UTC)
    dataset = place.datasets.build(
        "train", service="spend_v1", entities=payments(5), as_of="2025-02-01"
    )
    assert (dataset.record.as_of, dataset.record.tables[0].generations) == (then, ("g0001",))


def test_an_as_of_without_a_zone_is_refused(place: Place) -> None:
    with pytest.raises(InputError, match="without a time zone"):
        place.datasets.build(
            "train",
            service="spend_v1",
            entities=payments(5),
            as_of=datetime(2025, 2, 1),  # noqa: DTZ001  # the point
        )


# Built again


def test_built_again_from_its_record_it_is_the_same_bytes_on_the_same_generations(
    place: Place,
) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(50))
    place.features.generation = "g0002"
    done = place.datasets.rebuild("train@1")
    assert (done.same_bytes, done.rows, done.writer) == (True, 50, done.writer_now)


def test_rows_that_come_out_otherwise_are_told(place: Place) -> None:
    place.features.pinned = False
    place.datasets.build("train", service="spend_v1", entities=payments(50))
    place.features.generation = "g0002"
    with pytest.raises(JobFailed, match=r"'train@1' came out as other rows.*keep no generations"):
        place.datasets.rebuild("train@1")


def test_another_writer_may_write_the_same_rows_as_other_bytes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(50))
    monkeypatch.setattr(files, "_ROW_GROUP", 4)
    assert not place.datasets.rebuild("train@1", restore=True).same_bytes


@pytest.mark.parametrize("kind", ["files", "entities"])
def test_files_that_were_lost_or_changed_are_put_back(place: Place, kind: str) -> None:
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(50))
    whole = dict(place.documents.stored)
    record = dataset.record
    lost, changed, *_ = [
        f.key for f in (record.files if kind == "files" else record.entities.files)
    ]
    del place.documents.stored[lost]
    place.documents.stored[changed] = b"changed"
    assert place.datasets.rebuild("train@1", restore=True).restored
    assert place.documents.stored == whole


def test_a_view_that_joins_otherwise_by_now_is_refused(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(50))
    view = PLAN.views[0].model_copy(update={"ttl_seconds": 1})
    place.features.plans["spend_v1"] = PLAN.model_copy(update={"views": (view,)})
    with pytest.raises(Refused, match=r"View 'spend' .* ttl 86400 s.*it is .* ttl 1 s"):
        place.datasets.rebuild("train@1")


def test_a_feature_that_came_later_changes_nothing(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(50))
    more = (*PLAN.views[0].features, PLAN.request[0].model_copy(update={"name": "new"}))
    view = PLAN.views[0].model_copy(update={"features": more})
    place.features.plans["spend_v1"] = PLAN.model_copy(update={"views": (view,)})
    assert place.datasets.rebuild("train@1").same_bytes


# Versions, and what is left of builds that did not end


class Racing(MemoryDocuments):
    """Someone else takes the version that is about to be created."""

    def __init__(self, *, same: bool) -> None:
        super().__init__()
        self._same = same
        self.raced = False

    def create(self, key: str, body: bytes) -> Document:
        if not self.raced:
            self.raced = True
            theirs = body if self._same else body.replace(b'"sha256": "', b'"sha256": "0')
            super().create(key, theirs)
        return super().create(key, body)


def test_two_builds_at_once_get_two_versions(tmp_path: Path) -> None:
    place = Place(tmp_path, documents=Racing(same=False))
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert dataset.reference == "train@2"


def test_two_builds_of_the_same_at_once_get_one_version(tmp_path: Path) -> None:
    place = Place(tmp_path, documents=Racing(same=True))
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert dataset.reference == "train@1"
    assert len(list(place.documents.keys(RECORDS))) == 1


class Failing(MemoryDocuments):
    """Refuses to create a record; forgets how to delete when told so."""

    deletes = True

    def create(self, key: str, body: bytes) -> Document:
        raise KeyboardInterrupt

    def delete(self, key: str) -> None:
        if not self.deletes:
            raise Refused("no permission to delete")
        super().delete(key)


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path, documents=Failing())
    with pytest.raises(KeyboardInterrupt):
        place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert not place.documents.stored


def test_what_could_not_be_cleaned_up_is_said_and_swept(tmp_path: Path) -> None:
    documents = Failing()
    documents.deletes = False
    place = Place(tmp_path, documents=documents)
    with pytest.raises(KeyboardInterrupt) as ended:
        place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert "mlops datasets sweep" in ended.value.__notes__[0]

    store = place.datasets.store
    left = store.unfinished(datetime.max.replace(tzinfo=UTC))
    assert place.datasets.list() == []
    assert len(left) == len(documents.stored) == 4
    assert store.unfinished(datetime(2020, 1, 1, tzinfo=UTC)) == []
    documents.deletes = True
    store.sweep(left)
    assert not documents.stored


def test_a_sweep_leaves_what_datasets_have(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert place.datasets.store.unfinished(datetime.max.replace(tzinfo=UTC)) == []


def test_a_removed_version_keeps_its_record_and_its_number(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    removed = place.datasets.remove("train@1")
    assert removed.removed is not None
    assert not list((place.folder / "cache").iterdir()), "nor does this machine keep the rows"
    assert (place.datasets.list(), bodies(place)) == ([], [])
    with pytest.raises(NotFound, match=r"rows of dataset 'train@1' were removed .* by arn"):
        place.datasets.get("train@1").to_pandas()
    with pytest.raises(NotFound, match="There is no dataset 'train'"):
        place.datasets.get("train")
    again = place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert again.reference == "train@2"


def test_removing_twice_is_no_error(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert place.datasets.remove("train@1") == place.datasets.remove("train@1")


def test_removing_needs_a_version(place: Place) -> None:
    with pytest.raises(InputError, match="which version of 'train'"):
        place.datasets.remove("train")


def test_a_dataset_that_trained_a_model_is_not_removed_unless_forced(place: Place) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    place.registry.add("fraud", 3, "train@1")
    with pytest.raises(Refused, match=r"trained fraud/3 \(PendingManualApproval\)"):
        place.datasets.remove("train@1")
    assert place.datasets.remove("train@1", force=True).removed is not None


@pytest.mark.parametrize("reference", ["none", "train@7", "none@1"])
def test_an_unknown_dataset_is_told_with_what_there_is(place: Place, reference: str) -> None:
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    with pytest.raises(NotFound, match=r"no dataset .* There are train"):
        place.datasets.get(reference)


@pytest.mark.parametrize("reference", ["train@", "train@0", "train@-1", "train@x", "train@1@2"])
def test_what_names_no_version_is_refused(place: Place, reference: str) -> None:
    with pytest.raises(InputError, match="Write it as NAME@VERSION"):
        place.datasets.get(reference)


def test_versions_are_listed_by_number(place: Place) -> None:
    for _ in range(11):
        place.datasets.build("train", service="spend_v1", entities=payments(3), force=True)
    assert [record.version for record in place.datasets.list("train")] == list(range(1, 12))
    assert place.datasets.get("train").reference == "train@11"


# Reading


def test_some_columns_can_be_read(place: Place) -> None:
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(20))
    assert dataset.to_arrow(["mean", "amount"]).column_names == ["mean", "amount"]
    with pytest.raises(InputError, match="has no column nothing"):
        dataset.to_arrow(["nothing"])


def test_a_dataset_is_read_from_this_machine_where_it_was_built(place: Place) -> None:
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(20))
    for file in dataset.record.files:
        del place.documents.stored[file.key]
    assert len(dataset.to_pandas()) == len(dataset) == 20


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_it_is_exported_whole(place: Place, tmp_path: Path, ending: str) -> None:
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(50))
    path = dataset.export(tmp_path / f"train.{ending}")
    read = pd.read_parquet if ending == "parquet" else pd.read_csv
    assert len(read(path)) == 50
    with pytest.raises(Conflict, match="exists already"):
        dataset.export(path)
    dataset.export(path, overwrite=True)
    with pytest.raises(SettingsError, match="none: it cannot be written"):
        dataset.export(tmp_path / "none" / path.name)
    with pytest.raises(InputError, match="ends in neither"):
        dataset.export(tmp_path / "train.xlsx")


def test_a_plot_shows_the_numbers(place: Place) -> None:
    dataset = place.datasets.build("train", service="spend_v1", entities=payments(50))
    figure = dataset.plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["amount", "is_fraud", "mean", "count", "over"]
    assert figure._repr_png_().startswith(b"\x89PNG"), "what a notebook shows"
    with pytest.raises(InputError, match="Only columns of numbers"):
        dataset.plot(["country"])
