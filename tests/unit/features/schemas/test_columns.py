"""Columns say what their values must be, and where old and new files hold them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mlops.errors import InputError, NotFound
from pipelines.features.schemas.columns import (
    Column,
    StoredColumn,
    check_declared,
    find_version,
    first_version,
)

NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["day", "generation", "Amount", "a-b", "1a", ""])
def test_a_column_cannot_be_called_what_a_partition_is_or_athena_would_not_take(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot name a column"):
        Column(name=name, type="bigint")


@pytest.mark.parametrize(
    "kind", ["Int64", "BIGINT", "varchar", "decimal", "map<string,int>", "int "]
)
def test_a_type_is_one_of_hive_s(kind: str) -> None:
    with pytest.raises(ValidationError, match="is no type"):
        Column(name="a", type=kind)


def test_a_bound_is_a_number() -> None:
    with pytest.raises(ValidationError, match="bounds nothing"):
        Column(name="a", type="double", minimum=float("nan"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nullable"),
        ({"required": True, "minimum": 0, "maximum": 1}, "required, >= 0, <= 1"),
        ({"type": "string", "values": ("a", "b")}, "nullable, one of a, b"),
    ],
)
def test_a_rule_is_told_in_words(given: dict[str, Any], words: str) -> None:
    assert Column(**{"name": "a", "type": "double"} | given).rule == words


def test_a_column_under_its_own_name_is_selected_as_it_is() -> None:
    assert StoredColumn(column=Column(name="a", type="bigint"), stored="a").selected == '"a"'


def test_a_widened_column_is_read_from_new_files_and_cast_from_old_ones() -> None:
    column = Column(name="a", type="bigint")
    widened = StoredColumn(column=column, stored="a__v2", narrower=(("a", "int"),))
    assert widened.selected == 'coalesce("a__v2", CAST("a" AS bigint)) AS "a"'


def test_a_schema_is_named_by_its_shape_and_not_by_words_order_or_time() -> None:
    a, b = Column(name="a", type="int"), Column(name="b", type="int", minimum=0)
    one = first_version([a, b], at=NOW, by="me")
    described = a.model_copy(update={"description": "An a."})
    other = first_version([b, described], at=NOW.replace(year=2026), by="you")
    assert one.sha256 == other.sha256
    assert one.sha256 != first_version([a], at=NOW, by="me").sha256


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([("a", None), ("a", None)], "'a' is declared twice"),
        ([("a", None), ("b", "a")], "'a' was renamed, but is declared too"),
        ([("a", "c"), ("b", "c")], "two columns were formerly 'c'"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    columns: list[tuple[str, str | None]], words: str
) -> None:
    declared = [Column(name=name, type="int", formerly=former) for name, former in columns]
    with pytest.raises(InputError, match=words):
        check_declared("t", declared)


def test_a_version_that_is_not_there_is_refused_with_those_that_are() -> None:
    one = first_version([Column(name="a", type="int")], at=NOW, by="me")
    assert find_version("t", [one], 1) == one
    with pytest.raises(NotFound, match="no schema version 2; it has 1"):
        find_version("t", [one], 2)
