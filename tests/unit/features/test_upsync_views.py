"""Which views a run loads where some of their tables are missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops.errors import NotFound
from mlops.objects import MemoryDocuments
from pipelines.features.buildlog import save_log
from pipelines.features.upsync.site import OnlineSession
from tests.unit.features.test_buildlog import build, log
from tests.unit.training import examples
from tests.upsync_examples import make_view


class Lacking:
    """An AWS whose catalog lacks some tables."""

    def __init__(self, *tables: str) -> None:
        self._tables = tables

    def client(self, _: str) -> Any:
        return self

    def get_table(self, *, Name: str, **_: str) -> None:  # noqa: N803  # boto3's name
        if Name in self._tables:
            raise ClientError({"Error": {"Code": "EntityNotFoundException"}}, "GetTable")


def view_of(table: str, **tags: str) -> Any:
    return make_view(
        name=f"{table}_view", tags=tags, batch_source=SimpleNamespace(table=table, database="d")
    )


VIEWS = [view_of("customer_spend"), view_of("zipcodes", optional="true"), view_of("other")]


@pytest.fixture
def data() -> MemoryDocuments:
    return MemoryDocuments()


def loaded(data: MemoryDocuments, *lacking: str, names: tuple[str, ...] = ()) -> set[str]:
    aws: Any = Lacking(*lacking)
    session = OnlineSession(examples.settings(), aws)
    feast = SimpleNamespace(list_feature_views=lambda: VIEWS)
    session.__dict__.update(feast=feast, data=data)  # in place of what would be opened
    return {view.batch_source.table for view in session.views(names)}


def test_what_was_never_built_and_what_is_optional_is_left_out(data: MemoryDocuments) -> None:
    assert loaded(data, "customer_spend", "zipcodes") == {"other"}


def test_a_table_that_was_built_and_is_gone_is_not_left_out(data: MemoryDocuments) -> None:
    built = log(build(1, 2)).model_copy(update={"table": "customer_spend"})
    save_log(data, built, replacing=None)
    assert "customer_spend" in loaded(data, "customer_spend")


def test_a_table_that_somebody_else_fills_must_be_there(data: MemoryDocuments) -> None:
    assert "other" in loaded(data, "other")


def test_a_view_that_was_named_is_never_left_out(data: MemoryDocuments) -> None:
    assert loaded(data, "zipcodes", names=("zipcodes_view",)) == {"zipcodes"}


def test_a_view_that_there_is_not_is_named(data: MemoryDocuments) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        loaded(data, names=("nowhere",))
