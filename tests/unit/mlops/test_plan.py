"""On-demand functions run from the own image, matched by hash, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import NotFound, Refused
from mlops.objects import MemoryDocuments
from mlops.plan import (
    FeaturePlan,
    PlannedField,
    PlannedTransformation,
    PlannedView,
    function_hashes,
    load_plan,
    load_transformations,
    save_plan,
)

SOURCE = '''
LIMIT = 2

def double(columns):
    """Twice the amount."""
    return {"twice": [LIMIT * value for value in columns["amount"]]}

def other(columns):
    return columns
'''


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "transformations.py").write_text(SOURCE)
    return tmp_path


def _plan(sha256: str) -> FeaturePlan:
    amount = PlannedField(name="amount", dtype="Float64")
    return FeaturePlan(
        service="s",
        project="p",
        entities=(PlannedField(name="id", dtype="String"),),
        request=(amount,),
        views=(
            PlannedView(
                name="v",
                join_keys=("id",),
                features=(PlannedField(name="f", dtype="Int64"),),
                ttl_seconds=60,
            ),
        ),
        transformations=(
            PlannedTransformation(
                name="doubled",
                function="double",
                sha256=sha256,
                inputs=("amount",),
                outputs=(PlannedField(name="twice", dtype="Float64"),),
            ),
        ),
    )


def test_a_planned_function_is_the_one_of_the_repo(repo: Path) -> None:
    functions = load_transformations(_plan(function_hashes(repo)["double"]), repo)
    assert functions["doubled"]({"amount": [1.5]}) == {"twice": [3.0]}


def test_another_source_is_refused(repo: Path) -> None:
    plan = _plan(function_hashes(repo)["double"])
    (repo / "transformations.py").write_text(SOURCE.replace("LIMIT *", "3 *"))
    with pytest.raises(Refused, match="'doubled' of 's' needs function 'double'"):
        load_transformations(plan, repo)


def test_a_changed_constant_changes_the_hash_and_a_neighbour_does_not(repo: Path) -> None:
    before = function_hashes(repo)["double"]
    (repo / "transformations.py").write_text(SOURCE.replace("return columns", "return {}"))
    assert function_hashes(repo)["double"] == before
    (repo / "transformations.py").write_text(SOURCE.replace("LIMIT = 2", "LIMIT = 3"))
    assert function_hashes(repo)["double"] != before


def test_a_saved_plan_is_loaded_unchanged() -> None:
    documents = MemoryDocuments()
    save_plan(documents, _plan("0" * 64))
    loaded = load_plan(documents, "s")
    assert loaded == _plan("0" * 64)
    assert loaded.references == ["v:f"]
    assert loaded.sha256 != _plan("1" * 64).sha256


def test_a_service_never_applied_names_the_remedy() -> None:
    with pytest.raises(NotFound, match="mlops features apply"):
        load_plan(MemoryDocuments(), "s")
