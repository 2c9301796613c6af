"""From a model version back to its raw data, and from raw data on to model versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import InputError, NotFound
from pipelines.datasets.lineage import Lineage, Lineages, parse_model
from pipelines.datasets.record import Reference
from tests.unit.datasets.examples import Place, payments


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two datasets on two generations; models of the first, of the second, and of none."""
    place = Place(tmp_path)
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    place.features.generation = "g0002"
    place.datasets.build("train", service="spend_v1", entities=payments(20))
    for version, dataset in ((1, None), (2, "train@1"), (3, "train@2")):
        place.registry.add("fraud", version, dataset)
    return place


@pytest.fixture
def lineages(place: Place) -> Lineages:
    return place.datasets.lineages


def models(found: Lineage) -> list[str]:
    return [f"{m.model}/{m.version}" for m in found.models]


def imports(found: Lineage) -> list[str]:
    return [one.id for dataset in found.datasets for v in dataset.views for one in v.imports]


def test_a_model_version_is_walked_back_to_its_imports(lineages: Lineages) -> None:
    found = lineages.of_model("fraud", 3)
    (dataset,) = found.datasets
    (view,) = dataset.views
    assert (dataset.dataset, dataset.feature_service) == ("train@2", "spend_v1")
    assert (view.view, view.table, view.generations) == ("spend", "spend", ("g0002",))
    assert view.builds == ("build-g0002",)
    assert imports(found) == ["00000001-a", "00000002-b"]


def test_a_version_without_a_dataset_has_its_snapshot_only(lineages: Lineages) -> None:
    found = lineages.of_model("fraud", 1)
    assert found.datasets == ()
    assert found.models[0].data_snapshot == "features-1-rows-2"


def test_a_dataset_is_walked_both_ways(lineages: Lineages) -> None:
    found = lineages.of_dataset(Reference.parse("train@1"))
    assert models(found) == ["fraud/2"]
    assert found.datasets[0].views[0].generations == ("g0001",)


def test_a_view_is_walked_on_to_every_model(lineages: Lineages) -> None:
    found = lineages.of_view("spend")
    assert [d.dataset for d in found.datasets] == ["train@1", "train@2"]
    assert models(found) == ["fraud/2", "fraud/3"]


def test_an_import_is_walked_on_to_the_models_that_saw_it(lineages: Lineages) -> None:
    assert models(lineages.of_import("00000001-a")) == ["fraud/2", "fraud/3"]
    assert models(lineages.of_import("00000002-b")) == ["fraud/3"]


def test_a_corrected_file_names_what_was_trained_on_it(lineages: Lineages) -> None:
    found = lineages.of_import("00000001-b")
    assert models(found) == ["fraud/2"]
    assert [i.retracted for v in found.datasets[0].views for i in v.imports] == [False, True]


@pytest.mark.parametrize("later", ["00000002-z", "00000003-c"])
def test_an_import_that_nothing_saw_is_told(lineages: Lineages, later: str) -> None:
    with pytest.raises(NotFound, match=f"No dataset was built from import '{later}'"):
        lineages.of_import(later)


def test_a_removed_dataset_is_still_in_the_lineage(place: Place, lineages: Lineages) -> None:
    place.datasets.remove("train@1", force=True)
    assert lineages.of_model("fraud", 2).datasets[0].removed
    assert models(lineages.of_view("spend")) == ["fraud/2", "fraud/3"]


def test_what_no_dataset_read_is_told(lineages: Lineages) -> None:
    with pytest.raises(NotFound, match="No dataset was built from view 'none'"):
        lineages.of_view("none")
    with pytest.raises(NotFound):
        lineages.of_model("fraud", 9)


@pytest.mark.parametrize("text", ["fraud", "fraud/", "/3", "fraud/x"])
def test_what_names_no_model_version_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Write it as MODEL/VERSION"):
        parse_model(text)


def test_a_model_version_is_written_with_a_slash() -> None:
    assert parse_model("fraud/3") == ("fraud", 3)
