"""Lines are split as Hive's SerDes split them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.athena.text_lines import (
    _each_character,
    csv_fields,
    delimited_fields,
    lower_keys,
)

LINES = [
    ("a,b", ["a", "b"]),
    ("a,,", ["a", "", ""]),
    ('"a,b",c', ["a,b", "c"]),
    ('"say ""hi""",x', ['say "hi"', "x"]),
    (r'"say \"hi\"",x', ['say "hi"', "x"]),
    (r'" \\t\\n ",abc', [r" \t\n ", "abc"]),
    (r"C:\temp,x", ["C:temp", "x"]),
    ('a,bc"d"ef,g', ["a", 'bc"d"ef', "g"]),
    ('ab, "c",d', ["ab", "c", "d"]),
    ('x,"never closed', ["x"]),
    ('"",""', ["", ""]),
]


@pytest.mark.parametrize(("line", "fields"), LINES)
def test_a_line_has_the_fields_that_opencsv_finds(line: str, fields: list[str]) -> None:
    assert csv_fields(line, ",", '"', "\\") == fields


PRINTABLE = st.text(st.characters(exclude_characters="\r\n"), max_size=8)


def written(field: str) -> str:
    return '"' + field.replace("\\", "\\\\").replace('"', '""') + '"'


@given(st.lists(PRINTABLE, min_size=1, max_size=5))
def test_what_is_quoted_is_read_back(fields: list[str]) -> None:
    assert csv_fields(",".join(map(written, fields)), ",", '"', "\\") == fields


LETTERS = st.sampled_from(['"', ",", "\\", "a", " "])


@given(st.text(LETTERS, max_size=12))
def test_the_quick_ways_find_what_reading_each_character_finds(line: str) -> None:
    assert csv_fields(line, ",", '"', "\\") == _each_character(line, ",", '"', "\\")


ESCAPED = [
    (r"a\,b,c", ["a,b", "c"]),
    (r"a\\,b", ["a\\", "b"]),
    (r"\N,x", [None, "x"]),
    (r"\\N,x", [r"\N", "x"]),
    (r"line\nbreak", ["line\nbreak"]),
    ("a,", ["a", ""]),
    ("a\\", ["a\\"]),
]


@pytest.mark.parametrize(("line", "fields"), ESCAPED)
def test_escapes_and_nulls_are_lazysimples(line: str, fields: list[str | None]) -> None:
    assert delimited_fields(line, ",", "\\", "\\N") == fields


def test_only_keys_are_lowered() -> None:
    document = r'{"Id": 1.50, "Na\"me" : "A\": B", "In": [{"K": "V"}]}'
    assert lower_keys(document) == r'{"id": 1.50, "na\"me" : "A\": B", "in": [{"k": "V"}]}'
